package access

import (
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/telltale-iot/telltale/pkg/auth"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/services/query-api/oidc"
)

func TestLogInAs(t *testing.T) {
	store := newStore(t)
	a := New(Settings{Mode: auth.On, Listener: &net.TCPAddr{}, Store: store, Log: slog.New(slog.DiscardHandler)})
	r := httptest.NewRequest(http.MethodGet, oidc.CallbackPath, nil)
	for name, want := range map[string]string{"ann": "", "": "name_invalid", iot.AdminUsername: "name_taken"} {
		p, secret, err := a.LogInAs(r, oidc.Person{Identity: auth.Hash(name), Username: name})
		var denial *Denial
		switch {
		case want == "" && (err != nil || p.Kind != Session || p.User.Username != name || secret == ""):
			t.Errorf("%q: %+v, %v", name, p, err)
		case want != "" && (!errors.As(err, &denial) || denial.Why != want):
			t.Errorf("%q: %v, want %s", name, err, want)
		}
	}
}
