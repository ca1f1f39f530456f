// Schemas makes JSON schemas of Kubernetes' resources for kubeconform, from the OpenAPI description that is
// part of Kubernetes' sources:
//
//	schemas swagger.json DIRECTORY
//
// It writes a file for each kind, deployment-apps-v1.json. The schemas are strict: a member that Kubernetes
// does not know, such as a misspelt one, is an error. Published ones would have to be fetched for each check.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// definition is the part of OpenAPI's schemas that Kubernetes' description uses and that a manifest can
// violate.
type definition struct {
	Ref        string                 `json:"$ref,omitempty"`
	Type       any                    `json:"type,omitempty"` // a name, or several
	Pattern    string                 `json:"pattern,omitempty"`
	Enum       []any                  `json:"enum,omitempty"`
	Required   []string               `json:"required,omitempty"`
	Properties map[string]*definition `json:"properties,omitempty"`
	Items      *definition            `json:"items,omitempty"`
	Additional any                    `json:"additionalProperties,omitempty"` // false, or of every other member

	Format string `json:"-"`
	Kinds  []kind `json:"-"`
}

// kind is what manifests call a definition: apiVersion and kind.
type kind struct{ Group, Version, Kind string }

func (d *definition) UnmarshalJSON(text []byte) error {
	type plain definition
	in := struct {
		*plain
		Format     string      `json:"format"`
		Kinds      []kind      `json:"x-kubernetes-group-version-kind"`
		Additional *definition `json:"additionalProperties"`
	}{plain: (*plain)(d)}
	if err := json.Unmarshal(text, &in); err != nil {
		return err
	}
	d.Format, d.Kinds = in.Format, in.Kinds
	switch {
	case d.Properties != nil:
		d.Additional = false
	case in.Additional != nil:
		d.Additional = in.Additional
	}
	if d.Format == "int-or-string" {
		d.Type = []string{"string", "integer"}
	}
	return nil
}

func main() {
	if len(os.Args) != 3 {
		fail("usage: schemas swagger.json DIRECTORY")
	}
	text, err := os.ReadFile(os.Args[1])
	if err != nil {
		fail(err)
	}
	var api struct{ Definitions map[string]*definition }
	if err := json.Unmarshal(text, &api); err != nil {
		fail(err)
	}
	// In the description it is any string; a number is one too.
	*api.Definitions["io.k8s.apimachinery.pkg.api.resource.Quantity"] = definition{
		Type:    []string{"string", "number"},
		Pattern: `^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?$`,
	}
	if err := os.MkdirAll(os.Args[2], 0o755); err != nil {
		fail(err)
	}
	for name, d := range api.Definitions {
		if len(d.Kinds) != 1 || d.Properties["kind"] == nil {
			continue // a part of others, or of every group
		}
		used := map[string]*definition{}
		collect(used, api.Definitions, name)
		schema, err := json.Marshal(map[string]any{"$ref": prefix + name, "definitions": used})
		if err != nil {
			fail(err)
		}
		if err := os.WriteFile(filepath.Join(os.Args[2], d.Kinds[0].file()), schema, 0o600); err != nil {
			fail(err)
		}
	}
}

const prefix = "#/definitions/"

// collect adds to used the definition of that name, and those that it needs.
func collect(used, all map[string]*definition, name string) {
	if used[name] == nil {
		used[name] = all[name]
		all[name].walk(func(needed string) { collect(used, all, needed) })
	}
}

func (d *definition) walk(visit func(name string)) {
	if d == nil {
		return
	}
	if d.Ref != "" {
		visit(strings.TrimPrefix(d.Ref, prefix))
	}
	for _, p := range d.Properties {
		p.walk(visit)
	}
	d.Items.walk(visit)
	if every, ok := d.Additional.(*definition); ok {
		every.walk(visit)
	}
}

// file is the name by which kubeconform looks for the schema of a kind.
func (k kind) file() string {
	parts := []string{k.Kind, k.Version}
	if k.Group != "" {
		group, _, _ := strings.Cut(k.Group, ".")
		parts = []string{k.Kind, group, k.Version}
	}
	return strings.ToLower(strings.Join(parts, "-")) + ".json"
}

func fail(why any) {
	fmt.Fprintln(os.Stderr, "schemas:", why)
	os.Exit(1)
}
