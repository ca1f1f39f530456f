package api

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/telltale-iot/telltale/pkg/auth"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/services/query-api/access"
)

// change is a request that changes something, with words of the answers before in braces, and what the audit has of it.
type change struct {
	route, body string // the route as openapi.json has it
	keep        string // the id of the answer goes under this name into the paths after it
	actions     []string
}

// changes are a request to every route that changes what people have made. What each leaves is what the next begins with.
var changes = []change{
	{"POST /api/users/", `{"username": "bob", "email": "bob@example.com", "role": "operator", "password": "` + testPassword + `"}`, "user", []string{"user.create"}},
	{"PATCH /api/users/{user}/", `{"role": "viewer"}`, "", []string{"account.update"}},
	{"PUT /api/users/{user}/", `{"username": "rob", "email": "rob@example.com"}`, "", []string{"user.update"}},
	{"POST /api/tokens/", `{"name": "Grafana"}`, "token", []string{"token.create"}},
	{"DELETE /api/tokens/{token}/", "", "", []string{"token.delete"}},
	{"POST /api/devices/", `{"id": 7, "name": "seven", "user": {user}}`, "device", []string{"device.create"}},
	{"PATCH /api/devices/{device}/", `{"location": "attic"}`, "", []string{"device.update"}},
	{"PUT /api/devices/{device}/", `{"name": "7", "user": {user}}`, "", []string{"device.update"}},
	{"POST /api/devices/{device}/credentials/", `{"type": "password"}`, "own", []string{"credential.create"}},
	{"DELETE /api/devices/{device}/credentials/{own}/", "", "", []string{"credential.delete"}},
	{"POST /api/credentials/", `{"name": "hall", "type": "password", "devices": [7, 8]}`, "gateway", []string{"credential.create"}},
	{"DELETE /api/credentials/{gateway}/", "", "", []string{"credential.delete"}},
	{"POST /api/provisioning-keys/", `{"name": "batch", "uses": 9}`, "key", []string{"provisioning-key.create"}},
	{"DELETE /api/provisioning-keys/{key}/", "", "", []string{"provisioning-key.delete"}},
	{"POST /api/dead-letters/00000000000000000000000000000001/replay/", `{"payload": {"device_id": 7, "temperature": 1}}`, "", []string{"dead_letter.replay"}},
	{"POST /api/dead-letters/replay/", "", "", []string{"dead_letter.replay"}},
	{"DELETE /api/dead-letters/00000000000000000000000000000001/", "", "", []string{"dead_letter.delete"}},
	{"DELETE /api/dead-letters/?reason=invalid_json", "", "", []string{"dead_letter.delete"}},
	{"DELETE /api/ignored/", "", "", []string{"ignored.delete"}},
	{"DELETE /api/auth/refused/", "", "", []string{"refusals.delete"}},
	{"DELETE /api/auth/would-deny/", "", "", []string{"refusals.delete"}},
	{"PUT /api/me/password/", `{"old_password": "` + testPassword + `", "new_password": "another horse battery staple"}`, "", []string{"account.update"}},
	{"DELETE /api/devices/{device}/", "", "", []string{"device.delete"}},
	{"DELETE /api/users/{user}/", "", "", []string{"user.delete"}},
}

// elsewhere are routes that change what no person has made, or nothing, or whose entries other tests look at.
var elsewhere = map[string]string{
	"POST /api/login/": "TestGuesses", "POST /api/logout/": "TestLogIn", "POST /api/enroll/": "TestEnroll, and the stores' own",
	"POST /api/devices/{id}/readings/": "readings", "POST /api/readings/": "readings", "POST /api/readings/import/": "readings",
	"POST /api/webhooks/{topic}/": "readings", "POST /api/mappings/test/": "changes nothing",
	"POST /api/prometheus/api/v1/query/": "a query", "POST /api/prometheus/api/v1/query_range/": "a query",
	"POST /api/prometheus/api/v1/series/": "a query", "POST /api/prometheus/api/v1/labels/": "a query",
}

