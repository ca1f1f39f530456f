package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/telltale-iot/telltale/pkg/auth"
	"github.com/telltale-iot/telltale/pkg/iot"
)

// needs are what routes ask, in words of this test's own: a change of routes() has to be made here, too.
var needs = map[string]string{
	"GET /api/login/": "everybody", "GET /api/ca.crt": "everybody", "POST /api/login/": "everybody", "POST /api/logout/": "everybody",
	"GET /api/login/oidc/": "everybody", "GET /api/login/oidc/callback/": "everybody",
	"GET /api/me/": "people", "PUT /api/me/password/": "people",
	"GET /api/tokens/": "people", "POST /api/tokens/": "people", "GET /api/tokens/{id}/": "people", "DELETE /api/tokens/{id}/": "people",
	"GET /api/users/": "readers", "GET /api/users/{id}/": "readers",
	"POST /api/users/": "admins", "PUT /api/users/{id}/": "admins", "PATCH /api/users/{id}/": "admins", "DELETE /api/users/{id}/": "admins",
	"GET /api/devices/": "readers", "POST /api/devices/": "operators",
	"GET /api/devices/{id}/": "readers", "PUT /api/devices/{id}/": "operators", "PATCH /api/devices/{id}/": "operators", "DELETE /api/devices/{id}/": "operators",
	"GET /api/devices/{id}/readings/": "readers", "POST /api/devices/{id}/readings/": "senders",
	"GET /api/devices/{id}/series/": "readers", "GET /api/devices/{id}/latest/": "readers", "GET /api/devices/{id}/trace/": "readers",
	"GET /api/devices/{id}/credentials/": "operators", "POST /api/devices/{id}/credentials/": "operators", "DELETE /api/devices/{id}/credentials/{cid}/": "operators",
	"GET /api/credentials/": "operators", "POST /api/credentials/": "operators", "DELETE /api/credentials/{cid}/": "operators",
	"GET /api/provisioning-keys/": "admins", "POST /api/provisioning-keys/": "admins", "DELETE /api/provisioning-keys/{kid}/": "admins",
	"POST /api/enroll/":  "everybody",
	"GET /api/readings/": "readers", "POST /api/readings/": "senders", "GET /api/readings/export/": "readers", "POST /api/readings/import/": "operators",
	"GET /api/readings/latest_all/": "readers", "GET /api/readings/search/": "readers", "GET /api/readings/stats/": "readers",
	"GET /api/readings/retention/": "readers", "GET /api/readings/aggregations/": "readers", "GET /api/latest/{id}/": "readers",
	"GET /api/series/": "readers", "GET /api/live/": "readers",
	"GET /api/webhooks/{topic}/": "senders", "POST /api/webhooks/{topic}/": "senders",
	"GET /api/dead-letters/": "readers", "DELETE /api/dead-letters/": "operators", "GET /api/dead-letters/stats/": "readers",
	"POST /api/dead-letters/replay/": "operators", "GET /api/dead-letters/{id}/": "readers", "DELETE /api/dead-letters/{id}/": "operators",
	"POST /api/dead-letters/{id}/replay/": "operators",
	"GET /api/ignored/":                   "readers", "DELETE /api/ignored/": "operators", "GET /api/system/": "readers",
	"GET /api/auth/refused/": "operators", "DELETE /api/auth/refused/": "operators",
	"GET /api/auth/would-deny/": "operators", "DELETE /api/auth/would-deny/": "operators", "GET /api/audit/": "admins",
	"POST /api/mappings/test/":          "readers",
	"GET /api/prometheus/api/v1/query/": "readers", "POST /api/prometheus/api/v1/query/": "readers",
	"GET /api/prometheus/api/v1/query_range/": "readers", "POST /api/prometheus/api/v1/query_range/": "readers",
	"GET /api/prometheus/api/v1/series/": "readers", "POST /api/prometheus/api/v1/series/": "readers",
	"GET /api/prometheus/api/v1/labels/": "readers", "POST /api/prometheus/api/v1/labels/": "readers",
	"GET /api/prometheus/api/v1/label/{label}/values/": "readers", "GET /api/prometheus/api/v1/metadata/": "readers",
	"GET /api/prometheus/api/v1/status/buildinfo/": "readers",
	"GET /api/openapi.json":                        "everybody", "GET /api/asyncapi.json": "everybody", "GET /api/docs/": "everybody",
}

