package access

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/telltale-iot/telltale/pkg/auth"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/settings"
)

const (
	// adminTokenName is that of the token that a deployment gives.
	adminTokenName = "ADMIN_TOKEN"
	// minAdminToken is how many characters it has: it is kept as a hash that anybody could try out.
	minAdminToken = 32
)

// AdminToken is the setting of the first admin's token, with which all others are made.
type AdminToken struct {
	Token string `env:"ADMIN_TOKEN" help:"A token for the user admin, of 32 characters or more, which a deployment makes up. It takes the place of the one that was set before."`
}

// Load returns the token; "" for none. An error is a *settings.Error, which does not show it.
func (t AdminToken) Load() (string, error) {
	token := t.Token
	valid := len(token) <= maxSecret && !strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' })
	if token != "" && (len(token) < minAdminToken || !valid) {
		return "", &settings.Error{Variable: "ADMIN_TOKEN", Err: fmt.Errorf(
			"must be %d to %d characters of ASCII without spaces, as `openssl rand -hex 32` writes them", minAdminToken, maxSecret)}
	}
	return token, nil
}

// GrantAdmin makes sure that token is one of the user admin, that he is one, and that no other that a deployment gave counts.
func (a *Authenticator) GrantAdmin(ctx context.Context, token string) error {
	ctx = iot.WithActor(ctx, iot.Actor{Name: "system"})
	user, err := a.Store.UserCalled(ctx, iot.AdminUsername)
	switch {
	case errors.Is(err, iot.ErrNotFound):
		user, err = a.Store.CreateAccount(ctx, iot.User{Username: iot.AdminUsername, Email: iot.AdminEmail}, iot.Account{Role: iot.RoleAdmin})
	case err == nil:
		_, _, err = a.Store.UpdateAccount(ctx, user.ID, iot.AccountChange{Role: new(iot.RoleAdmin), Disabled: new(false)})
	}
	if err != nil {
		return err
	}
	given, err := a.giveToken(ctx, user.ID, auth.Hash(token))
	if err != nil {
		return err
	}
	return a.endOthers(ctx, given)
}

// giveToken returns the token with that secret, which it makes where there is none that is as it should be.
func (a *Authenticator) giveToken(ctx context.Context, user int64, secret iot.Secret) (iot.Token, error) {
	t, _, _, err := a.Store.TokenOf(ctx, secret)
	switch {
	case err == nil && t.User == user && t.Role == iot.RoleAdmin && t.Name == adminTokenName && t.Devices == nil && t.ExpiresAt.IsZero():
		return t, nil
	case err == nil:
		err = a.EndToken(ctx, t.ID)
	case errors.Is(err, iot.ErrNotFound):
		err = nil
	}
	if err != nil {
		return t, err
	}
	return a.Store.CreateToken(ctx, iot.Token{User: user, Name: adminTokenName, Role: iot.RoleAdmin}, secret)
}

// endOthers ends the tokens that were given before.
func (a *Authenticator) endOthers(ctx context.Context, given iot.Token) error {
	for after := int64(0); ; {
		page, err := a.Store.Tokens(ctx, given.User, after, iot.MaxPage)
		if err != nil || len(page) == 0 {
			return err
		}
		for _, t := range page {
			if after = t.ID; t.Name == adminTokenName && t.ID != given.ID {
				if err := a.EndToken(ctx, t.ID); err != nil && !errors.Is(err, iot.ErrNotFound) {
					return err
				}
			}
		}
	}
}
