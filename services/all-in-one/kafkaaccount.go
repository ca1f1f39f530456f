package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"time"

	"github.com/telltale-iot/telltale/pkg/auth"
	"github.com/telltale-iot/telltale/pkg/embedded"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/lograte"
)

// kafkaAccount returns what says what a client of the embedded Kafka's port may do: what the token may that it shows as its
// password. A topic has the readings of all devices, so a token that is for some of them reads nothing. nil: the port is open.
func (c *command) kafkaAccount(store iot.AccessStore, log *slog.Logger) (func(ctx context.Context, secret string) embedded.Access, error) {
	addr, err := net.ResolveTCPAddr("tcp", c.KafkaListenAddr)
	if err != nil {
		return nil, err
	}
	if c.Auth.Mode.Policy(addr, false) == auth.Open {
		return nil, nil
	}
	var lines lograte.Limiter
	return func(ctx context.Context, secret string) embedded.Access {
		access, err := kafkaAccess(ctx, store, c.Auth.Mode, addr, secret)
		if err != nil {
			if n := lines.Event(); n > 0 {
				log.Warn("nobody can say what a client of the embedded kafka may do: it may do nothing", "err", err, "count", n)
			}
		}
		return access
	}, nil
}

func kafkaAccess(ctx context.Context, store iot.AccessStore, mode auth.Mode, addr net.Addr, secret string) (embedded.Access, error) {
	moved, err := store.Moved(ctx)
	if err != nil {
		return embedded.Nothing, err
	}
	if mode.Policy(addr, moved) != auth.Required {
		return embedded.ReadsAndWrites, nil
	}
	if secret == "" {
		return embedded.Nothing, nil
	}
	token, _, account, err := store.TokenOf(ctx, auth.Hash(secret))
	limited := token.Devices != nil || token.Role == iot.RoleMember || account.Role == iot.RoleMember
	switch {
	case errors.Is(err, iot.ErrNotFound), err == nil && (token.Session || account.Disabled || limited || token.Expired(time.Now())):
		return embedded.Nothing, nil
	case err != nil:
		return embedded.Nothing, err
	case token.Role.Covers(iot.RoleOperator) && account.Role.Covers(iot.RoleOperator):
		return embedded.ReadsAndWrites, nil
	default:
		return embedded.Reads, nil
	}
}
