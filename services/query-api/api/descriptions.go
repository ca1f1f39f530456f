package api

import (
	_ "embed"
	"net/http"

	"github.com/labstack/echo/v4"
	"go.yaml.in/yaml/v3"
)

//go:embed openapi.yaml
var openAPIYAML []byte

//go:embed asyncapi.yaml
var asyncAPIYAML []byte

// serveYAML answers with a text that is part of the program, as JSON.
func (a *API) serveYAML(text []byte) echo.HandlerFunc {
	var spec yaml.Node
	err := yaml.Unmarshal(text, &spec)
	if err != nil {
		panic(err)
	}
	body, err := appendNode(nil, spec.Content[0])
	if err != nil {
		panic(err)
	}
	return func(c echo.Context) error {
		(&request{Context: c, query: readParams(c)}).nameUnknown()
		return a.send(c, &answer{status: http.StatusOK, body: body})
	}
}

// appendNode appends n as JSON, with the members of a mapping in their order: the page shows them as they are written.
func appendNode(dst []byte, n *yaml.Node) ([]byte, error) {
	if n.Kind != yaml.MappingNode && n.Kind != yaml.SequenceNode {
		var value any
		if err := n.Decode(&value); err != nil {
			return nil, err
		}
		text, err := marshal(value)
		return append(dst, text...), err
	}
	brackets, separators := "[]", ","
	if n.Kind == yaml.MappingNode {
		brackets, separators = "{}", ":,"
	}
	dst = append(dst, brackets[0])
	for i, child := range n.Content {
		if i > 0 {
			dst = append(dst, separators[(i-1)%len(separators)])
		}
		var err error
		if dst, err = appendNode(dst, child); err != nil {
			return nil, err
		}
	}
	return append(dst, brackets[1]), nil
}
