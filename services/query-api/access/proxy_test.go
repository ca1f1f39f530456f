package access

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"github.com/telltale-iot/telltale/pkg/auth"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/metadata/sqlite"
	"github.com/telltale-iot/telltale/pkg/metadata/sqlstore"
	"github.com/telltale-iot/telltale/pkg/settings"
)

func TestAddress(t *testing.T) {
	a := New(Settings{Mode: auth.On, Listener: &net.TCPAddr{}, Proxies: Proxies{Trusted: []string{"10.0.0.0/8", "::1"}}})
	tests := []struct {
		name, remote string
		forwarded    []string
		want         string
	}{
		{"nobody between", "192.0.2.7:1", nil, "192.0.2.7"},
		{"what a stranger says does not count", "192.0.2.7:1", []string{"198.51.100.1"}, "192.0.2.7"},
		{"a proxy's client", "10.0.0.1:1", []string{"192.0.2.7"}, "192.0.2.7"},
		{"what a client says of itself does not count", "10.0.0.1:1", []string{"198.51.100.1, 192.0.2.7"}, "192.0.2.7"},
		{"in a header of its own neither", "10.0.0.1:1", []string{"198.51.100.1", "192.0.2.7"}, "192.0.2.7"},
		{"two proxies", "[::1]:1", []string{"198.51.100.1, 192.0.2.7, 10.9.9.9"}, "192.0.2.7"},
		{"a proxy that says nothing", "10.0.0.1:1", nil, "10.0.0.1"},
		{"a proxy that says nonsense", "10.0.0.1:1", []string{"unknown"}, "10.0.0.1"},
		{"a proxy that adds ports", "10.0.0.1:1", []string{"198.51.100.1, 192.0.2.7:5678"}, "192.0.2.7"},
		{"proxies that add ports", "10.0.0.1:1", []string{"192.0.2.7:5678, 10.0.0.2:80"}, "192.0.2.7"},
		{"a proxy that adds a port to one of IPv6", "10.0.0.1:1", []string{"[2001:db8::7]:5678"}, "2001:db8::7"},
		{"a proxy that puts brackets around one of IPv6", "10.0.0.1:1", []string{"[2001:db8::7]"}, "2001:db8::7"},
		{"a proxy that adds no number", "10.0.0.1:1", []string{"192.0.2.7:http"}, "10.0.0.1"},
		{"proxies alone", "10.0.0.1:1", []string{"10.0.0.2"}, "10.0.0.2"},
	}
	for _, tt := range tests {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr, r.Header["X-Forwarded-For"] = tt.remote, tt.forwarded
		if got := a.Address(r); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestProxyUser(t *testing.T) {
	store := newStore(t)
	users := map[string]iot.User{}
	for name, account := range map[string]iot.Account{
		"ann": {Role: iot.RoleOperator}, "mia": {Role: iot.RoleMember}, "gone": {Role: iot.RoleAdmin, Disabled: true},
	} {
		u, err := store.CreateAccount(t.Context(), iot.User{Username: name, Email: name + "@example.com"}, account)
		if err != nil {
			t.Fatal(err)
		}
		users[name] = u
	}
	a := New(Settings{
		Mode: auth.On, Listener: &net.TCPAddr{}, Store: store, Log: slog.New(slog.DiscardHandler),
		Proxies: Proxies{Trusted: []string{"10.0.0.1"}, UserHeader: "X-Remote-User"},
	})
	ask := func(method, remote string, header http.Header) (*Principal, error) {
		r := httptest.NewRequest(method, "/api/devices/", nil)
		r.RemoteAddr, r.Header = remote+":1", header
		return a.Admit(r, Viewer)
	}
	named := func(names ...string) http.Header { return http.Header{"X-Remote-User": names} }
	p, err := ask(http.MethodGet, "10.0.0.1", named("ann"))
	if err != nil || p.Kind != Proxy || p.User != users["ann"] || p.Role != iot.RoleOperator || p.Limited() {
		t.Errorf("ann is %+v, %v", p, err)
	}
	p, err = ask(http.MethodGet, "10.0.0.1", named("mia"))
	if err != nil || p.Owner != users["mia"].ID {
		t.Errorf("mia is %+v, %v", p, err)
	}
	foreign := named("ann")
	foreign.Set("Sec-Fetch-Site", "cross-site")
	for why, refused := range map[string]struct {
		method, remote string
		header         http.Header
	}{
		"no_credentials: of somebody who is no proxy":       {http.MethodGet, "10.0.0.2", named("ann")},
		"no_credentials: of two names":                      {http.MethodGet, "10.0.0.1", named("mia", "ann")},
		"no_credentials: of no name":                        {http.MethodGet, "10.0.0.1", named("")},
		"no_credentials: of a page of another origin":       {http.MethodPost, "10.0.0.1", foreign},
		"unknown_user: of somebody whom nobody has made":    {http.MethodGet, "10.0.0.1", named("eve")},
		"disabled: of somebody who may do nothing any more": {http.MethodGet, "10.0.0.1", named("gone")},
	} {
		p, err := ask(refused.method, refused.remote, refused.header)
		var denial *Denial
		if !errors.As(err, &denial) || denial.Status != http.StatusUnauthorized || why[:len(denial.Why)] != denial.Why {
			t.Errorf("%s: %+v, %v", why, p, err)
		}
	}
}

// TestWatching: a stream that is watched keeps no session alive.
func TestWatching(t *testing.T) {
	store := newStore(t)
	u, err := store.CreateAccount(t.Context(), iot.User{Username: "ann", Email: "ann@example.com"}, iot.Account{Role: iot.RoleViewer})
	if err != nil {
		t.Fatal(err)
	}
	a := New(Settings{Mode: auth.On, Listener: &net.TCPAddr{}, Store: store, Log: slog.New(slog.DiscardHandler)})
	secret, err := a.newSession(t.Context(), u, "192.0.2.7")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		ctx  context.Context
		uses int
	}{{Watching(t.Context()), 0}, {t.Context(), 1}} {
		if _, err := a.byToken(tt.ctx, secret, true, "192.0.2.7"); err != nil {
			t.Fatal(err)
		}
		if n := len(a.tokens.uses); n != tt.uses {
			t.Errorf("%d uses are noted, want %d", n, tt.uses)
		}
	}
}

func TestProxySettings(t *testing.T) {
	for variable, p := range map[string]Proxies{
		"":                  {Trusted: []string{"10.0.0.0/8"}, UserHeader: "X-Remote-User"},
		"TRUSTED_PROXIES":   {Trusted: []string{"proxy.example.com"}},
		"PROXY_USER_HEADER": {UserHeader: "X-Remote-User"},
	} {
		var wrong *settings.Error
		if err := p.Validate(); variable == "" && err != nil || variable != "" && (!errors.As(err, &wrong) || wrong.Variable != variable) {
			t.Errorf("%+v: %v", p, err)
		}
	}
}

// newStore returns an empty store.
func newStore(t *testing.T) *sqlstore.Store {
	t.Helper()
	store, err := sqlite.Open(filepath.Join(t.TempDir(), "metadata.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	if err := store.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	return store
}
