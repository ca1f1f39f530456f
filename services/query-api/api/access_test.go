package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/google/go-cmp/cmp"

	"github.com/telltale-iot/telltale/pkg/auth"
	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/httpguard"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka/kafkatest"
	"github.com/telltale-iot/telltale/services/query-api/access"
)

const testPassword = "correct horse battery staple"

// secured is an API that asks who somebody is, and what it tells of who is refused.
type secured struct {
	http.Handler
	api     *API
	store   stores
	refused refusals
}

// refusals are those that an API has told of.
type refusals struct {
	mu   sync.Mutex
	told []event.Refusal
}

func (l *refusals) add(r event.Refusal) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.told = append(l.told, r)
}

func (l *refusals) all() []event.Refusal {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.told)
}

func secure(t *testing.T, mode auth.Mode) *secured {
	t.Helper()
	s := &secured{store: embedded(t)}
	s.api = s.store.api(t, nil)
	s.api.CORS = httpguard.CORS{Origins: []string{"https://app.example.com"}}
	s.api.Auth = access.New(access.Settings{Mode: mode, Store: s.store.metadata, Log: s.api.Log, Refused: s.refused.add})
	background(t, s.api.Auth.Run)
	s.Handler = s.api.Handler()
	return s
}

// user creates one of that role, whose password is testPassword, and returns his id.
func (s *secured) user(t *testing.T, name string, role iot.Role) int64 {
	t.Helper()
	hash, err := auth.HashPassword(t.Context(), testPassword)
	if err != nil {
		t.Fatal(err)
	}
	u, err := s.store.metadata.CreateAccount(t.Context(), iot.User{Username: name, Email: name + "@example.com"}, iot.Account{Role: role, Password: hash})
	if err != nil {
		t.Fatal(err)
	}
	return u.ID
}

// token returns a new one.
func (s *secured) token(t *testing.T, token iot.Token) (secret string, id int64) {
	t.Helper()
	secret = auth.NewSecret(auth.TokenPrefix)
	token.Name = "test"
	made, err := s.store.metadata.CreateToken(t.Context(), token, auth.Hash(secret))
	if err != nil {
		t.Fatal(err)
	}
	return secret, made.ID
}

