package main

import (
	"context"
	"errors"
	"log/slog"
	"net"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/telltale-iot/telltale/pkg/auth"
	"github.com/telltale-iot/telltale/pkg/embedded"
	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/lograte"
	"github.com/telltale-iot/telltale/pkg/refused"
	"github.com/telltale-iot/telltale/pkg/report"
	"github.com/telltale-iot/telltale/services/query-api/access"
)

// kafkaAccounts says what clients of the embedded Kafka's port may do: what the token may that one shows as its password. A topic has
// the readings of all devices, so a token that is for some of them lets nobody in.
type kafkaAccounts struct {
	auth    *access.Authenticator
	refused *refused.List
	log     *slog.Logger
	lines   lograte.Limiter // about what nobody can say
}

// newKafkaAccounts returns those of a port at addr. cfg is where whom they refuse is told.
func newKafkaAccounts(cfg kafka.Config, mode auth.Mode, addr net.Addr, store iot.AccessStore, log *slog.Logger, metrics prometheus.Registerer) *kafkaAccounts {
	list := refused.New(cfg, "kafka", report.Instance(), log, metrics)
	return &kafkaAccounts{
		auth:    access.New(access.Settings{Mode: mode, Listener: addr, Store: store, Log: log, Refused: list.Add}),
		refused: list, log: log,
	}
}

// Run notes which tokens are used, and tells who is refused, until ctx ends.
func (a *kafkaAccounts) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return a.auth.Run(ctx) })
	g.Go(func() error { return a.refused.Run(ctx) })
	return g.Wait()
}

// account is embedded.KafkaConfig's Account.
func (a *kafkaAccounts) account(ctx context.Context, l embedded.Login) (embedded.Account, error) {
	p, err := a.auth.AdmitClient(ctx, access.Client{Address: l.Address, User: l.User, Token: l.Password, Example: l.Request, Again: l.Again})
	var denial *access.Denial
	switch {
	case errors.As(err, &denial):
		return embedded.Account{}, embedded.Denied(denial.Detail)
	case err != nil:
		if n := a.lines.Event(); n > 0 {
			a.log.Warn("nobody can say what a client of the embedded kafka may do: it may do nothing", "err", err, "count", n)
		}
		return embedded.Account{}, err
	}
	policy, err := a.auth.Policy(ctx)
	account := embedded.Account{Name: p.User.Username, Warn: policy == auth.Warning}
	switch {
	case p.Role.Covers(iot.RoleAdmin):
		account.Access = embedded.Everything
	case p.Role.Covers(iot.RoleOperator):
		account.Access = embedded.ReadsAndWrites
	}
	return account, err
}

// tell is embedded.KafkaConfig's Refused.
func (a *kafkaAccounts) tell(r embedded.Refusal) {
	a.refused.Add(event.Refusal{Denied: r.Denied, Why: r.Why, Principal: r.Name, Address: r.Address, Example: r.Request})
}
