package api

import (
	_ "embed"
	"fmt"
	"net/http"

	"github.com/labstack/echo/v4"
	"go.yaml.in/yaml/v3"
)

//go:embed openapi.yaml
var openAPIYAML []byte

// serveOpenAPI answers with openapi.yaml as JSON.
func (a *API) serveOpenAPI() echo.HandlerFunc {
	var spec any
	if err := yaml.Unmarshal(openAPIYAML, &spec); err != nil {
		panic(fmt.Sprint("openapi.yaml: ", err)) // it is part of the program
	}
	body, err := marshal(spec)
	if err != nil {
		panic(fmt.Sprint("openapi.yaml: ", err))
	}
	return func(c echo.Context) error { return a.send(c, &answer{status: http.StatusOK, body: body}) }
}
