package api

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/telltale-iot/telltale/pkg/auth"
	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/httpguard"
	"github.com/telltale-iot/telltale/pkg/iot"
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
