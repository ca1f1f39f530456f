package api

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// TestCaching is about what clients keep: what a GET found, which they ask for anew with its ETag.
func TestCaching(t *testing.T) {
	s := embedded(t)
	handler := s.handler(t)
	owner, err := s.metadata.CreateUser(t.Context(), iot.User{Username: "ada"})
	if err != nil {
		t.Fatal(err)
	}
	for range 30 {
		if _, err := s.metadata.CreateDevice(t.Context(), iot.Device{Name: "x", Owner: owner.ID}); err != nil {
			t.Fatal(err)
		}
	}
	s.insert(t, reading(1, 0), reading(1, 1))
	ask := func(method, path string, headers ...string) *httptest.ResponseRecorder {
		t.Helper()
		r := httptest.NewRequest(method, path, nil)
		for i := 0; i < len(headers); i += 2 {
			r.Header.Add(headers[i], headers[i+1])
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		return w
	}

	for _, path := range []string{
		"/api/users/1/", "/api/devices/", "/api/devices/?limit=2", "/api/devices/1/", "/api/devices/1/readings/", "/api/readings/latest_all/", "/api/openapi.json",
	} {
		t.Run("what the client has is not sent again, in no form: "+path, func(t *testing.T) {
			first := ask(http.MethodGet, path)
			etag := first.Header().Get("ETag")
			if first.Code != http.StatusOK || !strings.HasPrefix(etag, `W/"`) || first.Header().Get("Cache-Control") != "private, no-cache" {
				t.Fatalf("%d %v", first.Code, first.Header())
			}
			for _, headers := range [][]string{
				{"If-None-Match", etag}, {"If-None-Match", etag, "Accept-Encoding", "gzip"}, {"If-None-Match", `"other", ` + etag},
				{"If-None-Match", "*"}, {"If-None-Match", strings.TrimPrefix(etag, "W/")}, {"If-None-Match", `"other"`, "If-None-Match", etag},
			} {
				for _, method := range []string{http.MethodGet, http.MethodHead} {
					again := ask(method, path, headers...)
					if h := again.Header(); again.Code != http.StatusNotModified || again.Body.Len() > 0 || h.Get("ETag") != etag ||
						h.Get("Content-Encoding") != "" || h.Get("Vary") != first.Header().Get("Vary") || h.Get("Link") != first.Header().Get("Link") {
						t.Errorf("%s with %q: %d %v", method, headers, again.Code, h)
					}
				}
			}
			zipped := ask(http.MethodGet, path, "Accept-Encoding", "gzip", "If-None-Match", `W/"other"`)
			if zipped.Code != http.StatusOK || zipped.Header().Get("ETag") != etag {
				t.Errorf("in gzip: %d %v", zipped.Code, zipped.Header())
			}
		})
	}

	t.Run("what has changed has another ETag, also where only its link has", func(t *testing.T) {
		before := ask(http.MethodGet, "/api/devices/?limit=30")
		if before.Header().Get("Link") != "" {
			t.Fatal("it has a link")
		}
		if _, err := s.metadata.CreateDevice(t.Context(), iot.Device{Name: "x", Owner: owner.ID}); err != nil {
			t.Fatal(err)
		}
		after := ask(http.MethodGet, "/api/devices/?limit=30", "If-None-Match", before.Header().Get("ETag"))
		if after.Code != http.StatusOK || after.Body.String() != before.Body.String() || after.Header().Get("Link") == "" {
			t.Errorf("%d %v", after.Code, after.Header())
		}
		one := ask(http.MethodGet, "/api/devices/1/").Header().Get("ETag")
		name := "y"
		if _, _, err := s.metadata.UpdateDevice(t.Context(), 1, iot.DeviceChange{Name: &name}); err != nil {
			t.Fatal(err)
		}
		if w := ask(http.MethodGet, "/api/devices/1/", "If-None-Match", one); w.Code != http.StatusOK {
			t.Errorf("%d", w.Code)
		}
	})

	t.Run("all else is kept by nobody, and has no ETag", func(t *testing.T) {
		for path, method := range map[string]string{
			"/api/nothing/": http.MethodGet, "/api/users/99/": http.MethodGet, "/api/users/?limit=0": http.MethodGet, "/api/users/": http.MethodPut,
			"/api/users/1": http.MethodPost, "/api/devices/30/": http.MethodDelete, "/api/readings/export/": http.MethodGet, "/api/readings/?format=csv": http.MethodGet,
			"/api/devices/99/latest/": http.MethodGet,
		} {
			w := ask(method, path, "If-None-Match", "*")
			if w.Code == http.StatusNotModified || w.Header().Get("ETag") != "" || w.Header().Get("Cache-Control") != "no-store" {
				t.Errorf("%s %s: %d %v", method, path, w.Code, w.Header())
			}
		}
	})

	t.Run("parameters that nobody reads are named, wherever they stand", func(t *testing.T) {
		for _, path := range []string{
			"/api/users/", "/api/devices/1/", "/api/readings/", "/api/readings/export/", "/api/readings/?format=csv&", "/api/openapi.json", "/api/asyncapi.json",
			"/api/readings/stats/",
		} {
			if !strings.Contains(path, "?") {
				path += "?"
			}
			w := ask(http.MethodGet, path+"limti=3&a%0Ab=1&limti=4")
			if got := w.Header().Get("X-Unknown-Parameters"); w.Code != http.StatusOK || got != "limti, a%0Ab" {
				t.Errorf("%s: %d, %q", path, w.Code, got)
			}
		}
	})
}

// TestCORS: pages of the origins that a setting names use the API as its own do.
func TestCORS(t *testing.T) {
	a := embedded(t).api(t, nil)
	a.CORS.Origins = []string{"https://app.example.com"}
	server := httptest.NewServer(a.Handler())
	defer server.Close()
	ask := func(method, path, body string, headers map[string]string) *http.Response {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Origin", "https://app.example.com")
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		r.Header.Set("Content-Type", "application/json")
		for name, value := range headers {
			r.Header.Set(name, value)
		}
		res, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		return res
	}
	preflight := ask(http.MethodOptions, "/api/users/", "", map[string]string{"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"})
	if preflight.StatusCode != http.StatusNoContent || !strings.Contains(preflight.Header.Get("Access-Control-Allow-Methods"), "POST") {
		t.Errorf("preflight: %s %v", preflight.Status, preflight.Header)
	}
	created := ask(http.MethodPost, "/api/users/", `{"username": "ada", "email": "ada@example.com"}`, nil)
	if created.StatusCode != http.StatusCreated || created.Header.Get("Access-Control-Allow-Origin") != "https://app.example.com" {
		t.Errorf("POST: %s %v", created.Status, created.Header)
	}
	list := ask(http.MethodGet, "/api/readings/", "", nil)
	for _, name := range []string{"Link", "ETag", "X-Unknown-Parameters", "Location", "Retry-After"} {
		if !strings.Contains(list.Header.Get("Access-Control-Expose-Headers"), name) {
			t.Errorf("%s is not exposed: %v", name, list.Header)
		}
	}
	if got := strings.Join(list.Header["Vary"], ", "); got != "Origin, Accept" {
		t.Errorf("Vary: %s", got)
	}
	if res := ask(http.MethodPost, "/api/users/", "{}", map[string]string{"Origin": "https://evil.example"}); res.StatusCode != http.StatusForbidden {
		t.Errorf("a write of another page: %s", res.Status)
	}
}
