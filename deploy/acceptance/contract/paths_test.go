package contract

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// paths are those of the contract, with their methods. D is a device, U a user.
var paths = map[string][]string{
	"/api/users/":                 {"GET", "POST"},
	"/api/users/U/":               {"GET", "PUT", "PATCH", "DELETE"},
	"/api/devices/":               {"GET", "POST"},
	"/api/devices/D/":             {"GET", "PUT", "PATCH", "DELETE"},
	"/api/devices/D/readings/":    {"GET", "POST"},
	"/api/devices/D/latest/":      {"GET"},
	"/api/devices/D/series/":      {"GET"},
	"/api/readings/":              {"GET", "POST"},
	"/api/readings/latest_all/":   {"GET"},
	"/api/readings/stats/":        {"GET"},
	"/api/readings/aggregations/": {"GET"},
	"/api/latest/D/":              {"GET"},
	"/api/openapi.json":           {"GET"},
	"/api/asyncapi.json":          {"GET"},
	"/api/docs/":                  {"GET"},
}

func TestPaths(t *testing.T) {
	for path, methods := range paths {
		t.Run(path+" works with a slash at its end and without", func(t *testing.T) {
			t.Parallel()
			for _, method := range methods {
				for _, slash := range []string{"/", ""} {
					owner, id := newUser(t), deviceWithReadings(t, 1)
					body, want := "", http.StatusOK
					switch device := map[string]any{"name": "d", "user": owner.ID}; {
					case method == "POST" && strings.HasSuffix(path, "/readings/"):
						body, want = object(map[string]any{"device_id": id, "x": 1}), http.StatusAccepted
					case method == "POST" && path == "/api/devices/":
						device["id"] = newDevice()
						body, want = object(device), http.StatusCreated
					case method == "POST":
						body, want = object(map[string]any{"username": newName(), "email": "u@example.com"}), http.StatusCreated
					case method == "DELETE":
						want = http.StatusNoContent
					case method != "GET" && path == "/api/devices/D/":
						body = object(device)
					case method != "GET":
						body = object(map[string]any{"username": newName(), "email": "u@example.com"})
					}
					at := strings.TrimSuffix(fill(path, owner.ID, id), "/") + slash
					a := call(t, method, at, body)
					if a.status != want {
						t.Errorf("%s %s: %d, want %d: %.200s", method, at, a.status, want, a.body)
					}
					var created user
					if want == http.StatusCreated && path == "/api/users/" && json.Unmarshal([]byte(a.body), &created) == nil {
						call(t, "DELETE", userPath(created.ID), "")
					}
				}
			}
		})
		t.Run(path+" answers another method with 405 and Allow", func(t *testing.T) {
			t.Parallel()
			at := fill(path, 1, 1)
			for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE"} {
				if slices.Contains(methods, method) {
					continue
				}
				a := call(t, method, at, "")
				wantDetail(t, a, http.StatusMethodNotAllowed)
				var allowed []string
				for m := range strings.SplitSeq(a.header.Get("Allow"), ",") {
					if m = strings.TrimSpace(m); m != "HEAD" && m != "OPTIONS" {
						allowed = append(allowed, m)
					}
				}
				if slices.Sort(allowed); !slices.Equal(allowed, slices.Sorted(slices.Values(methods))) {
					t.Errorf("%s: Allow %q, want %q", method, allowed, methods)
				}
			}
		})
	}
	for _, path := range []string{"/api/users/9007199254740991/", "/api/devices/9007199254740991000/", "/api/users/ada/", "/api/devices/0/", "/api/devices/-1/",
		"/api/latest/kitchen/", "/api/nothing/", "/api/users/1/more/", "/nothing"} {
		t.Run(path+" is a 404 with a detail", func(t *testing.T) {
			t.Parallel()
			wantDetail(t, call(t, "GET", path, ""), http.StatusNotFound)
		})
	}
}

func fill(path string, user, device int64) string {
	return strings.NewReplacer("U", fmt.Sprint(user), "D", fmt.Sprint(device)).Replace(path)
}

func TestBodies(t *testing.T) {
	owner := newUser(t)
	target := newOwnedDevice(t, owner.ID)
	valid := map[string]string{"/api/users/": `{"username": %q, "email": "u@example.com"}`, "/api/devices/": `{"name": %q, "user": ` + fmt.Sprint(owner.ID) + `}`}
	for _, request := range []struct{ method, path string }{
		{"POST", "/api/users/"}, {"PUT", userPath(owner.ID)}, {"PATCH", userPath(owner.ID)},
		{"POST", "/api/devices/"}, {"PUT", devicePath(target.ID)}, {"PATCH", devicePath(target.ID)},
	} {
		name := request.method + " " + request.path
		body := fmt.Sprintf(valid["/api/users/"], newName())
		if strings.HasPrefix(request.path, "/api/devices/") {
			body = fmt.Sprintf(valid["/api/devices/"], "d")
		}
		for _, kind := range []string{"text/plain", "application/xml", "application/json-seq", "nonsense", ""} {
			t.Run(name+" of the media type "+kind+" is a 415", func(t *testing.T) {
				t.Parallel()
				wantDetail(t, call(t, request.method, request.path, body, "Content-Type", kind), http.StatusUnsupportedMediaType)
			})
		}
		for what, broken := range map[string]string{"a syntax error": `{"name": `, "trailing bytes": body + "x", "not UTF-8": "{\"username\": \"\xff\", \"name\": \"\xff\", \"email\": \"u@example.com\"}"} {
			t.Run(name+" with "+what+" is a 400", func(t *testing.T) {
				t.Parallel()
				if a := call(t, request.method, request.path, broken); a.status != http.StatusBadRequest {
					t.Errorf("%d %s", a.status, a.body)
				}
			})
		}
		for _, other := range []string{`[]`, `"x"`, `5`, `null`} {
			t.Run(name+" with "+other+" is a 400", func(t *testing.T) {
				t.Parallel()
				if a := call(t, request.method, request.path, other); a.status != http.StatusBadRequest {
					t.Errorf("%d %s", a.status, a.body)
				}
			})
		}
		t.Run(name+" with a body over 1 MiB is a 413", func(t *testing.T) {
			t.Parallel()
			wantDetail(t, call(t, request.method, request.path, body+strings.Repeat(" ", 1<<20-len(body)+1)), http.StatusRequestEntityTooLarge)
		})
		t.Run(name+" with a body of 1 MiB is none", func(t *testing.T) {
			t.Parallel()
			// The name is wrong, so that nothing changes.
			const wrong = `{"username": "", "name": ""}`
			if a := call(t, request.method, request.path, wrong+strings.Repeat(" ", 1<<20-len(wrong))); a.status != http.StatusBadRequest {
				t.Errorf("%d %s", a.status, a.body)
			}
		})
	}
	for _, kind := range []string{"application/json; charset=utf-8", "application/json;charset=UTF-8", "Application/JSON"} {
		t.Run("the media type "+kind+" is JSON", func(t *testing.T) {
			t.Parallel()
			u := newUser(t)
			decode[user](t, call(t, "PATCH", userPath(u.ID), `{"email": "new@example.com"}`, "Content-Type", kind), http.StatusOK)
		})
	}
}
