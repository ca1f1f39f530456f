package access

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/telltale-iot/telltale/pkg/auth"
	"github.com/telltale-iot/telltale/pkg/doctor"
	"github.com/telltale-iot/telltale/pkg/iot"
)

// Admins is what says who is an admin, and what he has to get in.
type Admins interface {
	Users(ctx context.Context, q iot.UserQuery) ([]iot.User, error)
	Account(ctx context.Context, user int64) (iot.Account, error)
	Tokens(ctx context.Context, user, after int64, limit int) ([]iot.Token, error)
	Close() error
}

// ExamineAdmins looks whether an admin can get in where the API at addr asks for credentials. open opens what knows it; nil, without an
// error: nothing is there yet.
func ExamineAdmins(mode auth.Mode, addr, program string, open func() (Admins, error)) doctor.Check {
	return doctor.Check{Part: "AUTH", Look: func(ctx context.Context) []doctor.Finding {
		listener, err := net.ResolveTCPAddr("tcp", addr)
		if err != nil || mode.Policy(listener, false) != auth.Required {
			return nil
		}
		store, err := open()
		if err != nil || store == nil {
			return nil // another check says why
		}
		defer func() { _ = store.Close() }()
		switch can, err := adminGetsIn(ctx, store); {
		case err != nil:
			return nil // a server that is away, or a database from before there were accounts
		case !can:
			return doctor.Warn("no admin has a password or a token, so that nobody can make either", program+" token create --role=admin makes a token")
		}
		return doctor.Fine("an admin can get in")
	}}
}

// adminGetsIn reports whether an admin has a password or a token of that role.
func adminGetsIn(ctx context.Context, store Admins) (bool, error) {
	for q := (iot.UserQuery{Limit: iot.MaxPage}); ; {
		users, err := store.Users(ctx, q)
		if err != nil || len(users) == 0 {
			return false, err
		}
		for _, u := range users {
			q.After = u.ID
			account, err := store.Account(ctx, u.ID)
			if errors.Is(err, iot.ErrNotFound) || err == nil && (account.Role != iot.RoleAdmin || account.Disabled) {
				continue
			}
			if err != nil || account.Password != "" {
				return err == nil, err
			}
			if has, err := hasToken(ctx, store, u.ID); err != nil || has {
				return has, err
			}
		}
	}
}

// hasToken reports whether a user has a token by which he is an admin.
func hasToken(ctx context.Context, store Admins, user int64) (bool, error) {
	for after := int64(0); ; {
		tokens, err := store.Tokens(ctx, user, after, iot.MaxPage)
		if err != nil || len(tokens) == 0 {
			return false, err
		}
		for _, t := range tokens {
			if after = t.ID; t.Role == iot.RoleAdmin && !t.Expired(time.Now()) {
				return true, nil
			}
		}
	}
}
