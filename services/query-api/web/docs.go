// Package web is the pages that Telltale shows to people in a browser.
package web

import (
	"embed"
	"io"
	"net/http"
	"strings"

	"github.com/swaggest/swgui/v5/static"
	"github.com/vearutop/statigz"
)

//go:embed docs.html docs.css docs.js
var page embed.FS

// policy is for docs.html. Swagger UI draws with pictures that its style sheet holds.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// path is where docs.html expects itself.
const path = "/api/docs/"

// Docs serves the page at /api/docs/ on which people read the OpenAPI description, /api/openapi.json, and
// try the API out (Swagger UI). Everything that the page needs is in this program, compressed, and served
// below its path; the policy of the page allows no other source, and no inline script.
func Docs() http.Handler {
	files := http.StripPrefix(path, statigz.FileServer(static.FS, statigz.OnNotFound(notFound)))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch asset := strings.TrimPrefix(r.URL.Path, path); {
		case asset == "docs.css" || asset == "docs.js":
			http.ServeFileFS(w, r, page, asset)
		case asset != "" && asset != r.URL.Path:
			files.ServeHTTP(w, r)
		default:
			w.Header().Set("Content-Security-Policy", policy)
			http.ServeFileFS(w, r, page, "docs.html")
		}
	})
}

func notFound(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusNotFound)
	_, _ = io.WriteString(w, `{"detail":"Not found."}`)
}
