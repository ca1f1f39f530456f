package contract

import (
	"net/http"
	"strings"
	"testing"
)

// TestForeignPages does what a page of somebody else makes a browser do.
func TestForeignPages(t *testing.T) {
	t.Parallel()
	for _, base := range append([]string{sut.http}, sut.ops...) {
		ask := func(t *testing.T, method, path string, change func(*http.Request)) answer {
			t.Helper()
			request, err := http.NewRequestWithContext(t.Context(), method, base+path, strings.NewReader("a=b"))
			if err != nil {
				t.Fatal(err)
			}
			change(request)
			return do(t, request)
		}
		for name, change := range map[string]func(*http.Request){
			"a form of another origin": func(r *http.Request) {
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				r.Header.Set("Origin", "https://evil.example")
				r.Header.Set("Sec-Fetch-Site", "cross-site")
			},
			"a form of another origin, from an old browser": func(r *http.Request) {
				r.Header.Set("Content-Type", "text/plain")
				r.Header.Set("Origin", "https://evil.example")
			},
			"a form of a page in a sandbox": func(r *http.Request) { r.Header.Set("Origin", "null") },
		} {
			t.Run(base+" refuses "+name, func(t *testing.T) {
				for _, path := range []string{"/api/dead-letters/replay/", "/api/users/", "/", "/metrics"} {
					wantDetail(t, ask(t, http.MethodPost, path, change), http.StatusForbidden)
				}
			})
		}
		t.Run(base+" is nobody else's host", func(t *testing.T) {
			for _, host := range []string{"evil.example", "evil.example:8000", "192.0.2.1.evil.example"} {
				for _, path := range []string{"/api/users/", "/api/docs/", "/", "/metrics", "/debug/pprof/"} {
					a := ask(t, http.MethodGet, path, func(r *http.Request) { r.Host = host })
					wantDetail(t, a, http.StatusMisdirectedRequest)
					if !strings.Contains(a.body, "ALLOWED_HOSTS") {
						t.Errorf("%s of %s: %s does not name the setting", path, host, a.body)
					}
				}
			}
			for _, host := range []string{"localhost", "LOCALHOST:1", "192.0.2.1", "[2001:db8::1]:80"} {
				if a := ask(t, http.MethodGet, "/", func(r *http.Request) { r.Host = host }); a.status == http.StatusMisdirectedRequest {
					t.Errorf("%s: %s", host, a.body)
				}
			}
		})
		t.Run(base+" cannot be framed", func(t *testing.T) {
			for _, path := range []string{"/api/docs/", "/api/users/", "/nothing/", "/livez", "/metrics"} {
				h := ask(t, http.MethodGet, path, func(*http.Request) {}).header
				policy := h.Get("Content-Security-Policy")
				if h.Get("X-Frame-Options") != "DENY" || !strings.Contains(policy, "frame-ancestors 'none'") ||
					!strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
					t.Errorf("%s: %s", path, h)
				}
				if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") != "same-origin" {
					t.Errorf("%s: %s", path, h)
				}
			}
		})
		t.Run(base+" has no profiles unless asked for", func(t *testing.T) {
			for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/profile", "/debug/pprof/cmdline"} {
				if a := call(t, http.MethodGet, base+path, ""); a.status != http.StatusNotFound {
					t.Errorf("%s: %d", path, a.status)
				}
			}
		})
	}
}
