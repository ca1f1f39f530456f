package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"io/fs"
	"net/http"
	"time"

	"github.com/vearutop/statigz"
)

// Pages are the addresses of the dashboard's pages, as routes have them. src/routes.ts says what is shown there.
var Pages = []string{
	"/", "/devices/:id/", "/explore/", "/dead-letters/", "/ignored/", "/mappings/", "/system/", "/admin/users/", "/admin/devices/",
	"/access/", "/access/refused/", "/access/would-deny/", "/access/credentials/", "/access/tokens/", "/access/audit/", "/login/",
}

// dist is what build.mjs makes: index.html and, below assets, compressed files with names that change with their content.
// Without Node.js there is nothing in it.
//
//go:embed all:dist
var dist embed.FS

const dashboardPolicy = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"

const leftOut = `<!DOCTYPE html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <meta name="color-scheme" content="light dark">
  <title>Telltale</title>
</head>
<body>
  <p>The dashboard was left out of this build: to have it, install Node.js 20 or newer, with npm, run <code>make web</code> and build Telltale again.</p>
  <p><a href="/api/docs/">The API, to try out</a></p>
</body>
</html>
`

// Dashboard serves the one page that shows all pages of the dashboard.
func Dashboard() http.Handler {
	page, err := dist.ReadFile("dist/index.html")
	if errors.Is(err, fs.ErrNotExist) {
		page = []byte(leftOut)
	} else if err != nil {
		panic(err) // it is in this program
	}
	hash := sha256.Sum256(page)
	etag := `"` + hex.EncodeToString(hash[:8]) + `"`
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Content-Security-Policy", dashboardPolicy)
		header.Set("Cache-Control", "no-cache")
		header.Set("ETag", etag)
		http.ServeContent(w, r, "index.html", time.Time{}, bytes.NewReader(page))
	})
}

// Assets serves below /assets/ what the pages load. It may be kept forever.
func Assets() http.Handler {
	files := statigz.FileServer(dist, statigz.FSPrefix("dist"), statigz.OnNotFound(notFound))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if files.Found(r) {
			w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		}
		files.ServeHTTP(w, r)
	})
}
