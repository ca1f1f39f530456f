package api

import (
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/telltale-iot/telltale/services/query-api/web"
)

func getHTML(handler http.Handler, path string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.Header.Set("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
	r.Header.Set("Accept-Encoding", "gzip")
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	return w
}

// TestDashboardPages: a browser gets the dashboard, or one line that says why it is not there, at each of its pages, also with
// a key in the address; it lets nothing in that is not ours. What it loads may be kept forever. All else is as it was.
func TestDashboardPages(t *testing.T) {
	handler := embedded(t).handler(t)
	for _, path := range append([]string{"/devices/a%2Fb%20c", "/explore", "/?q=lab"}, web.Pages...) {
		w := getHTML(handler, strings.ReplaceAll(path, ":id", "42"))
		body := w.Body.String()
		if w.Code != http.StatusOK || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") || !strings.Contains(body, "<title>Telltale") {
			t.Errorf("%s: %d %s %s", path, w.Code, w.Header(), body)
		}
		policy := w.Header().Get("Content-Security-Policy")
		if !strings.HasPrefix(policy, "default-src 'self';") || !strings.Contains(policy, "frame-ancestors 'none'") || strings.Contains(policy, "unsafe") {
			t.Errorf("%s: policy %q", path, policy)
		}
		if regexp.MustCompile(`<style|<script>| (?:style|on\w+)=`).MatchString(body) {
			t.Errorf("%s has what its policy does not allow: %s", path, body)
		}
		if w.Header().Get("Cache-Control") != "no-cache" || w.Header().Get("ETag") == "" {
			t.Errorf("%s: %s", path, w.Header())
		}
		assets := regexp.MustCompile(`(?:src|href)="(/assets/[^"]*)"`).FindAllStringSubmatch(body, -1)
		if built := !strings.Contains(body, "left out"); built != (len(assets) >= 3) {
			t.Errorf("%s loads %v", path, assets)
		}
		for _, asset := range assets {
			w := getHTML(handler, asset[1])
			if w.Code != http.StatusOK || w.Header().Get("Content-Encoding") != "gzip" || !strings.HasSuffix(w.Header().Get("Cache-Control"), "immutable") {
				t.Errorf("%s: %d %s", asset[1], w.Code, w.Header())
			}
			if plain := get(handler, asset[1]); plain.Code != http.StatusOK || plain.Header().Get("Content-Encoding") != "" || plain.Body.Len() == 0 {
				t.Errorf("%s, not compressed: %d %s", asset[1], plain.Code, plain.Header())
			}
		}
	}
	if w := get(handler, "/"); w.Code != http.StatusOK || w.Body.String() != getHTML(handler, "/").Body.String() {
		t.Errorf("/ without a browser: %d %s", w.Code, w.Header())
	}
	for _, path := range []string{"/assets/nothing.js", "/assets/", "/nothing/", "/devices/", "/api/nothing/"} {
		if w := getHTML(handler, path); w.Code != http.StatusNotFound || !strings.HasPrefix(w.Body.String(), `{"detail":"Not found."}`) || strings.Contains(w.Header().Get("Cache-Control"), "immutable") {
			t.Errorf("%s: %d %s %s", path, w.Code, w.Header(), w.Body)
		}
	}
}

// TestPagesAreServed: each page that is shown is served.
func TestPagesAreServed(t *testing.T) {
	table, err := os.ReadFile("../web/src/routes.ts")
	if err != nil {
		t.Fatal(err)
	}
	pages := regexp.MustCompile(`\{ path: "([^"]*)"`).FindAllStringSubmatch(string(table), -1)
	if len(pages) == 0 {
		t.Error("no page is shown")
	}
	for _, page := range pages {
		route := strings.TrimSuffix(strings.ReplaceAll(page[1], "{id}", ":id"), "/") + "/"
		if !slices.Contains(web.Pages, route) {
			t.Errorf("%s is not served", page[1])
		}
	}
}