// ask sends a request with headers, in pairs of name and value.
func (s *secured) ask(method, path, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

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

func TestTokens(t *testing.T) {
	s := secure(t, auth.On)
	ada := s.user(t, "ada", iot.RoleAdmin)
	bob := s.user(t, "bob", iot.RoleViewer)
	adas, _ := s.token(t, iot.Token{User: ada, Role: iot.RoleAdmin})
	bobs, id := s.token(t, iot.Token{User: bob, Role: iot.RoleViewer})
	status := func(secret string) int {
		return s.ask("GET", "/api/users/", "", "Authorization", "Bearer "+secret).Code
	}
	if got := status(bobs); got != http.StatusOK {
		t.Fatalf("a token: %d", got)
	}
	becomes := func(t *testing.T, secret string, want int) {
		t.Helper()
		kafkatest.Eventually(t, kafkatest.Timeout, fmt.Sprintf("status %d", want), func() bool { return status(secret) == want })
	}
	if access.MaxStale >= time.Second { // how long it takes here is the machine's affair, too
		t.Errorf("a token that is gone may count for %v", access.MaxStale)
	}
	t.Run("one that has expired does not count", func(t *testing.T) {
		old, _ := s.token(t, iot.Token{User: bob, Role: iot.RoleViewer, ExpiresAt: time.Now().Add(-time.Second)})
		w := s.ask("GET", "/api/users/", "", "Authorization", "Bearer "+old)
		if w.Code != http.StatusUnauthorized || w.Body.String() != `{"detail":"Invalid token."}` {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
	t.Run("one in a URL never counts", func(t *testing.T) {
		for _, path := range []string{"/api/users/?token=", "/api/users/?access_token=", "/api/webhooks/a/?token="} {
			for _, headers := range [][]string{nil, {"Authorization", "Bearer " + adas}} {
				if w := s.ask("GET", path+adas, "", headers...); w.Code != http.StatusUnauthorized || strings.Contains(w.Body.String()+fmt.Sprint(w.Header()), adas) {
					t.Errorf("%s: %d %s %v", path, w.Code, w.Body, w.Header())
				}
			}
		}
	})
	t.Run("nobody makes one that may do more than he", func(t *testing.T) {
		for _, body := range []string{
			`{"name": "x", "role": "operator"}`, `{"name": "x", "user": 1}`, `{"name": "x", "expires_at": null}`, `{"name": "x", "expires_at": "2999-01-01"}`,
		} {
			if w := s.ask("POST", "/api/tokens/", body, "Authorization", "Bearer "+bobs); w.Code != http.StatusBadRequest {
				t.Errorf("%s: %d %s", body, w.Code, w.Body)
			}
		}
		limited, _ := s.token(t, iot.Token{User: ada, Role: iot.RoleAdmin, Devices: []iot.DeviceID{7}})
		if w := s.ask("POST", "/api/tokens/", `{"name": "x"}`, "Authorization", "Bearer "+limited); w.Code != http.StatusForbidden {
			t.Errorf("by a limited one: %d %s", w.Code, w.Body)
		}
		short, _ := s.token(t, iot.Token{User: bob, Role: iot.RoleViewer, ExpiresAt: time.Now().Add(time.Hour)})
		w := s.ask("POST", "/api/tokens/", `{"name": "x"}`, "Authorization", "Bearer "+short)
		var made struct {
			Expires time.Time `json:"expires_at"`
		}
		if err := json.Unmarshal(w.Body.Bytes(), &made); err != nil || w.Code != http.StatusCreated || time.Until(made.Expires) > time.Hour {
			t.Errorf("by one that ends in an hour: %d %s", w.Code, w.Body)
		}
	})
	t.Run("others' are not there", func(t *testing.T) {
		_, adasID := s.token(t, iot.Token{User: ada, Role: iot.RoleViewer})
		path := fmt.Sprintf("/api/tokens/%d/", adasID)
		for _, method := range []string{"GET", "DELETE"} {
			if w := s.ask(method, path, "", "Authorization", "Bearer "+bobs); w.Code != http.StatusNotFound {
				t.Errorf("%s: %d %s", method, w.Code, w.Body)
			}
		}
		if w := s.ask("GET", path, "", "Authorization", "Bearer "+adas); w.Code != http.StatusOK {
			t.Errorf("to an admin: %d %s", w.Code, w.Body)
		}
	})
	t.Run("of a user who is disabled none counts, within a second", func(t *testing.T) {
		path := fmt.Sprintf("/api/users/%d/", bob)
		if w := s.ask("PATCH", path, `{"disabled": true}`, "Authorization", "Bearer "+adas); w.Code != http.StatusOK {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		becomes(t, bobs, http.StatusUnauthorized)
		if w := s.ask("PATCH", path, `{"disabled": false}`, "Authorization", "Bearer "+adas); w.Code != http.StatusOK {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	})
	t.Run("one that is deleted elsewhere is gone within a second", func(t *testing.T) {
		becomes(t, bobs, http.StatusOK)
		if err := s.store.metadata.DeleteToken(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		becomes(t, bobs, http.StatusUnauthorized)
	})
	t.Run("its use is noted", func(t *testing.T) {
		deadline := time.Now().Add(10 * time.Second)
		for {
			found, _, _, err := s.store.metadata.TokenOf(t.Context(), auth.Hash(adas))
			if err != nil {
				t.Fatal(err)
			}
			if !found.LastUsed.IsZero() {
				break
			}
			if time.Now().After(deadline) {
				t.Fatal("it is not")
			}
			time.Sleep(time.Millisecond)
		}
	})
}

func TestLogIn(t *testing.T) {
	s := secure(t, auth.On)
	s.user(t, "ada", iot.RoleOperator)
	body := `{"username": "ada", "password": "` + testPassword + `"}`
	logIn := func(body string, headers ...string) *httptest.ResponseRecorder {
		return s.ask("POST", "/api/login/", body, headers...)
	}
	w := logIn(body)
	if w.Code != http.StatusOK || len(w.Result().Cookies()) != 1 {
		t.Fatalf("%d %s %v", w.Code, w.Body, w.Header())
	}
	cookie := w.Result().Cookies()[0]
	if cookie.Name != "telltale" || !cookie.HttpOnly || cookie.SameSite != http.SameSiteLaxMode || cookie.Path != "/" || cookie.Secure {
		t.Errorf("the cookie is %+v", cookie)
	}
	session := "telltale=" + cookie.Value
	t.Run("a session is its user's", func(t *testing.T) {
		want := `{"id":1,"username":"ada","email":"ada@example.com","role":"operator","auth":"session","token":null,"devices":null,"may":["site","change","access"],"roles":["viewer","operator","member"],"has_password":true}`
		if w := s.ask("GET", "/api/me/", "", "Cookie", session); w.Code != http.StatusOK || w.Body.String() != want {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
	t.Run("with TLS no other host can set its cookie", func(t *testing.T) {
		w := logIn(body, "X-Forwarded-Proto", "https")
		if c := w.Result().Cookies(); len(c) != 1 || c[0].Name != "__Host-telltale" || !c[0].Secure || c[0].Path != "/" || c[0].Domain != "" {
			t.Fatalf("%v", w.Header())
		}
		if w := s.ask("GET", "/api/me/", "", "Cookie", session, "X-Forwarded-Proto", "https"); w.Code != http.StatusUnauthorized {
			t.Errorf("the other one counts, too: %d %s", w.Code, w.Body)
		}
	})
	t.Run("it is no token, and a token no session", func(t *testing.T) {
		token, _ := s.token(t, iot.Token{User: 1, Role: iot.RoleViewer})
		for _, headers := range [][]string{{"Authorization", "Bearer " + cookie.Value}, {"Cookie", "telltale=" + token}} {
			if w := s.ask("GET", "/api/me/", "", headers...); w.Code != http.StatusUnauthorized {
				t.Errorf("%v: %d %s", headers, w.Code, w.Body)
			}
		}
	})
	t.Run("it does not count for pages of another origin, be they in CORS_ORIGINS", func(t *testing.T) {
		for _, site := range []string{"same-site", "cross-site"} {
			headers := []string{"Origin", "https://app.example.com", "Sec-Fetch-Site", site}
			w := s.ask("POST", "/api/devices/", `{"name": "x", "user": 1}`, append(headers, "Cookie", session)...)
			if w.Code != http.StatusUnauthorized || w.Header().Get("Access-Control-Allow-Origin") != "https://app.example.com" || w.Header().Get("Access-Control-Allow-Credentials") != "" {
				t.Errorf("%s: %d %s %v", site, w.Code, w.Body, w.Header())
			}
			if w := logIn(body, headers...); w.Code != http.StatusForbidden || len(w.Result().Cookies()) > 0 {
				t.Errorf("a log-in, %s: %d %s", site, w.Code, w.Body)
			}
		}
		if w := s.ask("OPTIONS", "/api/devices/", "", "Origin", "https://app.example.com", "Access-Control-Request-Method", "POST"); w.Code != http.StatusNoContent {
			t.Errorf("what browsers ask beforehand: %d", w.Code)
		}
	})
	t.Run("another password ends other sessions", func(t *testing.T) {
		other := "telltale=" + logIn(body).Result().Cookies()[0].Value
		change := `{"old_password": "` + testPassword + `", "new_password": "another ` + testPassword + `"}`
		if w := s.ask("PUT", "/api/me/password/", strings.Replace(change, "correct", "wrong", 1), "Cookie", session); w.Code != http.StatusBadRequest {
			t.Errorf("with a wrong one: %d %s", w.Code, w.Body)
		}
		w := s.ask("PUT", "/api/me/password/", change, "Cookie", session)
		if w.Code != http.StatusNoContent || len(w.Result().Cookies()) != 1 {
			t.Fatalf("%d %s %v", w.Code, w.Body, w.Header())
		}
		session = "telltale=" + w.Result().Cookies()[0].Value
		kafkatest.Eventually(t, kafkatest.Timeout, "the end of the other session", func() bool {
			return s.ask("GET", "/api/me/", "", "Cookie", other).Code == http.StatusUnauthorized
		})
		if w := s.ask("GET", "/api/me/", "", "Cookie", session); w.Code != http.StatusOK {
			t.Errorf("its own: %d %s", w.Code, w.Body)
		}
	})
	t.Run("who logs out is out", func(t *testing.T) {
		if w := s.ask("POST", "/api/logout/", "", "Cookie", session); w.Code != http.StatusNoContent || w.Result().Cookies()[0].MaxAge >= 0 {
			t.Errorf("%d %s %v", w.Code, w.Body, w.Header())
		}
		if w := s.ask("GET", "/api/me/", "", "Cookie", session); w.Code != http.StatusUnauthorized {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}

// TestGuesses: who guesses a password is kept out for a minute, and nobody else is.
func TestGuesses(t *testing.T) {
	s := secure(t, auth.On)
	s.user(t, "ada", iot.RoleViewer)
	const wrong = `{"username": "ada", "password": "S3cr3t-guess"}`
	for i := range 10 {
		if w := s.ask("POST", "/api/login/", wrong); w.Code != http.StatusUnauthorized || w.Body.String() != `{"detail":"Incorrect authentication credentials."}` {
			t.Fatalf("number %d: %d %s", i, w.Code, w.Body)
		}
	}
	right := `{"username": "ada", "password": "` + testPassword + `"}`
	w := s.ask("POST", "/api/login/", right)
	if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" || !strings.HasPrefix(w.Body.String(), `{"detail":"Request was throttled. Expected available in `) {
		t.Errorf("after ten: %d %s %v", w.Code, w.Body, w.Header())
	}
	r := httptest.NewRequest("POST", "/api/login/", strings.NewReader(right))
	r.Header.Set("Content-Type", "application/json")
	r.RemoteAddr = "198.51.100.7:1234"
	other := httptest.NewRecorder()
	s.ServeHTTP(other, r)
	if other.Code != http.StatusOK {
		t.Errorf("from elsewhere: %d %s", other.Code, other.Body)
	}
	entries, err := s.store.metadata.Audit(t.Context(), iot.AuditQuery{Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	failed, begun := 0, 0
	for _, e := range entries {
		text, _ := json.Marshal(e)
		if strings.Contains(string(text), "S3cr3t") || strings.Contains(string(text), testPassword) {
			t.Errorf("a password is in the audit: %s", text)
		}
		switch {
		case e.Action == "login.failed" && e.Actor.Name == "ada" && e.Actor.Address == "192.0.2.1":
			failed++
		case e.Action == "session.create" && e.Actor.Name == "ada" && e.Actor.Address == "198.51.100.7":
			begun++
		}
	}
	if failed != 10 || begun != 1 {
		t.Errorf("in the audit are %d that failed, and %d that did not", failed, begun)
	}
}

func TestWarning(t *testing.T) {
	s := secure(t, auth.Warn)
	if w := s.ask("GET", "/api/users/", ""); w.Code != http.StatusOK {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := s.ask("GET", "/api/me/", ""); !strings.Contains(w.Body.String(), `"auth":"warn"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if told := s.refused.all(); len(told) != 2 || told[0].Denied || told[0].Why != "no_credentials" || told[0].Example != "GET /api/users/" {
		t.Errorf("told of %+v", told)
	}
}

// BenchmarkAdmit is what a request costs with a token that was seen lately.
func BenchmarkAdmit(b *testing.B) {
	s := embedded(b)
	u, err := s.metadata.CreateUser(b.Context(), iot.User{Username: "ada", Email: "ada@example.com"})
	if err != nil {
		b.Fatal(err)
	}
	secret := auth.NewSecret(auth.TokenPrefix)
	if _, err := s.metadata.CreateToken(b.Context(), iot.Token{User: u.ID, Role: iot.RoleViewer}, auth.Hash(secret)); err != nil {
		b.Fatal(err)
	}
	r := httptest.NewRequest("GET", "/api/devices/", nil)
	r.Header.Set("Authorization", "Bearer "+secret)
	for _, mode := range []auth.Mode{auth.Off, auth.On} {
		a := access.New(access.Settings{Mode: mode, Store: s.metadata})
		b.Run(string(mode), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				p, err := a.Admit(r, access.Viewer)
				if err != nil {
					b.Fatal(err)
				}
				_ = access.WithPrincipal(b.Context(), p)
			}
		})
	}
}

// TestGrantAdmin: what a deployment gives is the token of the user admin, and what it gave before is none.
func TestGrantAdmin(t *testing.T) {
	s := secure(t, auth.On)
	const first, second = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"
	for _, token := range []string{first, first, second} {
		if err := s.api.Auth.GrantAdmin(t.Context(), token); err != nil {
			t.Fatal(err)
		}
		if w := s.ask("GET", "/api/audit/", "", "Authorization", "Bearer "+token); w.Code != http.StatusOK {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
	if w := s.ask("GET", "/api/users/", "", "Authorization", "Bearer "+first); w.Code != http.StatusUnauthorized {
		t.Errorf("the first one: %d %s", w.Code, w.Body)
	}
	if tokens, err := s.store.metadata.Tokens(t.Context(), 0, 0, 10); err != nil || len(tokens) != 1 {
		t.Errorf("%v, %v", tokens, err)
	}
}

// TestRights: pages offer what a role may do, and no more.
func TestRights(t *testing.T) {
	for _, test := range []struct {
		who  access.Principal
		want []string
	}{
		{access.Principal{Role: iot.RoleViewer}, []string{"site"}},
		{access.Principal{Role: iot.RoleOperator}, []string{"site", "change", "access"}},
		{access.Principal{Role: iot.RoleOperator, Devices: []iot.DeviceID{1}}, []string{"change"}},
		{access.Principal{Role: iot.RoleMember, Owner: 1}, []string{"change"}},
		{access.Principal{Role: iot.RoleAdmin}, []string{"site", "change", "access", "users"}},
		{access.Principal{}, []string{}},
	} {
		if diff := cmp.Diff(test.want, rightsOf(&test.who)); diff != "" {
			t.Errorf("%s of %d, devices %v: want (-), got (+):\n%s", test.who.Role, test.who.Owner, test.who.Devices, diff)
		}
	}
}