// TestAuditOfEveryChange sends a change to every route that takes one: the audit has an entry of it, with who sent it, by which
// token and from where, and none of what was refused.
func TestAuditOfEveryChange(t *testing.T) {
	s := &secured{store: embedded(t)}
	s.store.startKafka(t)
	s.store.keep(t, parseDeadLetters(t, []byte(
		`{"ID":"00000000000000000000000000000001","Reason":"invalid_json","Source":"sensors/7/data","Payload":"{","Received":"2026-01-01T00:00:00Z"}`+"\n"+
			`{"ID":"00000000000000000000000000000002","Reason":"invalid_json","Source":"sensors/7/data","Payload":"{","Received":"2026-01-01T00:00:00Z"}`+"\n"))...)
	s.api = s.store.api(t, nil)
	s.api.Auth = access.New(access.Settings{Mode: auth.On, Store: s.store.metadata, Log: s.api.Log, Refused: s.refused.add})
	background(t, s.api.Auth.Run)
	s.Handler = s.api.Handler()
	boss := s.user(t, "boss", iot.RoleAdmin)
	secret, _ := s.token(t, iot.Token{User: boss, Role: iot.RoleAdmin})
	reads, _ := s.token(t, iot.Token{User: boss, Role: iot.RoleViewer})

	last := int64(0)
	added := func() (entries []iot.AuditEntry) {
		t.Helper()
		all, err := s.store.metadata.Audit(t.Context(), iot.AuditQuery{Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range all {
			if e.ID > last {
				entries = append(entries, e)
			}
		}
		if len(all) > 0 {
			last = all[0].ID
		}
		return entries
	}
	added()
	ids := map[string]string{}
	walked := map[string]bool{}
	for _, c := range changes {
		fill := strings.NewReplacer("{user}", ids["user"], "{token}", ids["token"], "{device}", ids["device"], "{own}", ids["own"],
			"{gateway}", ids["gateway"], "{key}", ids["key"])
		method, path, _ := strings.Cut(fill.Replace(c.route), " ")
		body := fill.Replace(c.body)
		if c.route != "PUT /api/me/password/" && c.route != "POST /api/tokens/" && !strings.Contains(c.route, "{token}") { // these a viewer may
			if w := s.ask(method, path, body, "Authorization", "Bearer "+reads); w.Code != http.StatusForbidden {
				t.Errorf("%s as a viewer: %d %s", c.route, w.Code, w.Body)
			}
			if refused := added(); len(refused) > 0 {
				t.Errorf("%s is refused, and in the audit are %+v", c.route, refused)
			}
		}
		w := s.ask(method, path, body, "Authorization", "Bearer "+secret)
		if w.Code >= 300 {
			t.Errorf("%s: %d %s", c.route, w.Code, w.Body)
		}
		var made struct{ ID json.Number }
		if c.keep != "" {
			if err := json.Unmarshal(w.Body.Bytes(), &made); err != nil || made.ID == "" {
				t.Fatalf("%s: %v in %s", c.route, err, w.Body)
			}
			ids[c.keep] = made.ID.String()
		}
		var actions []string
		for _, e := range added() {
			actions = append(actions, e.Action)
			if e.Actor != (iot.Actor{Name: "boss", Token: "test", Address: "192.0.2.1"}) {
				t.Errorf("%s: by %+v", c.route, e.Actor)
			}
			if strings.HasSuffix(e.Action, ".create") && e.After == nil || strings.HasSuffix(e.Action, ".update") && (e.Before == nil || e.After == nil) {
				t.Errorf("%s: before %s, after %s", c.route, e.Before, e.After)
			}
		}
		if !slices.Equal(actions, c.actions) {
			t.Errorf("%s: in the audit are %q", c.route, actions)
		}
		walked[routeOf(c.route)] = true
	}
	for _, operation := range loadSpec(t).operations {
		if method, _, _ := strings.Cut(operation, " "); method == http.MethodGet {
			continue
		}
		if _, other := elsewhere[operation]; other == walked[routeOf(operation)] {
			t.Errorf("%s: walked: %v, elsewhere: %v", operation, walked[routeOf(operation)], other)
		}
	}
}

// routeOf is a route without what stands in its braces, ids and a query.
func routeOf(route string) string {
	route, _, _ = strings.Cut(route, "?")
	parts := strings.Split(route, "/")
	for i, part := range parts {
		if strings.HasPrefix(part, "{") || strings.HasPrefix(part, "0000") {
			parts[i] = "{}"
		}
	}
	return strings.Join(parts, "/")
}
