package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const root = "github.com/telltale-iot/telltale/"

// pkg is what `go list -json` says of a package. The rules do not apply to the imports of its tests.
type pkg struct {
	ImportPath string
	Imports    []string
}

// drivers names, for each third-party driver, the folders that may import it.
var drivers = []struct {
	driver  string
	folders []string
}{
	{"github.com/IBM/sarama", []string{"pkg/kafka"}},
	{"github.com/eclipse/paho.mqtt.golang", []string{"services/mqtt-bridge/subscribe", "services/query-api/dynsec"}},
	{"github.com/gorilla/websocket", []string{"services/mqtt-bridge/listen"}},
	{"go.mongodb.org/mongo-driver/v2", []string{"pkg/mongodb", "pkg/readings/mongo", "pkg/deadletters/mongo"}},
	{"github.com/go-sql-driver/mysql", []string{"pkg/metadata/mysql"}},
	{"github.com/jackc/pgx/v5", []string{"pkg/metadata/postgres"}},
	{"modernc.org/sqlite", []string{"pkg/sqlite"}},
	{"github.com/redis/rueidis", []string{"pkg/latest/redis"}},
	{"github.com/labstack/echo/v4", []string{"services/query-api/api"}},
	{"github.com/fxamacker/cbor/v2", []string{"pkg/mapping/internal/senml"}},
	{"github.com/twmb/franz-go", []string{"pkg/embedded", "pkg/kafka/kafkatest"}},
	{"go.yaml.in/yaml/v3", []string{"pkg/mapping", "services/query-api/api"}},
	{"google.golang.org/protobuf", []string{"pkg/event", "pkg/mapping/internal/sparkplug", "proto"}},
	{root + "proto", []string{"pkg/event"}},
}

// TestImports checks who imports whom.
func TestImports(t *testing.T) {
	for _, p := range workspace(t) {
		folder := strings.TrimPrefix(p.ImportPath, root)
		for _, imported := range p.Imports {
			if why := forbidden(folder, imported); why != "" {
				t.Errorf("%s imports %s: %s", folder, strings.TrimPrefix(imported, root), why)
			}
		}
	}
}

// TestLayers compares the table of packages in docs/architecture.md with what each package below pkg imports.
func TestLayers(t *testing.T) {
	const document = repository + "/docs/architecture.md"
	type layer struct{ folders, imports []string }
	var layers []layer
	for _, row := range regexp.MustCompile(`(?m)^\| \w+ \| (.*`+"`(?:pkg/|proto`)"+`.*) \| (.*)\|$`).FindAllStringSubmatch(read(t, document), -1) {
		layers = append(layers, layer{quoted(row[1]), quoted(row[2])})
	}
	layerOf := func(folder string) int {
		return slices.IndexFunc(layers, func(l layer) bool {
			return slices.ContainsFunc(l.folders, func(f string) bool { return in(folder, f) })
		})
	}
	used := map[string]bool{} // "layer import"
	for _, p := range workspace(t) {
		folder := strings.TrimPrefix(p.ImportPath, root)
		if !in(folder, "pkg") || strings.HasSuffix(folder, "test") {
			continue
		}
		from := layerOf(folder)
		if from < 0 {
			t.Errorf("%s is in no row of the table of packages in %s", folder, document)
			continue
		}
		for _, imported := range p.Imports {
			local, isLocal := strings.CutPrefix(imported, root)
			to := layerOf(local)
			if !isLocal || to == from {
				continue
			}
			i := slices.IndexFunc(layers[from].imports, func(name string) bool { return local == "pkg/"+name || in(local, name) })
			if i < 0 || to < from {
				t.Errorf("%s imports %s, which %s does not say", folder, local, document)
				continue
			}
			used[fmt.Sprint(from, layers[from].imports[i])] = true
		}
	}
	for i, l := range layers {
		for _, name := range l.imports {
			if !used[fmt.Sprint(i, name)] {
				t.Errorf("%s says that %s import %s, which none does", document, l.folders, name)
			}
		}
	}
}

// quoted returns what is in backquotes in text.
func quoted(text string) (all []string) {
	for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(text, -1) {
		all = append(all, m[1])
	}
	return all
}

// TestImportRulesCanFail shows what the rules refuse.
func TestImportRulesCanFail(t *testing.T) {
	for _, tt := range []struct{ folder, imported string }{
		{"pkg/iot", "github.com/google/go-cmp/cmp"},
		{"pkg/kafka", root + "services/mqtt-bridge/bridge"},
		{"services/query-api/api", root + "services/ingest-writer/writer"},
		{"services/query-api/api", "go.mongodb.org/mongo-driver/v2/bson"},
		{"pkg/readings/sqlite", "modernc.org/sqlite/lib"},
		{"pkg/payload", root + "proto/telltale/v1"},
		{"services/query-api/api", root + "pkg/embedded"},
		{"pkg/readings", root + "pkg/readings/readingstest"},
	} {
		if forbidden(tt.folder, tt.imported) == "" {
			t.Errorf("%s may import %s", tt.folder, tt.imported)
		}
	}
}

// forbidden says why the package in folder may not import imported; "" when it may.
func forbidden(folder, imported string) string {
	local, isLocal := strings.CutPrefix(imported, root)
	switch {
	case folder == "pkg/iot" && strings.Contains(imported, "."):
		return "the vocabulary imports the standard library alone"
	case in(folder, "pkg") && isLocal && in(local, "services"):
		return "pkg does not know the services"
	case in(folder, "services") && isLocal && in(local, "services") && service(folder) != service(local) && service(folder) != "all-in-one":
		return "services do not know each other"
	case isLocal && path.Base(local) == path.Base(path.Dir(local))+"test" && local != folder:
		return "a suite is for tests"
	case local == "pkg/embedded" && folder != "services/all-in-one" && folder != "pkg/embedded/embeddedtest":
		return "embedded servers are for tests and all-in-one"
	}
	for _, d := range drivers {
		if in(imported, d.driver) && !slices.ContainsFunc(d.folders, func(f string) bool { return in(folder, f) }) && !in(folder, "deploy/acceptance") && !in(folder, "examples") {
			return "only " + strings.Join(d.folders, " and ") + " may"
		}
	}
	return ""
}

// in reports whether path is dir or below it.
func in(path, dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }

// service is the name of the service that folder belongs to.
func service(folder string) string { return strings.SplitN(folder, "/", 3)[1] }

func workspace(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports", "work")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list work: %v", err)
	}
	var all []pkg
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) < 20 {
		t.Fatalf("go list work names %d packages", len(all))
	}
	return all
}
