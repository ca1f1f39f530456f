// Package web is the pages that Telltale shows to people in a browser.
package web

import (
	_ "embed"
	"net/http"
	"strings"

	"github.com/swaggest/swgui/v5/static"
	"github.com/vearutop/statigz"
)

//go:embed docs.html
var docs []byte

// path is where docs.html expects itself.
const path = "/api/docs/"

// Docs serves the page at /api/docs/ on which people read the OpenAPI description, /api/openapi.json, and
// try the API out (Swagger UI). Everything that the page needs is in this program, compressed, and served
// below its path.
func Docs() http.Handler {
	files := http.StripPrefix(path, statigz.FileServer(static.FS))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, path) && r.URL.Path != path {
			files.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write(docs)
	})
}
