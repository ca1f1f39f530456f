package access

import (
	"errors"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/auth"
	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/iot"
)

// TestAdmitClient: a client of another protocol is who its token says, by the rules that hold for HTTP, and sees all devices or none.
func TestAdmitClient(t *testing.T) {
	store := newStore(t)
	token := func(name string, account iot.Account, token iot.Token) (secret string) {
		t.Helper()
		user, err := store.CreateAccount(t.Context(), iot.User{Username: name, Email: name + "@example.com"}, account)
		if err != nil {
			t.Fatal(err)
		}
		secret = auth.NewSecret(auth.TokenPrefix)
		token.User, token.Name = user.ID, "test"
		if _, err := store.CreateToken(t.Context(), token, auth.Hash(secret)); err != nil {
			t.Fatal(err)
		}
		return secret
	}
	operator, viewer := iot.Account{Role: iot.RoleOperator}, iot.Account{Role: iot.RoleViewer}
	clients := []struct {
		name, token string
		why         string // it is refused; "" where it is not
	}{
		{"operator", token("ann", operator, iot.Token{Role: iot.RoleOperator}), ""},
		{"viewer", token("vic", viewer, iot.Token{Role: iot.RoleViewer}), ""},
		{"member", token("mia", iot.Account{Role: iot.RoleMember}, iot.Token{Role: iot.RoleMember}), "scope"},
		{"limited", token("lea", operator, iot.Token{Role: iot.RoleViewer, Devices: []iot.DeviceID{1}}), "scope"},
		{"disabled", token("dan", iot.Account{Role: iot.RoleAdmin, Disabled: true}, iot.Token{Role: iot.RoleAdmin}), "disabled"},
		{"expired", token("eve", operator, iot.Token{Role: iot.RoleViewer, ExpiresAt: time.Now().Add(-time.Hour)}), "expired"},
		{"session", token("sam", operator, iot.Token{Role: iot.RoleOperator, Session: true, ExpiresAt: time.Now().Add(time.Hour)}), "unknown_token"},
		{"unknown", "tt_guessed", "unknown_token"},
		{"nothing", "", "no_credentials"},
	}
	for _, mode := range []auth.Mode{auth.On, auth.Warn, auth.Off} {
		var told []event.Refusal
		a := New(Settings{
			Mode: mode, Listener: &net.TCPAddr{}, Store: store, Log: slog.New(slog.DiscardHandler),
			Refused: func(r event.Refusal) { told = append(told, r) },
		})
		for _, c := range clients {
			told = nil
			p, err := a.AdmitClient(t.Context(), Client{Address: "192.0.2.7:1", User: c.name, Token: c.token, Example: "Fetch"})
			var denial *Denial
			switch {
			case mode == auth.On && c.why != "":
				if !errors.As(err, &denial) || denial.Why != c.why {
					t.Errorf("%s: %+v, %v", c.name, p, err)
				}
			case err != nil:
				t.Errorf("%s, %s: %v", mode, c.name, err)
			case c.why == "" && mode != auth.Off && (p.Kind != Token || p.User.Username == ""):
				t.Errorf("%s, %s: %+v", mode, c.name, p)
			case c.why != "" && p.Role != iot.RoleAdmin:
				t.Errorf("%s, %s: may not do everything: %+v", mode, c.name, p)
			}
			if refused := c.why != "" && mode != auth.Off; refused != (len(told) == 1) || refused && (told[0].Why != c.why || told[0].Denied != (mode == auth.On) || told[0].Example != "Fetch") {
				t.Errorf("%s, %s: told %+v", mode, c.name, told)
			}
		}
		if mode == auth.On && len(a.tokens.uses) != 4 { // of those that are valid, whatever they may
			t.Errorf("the use of %d tokens is noted", len(a.tokens.uses))
		}
	}
}

// TestClientsAreThrottled: guesses from one address keep out nobody but who makes them, and not who is in.
func TestClientsAreThrottled(t *testing.T) {
	store := newStore(t)
	user, err := store.CreateAccount(t.Context(), iot.User{Username: "ann", Email: "ann@example.com"}, iot.Account{Role: iot.RoleViewer})
	if err != nil {
		t.Fatal(err)
	}
	secret := auth.NewSecret(auth.TokenPrefix)
	if _, err := store.CreateToken(t.Context(), iot.Token{User: user.ID, Role: iot.RoleViewer, Name: "test"}, auth.Hash(secret)); err != nil {
		t.Fatal(err)
	}
	a := New(Settings{Mode: auth.On, Listener: &net.TCPAddr{}, Store: store, Log: slog.New(slog.DiscardHandler)})
	why := func(c Client) string {
		_, err := a.AdmitClient(t.Context(), c)
		var denial *Denial
		if errors.As(err, &denial) {
			return denial.Why
		}
		return ""
	}
	guess, right := Client{Address: "192.0.2.7:1", User: "x", Token: "tt_guessed"}, Client{Address: "192.0.2.7:2", User: "x", Token: secret}
	var together sync.WaitGroup
	for range 3 * auth.MaxFailures {
		together.Go(func() {
			if got := why(right); got != "" {
				t.Errorf("one of many at the same time: %s", got)
			}
		})
	}
	together.Wait()
	for range auth.MaxFailures - 1 {
		why(guess)
	}
	if got := why(right); got != "" {
		t.Errorf("after nine guesses: %s", got)
	}
	for range auth.MaxFailures {
		if got := why(guess); got != "unknown_token" {
			t.Errorf("a guess: %s", got)
		}
	}
	elsewhere, again := right, right
	elsewhere.Address, again.Again = "192.0.2.8:1", true
	for c, want := range map[Client]string{guess: "throttled", right: "throttled", elsewhere: "", again: ""} {
		if got := why(c); got != want {
			t.Errorf("after ten guesses %+v: %q, want %q", c, got, want)
		}
	}
}
