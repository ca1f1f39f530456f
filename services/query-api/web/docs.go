// Package web is the pages that Telltale shows to people in a browser.
package web

import (
	"net/http"

	"github.com/swaggest/swgui"
	"github.com/swaggest/swgui/v5emb"
)

// Docs serves a page at path on which people read the OpenAPI description at specPath and try the API out
// (Swagger UI). Everything that it needs is in this program and served below path.
func Docs(path, specPath string) http.Handler {
	return v5emb.NewHandlerWithConfig(swgui.Config{
		Title:       "Telltale API",
		SwaggerJSON: specPath,
		BasePath:    path,
		SettingsUI: map[string]string{
			"displayRequestDuration":   "true",
			"defaultModelsExpandDepth": "1",
		},
	})
}
