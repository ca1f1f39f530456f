package access

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/telltale-iot/telltale/pkg/auth"
	"github.com/telltale-iot/telltale/pkg/iot"
)

// changing is a store in which a user gets another password just before a session of his is created.
type changing struct {
	iot.AccessStore
	user int64
	hash *string // what he gets; nil: nothing more
}

func (c *changing) CreateToken(ctx context.Context, t iot.Token, s iot.Secret) (iot.Token, error) {
	if hash := c.hash; hash != nil {
		c.hash = nil
		if _, _, err := c.UpdateAccount(ctx, c.user, iot.AccountChange{Password: hash}); err != nil {
			return t, err
		}
	}
	return c.AccessStore.CreateToken(ctx, t, s)
}

// TestChangedMeanwhile: nobody is let in by a password that is another's by then, and no session is left.
func TestChangedMeanwhile(t *testing.T) {
	store := &changing{AccessStore: newStore(t)}
	hash := func(password string) string {
		t.Helper()
		h, err := auth.HashPassword(t.Context(), password)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	after := hash("the one after")
	user, err := store.CreateAccount(t.Context(), iot.User{Username: "ann", Email: "ann@example.com"},
		iot.Account{Role: iot.RoleViewer, Password: hash("the one before")})
	if err != nil {
		t.Fatal(err)
	}
	store.user, store.hash = user.ID, &after
	a := New(Settings{Mode: auth.On, Listener: &net.TCPAddr{}, Store: store, Log: slog.New(slog.DiscardHandler)})
	r := httptest.NewRequest(http.MethodPost, "/api/login/", nil)
	p, secret, err := a.LogIn(r, "ann", "the one before")
	var denial *Denial
	if !errors.As(err, &denial) || denial.Status != http.StatusUnauthorized || p != nil || secret != "" {
		t.Errorf("by the one before: %+v, %q, %v", p, secret, err)
	}
	if session, err := store.Token(t.Context(), 1); !errors.Is(err, iot.ErrNotFound) {
		t.Errorf("it has left %+v, %v", session, err)
	}
	if _, secret, err := a.LogIn(r, "ann", "the one after"); err != nil || secret == "" {
		t.Errorf("by the one after: %v", err)
	}
}
