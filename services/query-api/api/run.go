package api

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/telltale-iot/telltale/pkg/auth"
	devicecredentials "github.com/telltale-iot/telltale/pkg/credentials"
	"github.com/telltale-iot/telltale/pkg/daemon"
	"github.com/telltale-iot/telltale/pkg/httpguard"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/kafka/producer"
	"github.com/telltale-iot/telltale/pkg/mapping"
	tellrefused "github.com/telltale-iot/telltale/pkg/refused"
	"github.com/telltale-iot/telltale/pkg/report"
	"github.com/telltale-iot/telltale/services/query-api/access"
	"github.com/telltale-iot/telltale/services/query-api/credentials"
	"github.com/telltale-iot/telltale/services/query-api/dynsec"
	"github.com/telltale-iot/telltale/services/query-api/ignored"
	"github.com/telltale-iot/telltale/services/query-api/ingest"
	"github.com/telltale-iot/telltale/services/query-api/live"
	"github.com/telltale-iot/telltale/services/query-api/oidc"
	"github.com/telltale-iot/telltale/services/query-api/refused"
	"github.com/telltale-iot/telltale/services/query-api/registrar"
	"github.com/telltale-iot/telltale/services/query-api/replay"
	"github.com/telltale-iot/telltale/services/query-api/system"
	"github.com/telltale-iot/telltale/services/query-api/trace"
)

// Name is the service's in Kafka, in the log and in /readyz.
const Name = "query-api"

// Reported is what the process says of the service.
var Reported = report.Service{
	Name: Name, Accounts: []string{"http_readings", "replay_readings", "registrar_readings"}, Groups: []string{registrar.Group},
}

// Settings are what an API goes by.
type Settings struct {
	Kafka        kafka.Config
	Rules        *mapping.Set
	OfflineAfter time.Duration // of devices that have none of their own
	CORS         httpguard.CORS
	TLS          *tls.Config // nil without TLS
	CAFile       string      // has the certificate of the authority of our own that clients have to trust; "" without one
	Auth         auth.Config
	OIDC         oidc.Config
	Proxies      access.Proxies
	Mosquitto    *dynsec.Keeper // nil without it
	AdminToken   string         // "" for none

	Before func(context.Context) error // is waited for before a connection is taken; nil: nothing is
}

// Run answers requests that come in on l from stores, and sends what they have for Kafka, decoded by the rules, until ctx
// ends; then it finishes what it has begun, and returns nil. It closes l.
func Run(ctx context.Context, p *daemon.Process, s Settings, stores Stores, l net.Listener) error {
	cfg, rules := s.Kafka, s.Rules
	sender := producer.New(cfg, p.Log, p.Metrics)
	p.Health.Register(ctx, "kafka ("+Name+")", sender)
	replayer := replay.New(sender, cfg.Topic, rules, stores.DeadLetters, stores.Readings, p.Metrics)
	ingester := ingest.New(sender, cfg, rules, p.Log, p.Metrics)
	refusals := tellrefused.New(cfg, "http", report.Instance(), p.Log, p.Metrics)
	var devices *devicecredentials.Table // of nobody where nobody is asked for credentials
	if s.Auth.Mode.Policy(l.Addr(), true) != auth.Open {
		devices = devicecredentials.New(cfg, p.Log)
	}
	keeper := credentials.New(stores.Accounts, cfg, sender, p.Log, p.Metrics)
	a := &API{
		Stores: stores, Auth: access.New(access.Settings{
			Mode: s.Auth.Mode, Listener: l.Addr(), Store: stores.Accounts, Log: p.Log, Refused: refusals.Add, Proxies: s.Proxies, Credentials: devices,
		}),
		Credentials: keeper, Mosquitto: s.Mosquitto,
		Replayer: replayer, Ingester: ingester, Rules: rules, Ignored: ignored.New(cfg, sender, p.Log), Refused: refused.New(cfg, sender, p.Log),
		Live:         live.New(cfg, liveDevices(stores.Metadata, s.OfflineAfter), p.Log, p.Metrics),
		Bridges:      trace.New(cfg, p.Log),
		System:       system.New(cfg, p.Log),
		OfflineAfter: s.OfflineAfter, Log: p.Log, Metrics: p.Metrics, Guard: p.Guard, CORS: s.CORS, TLS: s.TLS, CAFile: s.CAFile,
	}
	p.Health.Register(ctx, "auth ("+Name+")", a.Auth)
	if s.OIDC.Issuer != "" {
		a.OIDC = oidc.New(s.OIDC)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return sender.Run(ctx) })
	g.Go(func() error { return ingester.Run(ctx) })
	g.Go(func() error { return refusals.Run(ctx) })
	g.Go(func() error { return a.System.Run(ctx) })
	g.Go(func() error { return a.Auth.Run(ctx) })
	g.Go(func() error { return keeper.Run(ctx) })
	if devices != nil {
		g.Go(func() error { return devices.Run(ctx) })
	}
	if s.Auth.Mode == auth.On { // a later start without that word must not let everybody in again
		g.Go(func() error {
			_ = p.Health.Await(ctx, p.Log, "who needs credentials", stores.Accounts.Settle)
			return nil // it is settled, or ctx has ended
		})
	}
	if s.AdminToken != "" {
		g.Go(func() error {
			_ = p.Health.Await(ctx, p.Log, "admin token", func(ctx context.Context) error {
				return a.Auth.GrantAdmin(ctx, s.AdminToken)
			})
			return nil // it is given, or ctx has ended
		})
	}
	g.Go(func() error {
		if s.Before != nil {
			if err := s.Before(ctx); err != nil || ctx.Err() != nil {
				return errors.Join(err, l.Close())
			}
		}
		return a.Run(ctx, l)
	})
	return g.Wait()
}