// TestRoles asks for every operation of the API as everybody, and looks at who is refused.
func TestRoles(t *testing.T) {
	s := secure(t, auth.On)
	credentials := map[string][]string{"nobody": nil, "stranger": {"Authorization", "Bearer " + auth.NewSecret(auth.TokenPrefix)}}
	for _, role := range iot.Roles {
		secret, _ := s.token(t, iot.Token{User: s.user(t, string(role), role), Role: role})
		credentials[string(role)] = []string{"Authorization", "Bearer " + secret}
	}
	chief := s.user(t, "chief", iot.RoleAdmin)
	limited, _ := s.token(t, iot.Token{User: chief, Role: iot.RoleAdmin, Devices: []iot.DeviceID{7}})
	credentials["limited"] = []string{"Authorization", "Token " + limited}
	allowed := map[string][]string{
		"readers":   {"viewer", "operator", "admin", "member", "limited"},
		"operators": {"operator", "admin", "member", "limited"},
		"senders":   {"operator", "admin", "member", "limited"},
		"people":    {"viewer", "operator", "admin", "member", "limited"},
		"admins":    {"admin"},
		"everybody": {"nobody", "stranger", "viewer", "operator", "admin", "member", "limited"},
	}
	const forbidden = `{"detail":"You do not have permission to perform this action."}`
	var requests errgroup.Group
	requests.SetLimit(50) // some wait for Kafka, which is away
	for _, operation := range loadSpec(t).operations {
		need, ok := needs[operation]
		if !ok {
			t.Errorf("%s: nobody has said whom it is for", operation)
			continue
		}
		method, path, _ := strings.Cut(operation, " ")
		path = strings.NewReplacer("{id}", "999", "{cid}", "999", "{kid}", "999", "{label}", "name", "{topic}/", "nowhere").Replace(path)
		if path == "/api/live/" {
			method = http.MethodHead // a stream has no end
		}
		for who, headers := range credentials {
			requests.Go(func() error {
				w := s.ask(method, path, `[]`, headers...) // which changes nothing
				status, stranger, may := w.Code, who == "nobody" || who == "stranger", slices.Contains(allowed[need], who)
				// Who sees some devices alone is refused by some handlers, too: scope_test.go has which.
				byRole := status == http.StatusForbidden && w.Body.String() == forbidden && who != "member" && who != "limited"
				wrong := may && (byRole || status == http.StatusUnauthorized && need != "everybody")
				if !may && stranger {
					wrong = status != http.StatusUnauthorized
				} else if !may {
					wrong = status != http.StatusForbidden
				}
				if wrong || (status == http.StatusUnauthorized) != (w.Header().Get("WWW-Authenticate") != "") {
					t.Errorf("%s as %s: %d %s, WWW-Authenticate %q", operation, who, status, w.Body, w.Header().Get("WWW-Authenticate"))
				}
				return nil
			})
		}
	}
	_ = requests.Wait()
}

// TestSecurityIsDescribed: openapi.yaml says of each operation what its route asks.
func TestSecurityIsDescribed(t *testing.T) {
	var spec struct {
		Paths map[string]map[string]struct{ Security []map[string][]string }
	}
	if err := json.Unmarshal(get(embedded(t).handler(t), "/api/openapi.json").Body.Bytes(), &spec); err != nil {
		t.Fatal(err)
	}
	said := map[string]string{
		"everybody": "[]", "people": "[map[token:[]] map[session:[]]]", "readers": "[map[token:[viewer]] map[session:[viewer]]]",
		"operators": "[map[token:[operator]] map[session:[operator]]]", "admins": "[map[token:[admin]] map[session:[admin]]]",
		"senders": "[map[token:[operator]] map[session:[operator]] map[device:[]]]",
	}
	for operation, need := range needs {
		method, path, _ := strings.Cut(operation, " ")
		if got := fmt.Sprint(spec.Paths[path][strings.ToLower(method)].Security); got != said[need] {
			t.Errorf("%s is for %s, and its security is %s", operation, need, got)
		}
	}
}
