package contract

import (
	"fmt"
	"net/http"
	"testing"
)

func TestUnknownParameters(t *testing.T) {
	id := newOwnedDevice(t, newUser(t).ID).ID
	for _, path := range []string{"/api/users/", "/api/devices/", devicePath(id), fmt.Sprintf("/api/devices/%d/readings/", id), "/api/readings/export/", "/api/openapi.json"} {
		t.Run("change nothing and are named: "+path, func(t *testing.T) {
			t.Parallel()
			a := call(t, http.MethodHead, path+"?limti=3&no%0Dne=x", "")
			if got := a.header.Get("X-Unknown-Parameters"); a.status != http.StatusOK || got != "limti, no%0Dne" {
				t.Errorf("%d, %q", a.status, got)
			}
			if got := call(t, http.MethodHead, path, "").header.Get("X-Unknown-Parameters"); got != "" {
				t.Errorf("without any: %q", got)
			}
		})
	}
}

func TestETags(t *testing.T) {
	d := newOwnedDevice(t, newUser(t).ID)
	for _, path := range []string{devicePath(d.ID), fmt.Sprintf("/api/devices/?user=%d", d.User), fmt.Sprintf("/api/users/%d/", d.User)} {
		t.Run("what has not changed is a 304 for who has it: "+path, func(t *testing.T) {
			first := call(t, http.MethodGet, path, "")
			etag := first.header.Get("ETag")
			if first.status != http.StatusOK || etag == "" || first.header.Get("Cache-Control") == "" {
				t.Fatalf("%d %v", first.status, first.header)
			}
			if a := call(t, http.MethodGet, path, "", "If-None-Match", etag); a.status != http.StatusNotModified || a.body != "" || a.header.Get("ETag") != etag {
				t.Errorf("%d %q %v", a.status, a.body, a.header)
			}
			if a := call(t, http.MethodGet, path, "", "If-None-Match", `"another"`); a.status != http.StatusOK || a.body != first.body {
				t.Errorf("who has another one: %d", a.status)
			}
		})
	}
	t.Run("what has changed is sent", func(t *testing.T) {
		etag := call(t, http.MethodGet, devicePath(d.ID), "").header.Get("ETag")
		decode[device](t, call(t, http.MethodPatch, devicePath(d.ID), `{"name": "another"}`), http.StatusOK)
		if a := call(t, http.MethodGet, devicePath(d.ID), "", "If-None-Match", etag); a.status != http.StatusOK || a.header.Get("ETag") == etag {
			t.Errorf("%d %v", a.status, a.header)
		}
	})
}

func TestCORS(t *testing.T) {
	t.Run("a page of another origin is told nothing, and writes nothing", func(t *testing.T) {
		for _, method := range []string{http.MethodGet, http.MethodOptions} {
			a := call(t, method, "/api/users/", "", "Origin", "https://evil.example", "Access-Control-Request-Method", "GET")
			if got := a.header.Get("Access-Control-Allow-Origin"); got != "" {
				t.Errorf("%s: %q", method, got)
			}
		}
		wantDetail(t, call(t, http.MethodPost, "/api/users/", "{}", "Origin", "https://evil.example"), http.StatusForbidden)
	})
}
