package api

import (
	"context"
	"net"

	"golang.org/x/sync/errgroup"

	"github.com/telltale-iot/telltale/pkg/daemon"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/services/query-api/replay"
)

// Run answers requests that come in on l from stores, and replays dead letters to Kafka, until ctx ends; then it
// finishes what it has begun, and returns nil. It closes l. needed are the process' own dependencies, by the names that
// /readyz has for them: they are registered behind Kafka, as files answer at once and would make the process ready alone.
func Run(ctx context.Context, p *daemon.Process, cfg kafka.Config, stores Stores, needed map[string]daemon.Dependency, l net.Listener) error {
	replayer := replay.New(cfg, stores.DeadLetters, stores.Readings, p.Log, p.Metrics)
	p.Health.Register(ctx, "kafka (query-api)", replayer)
	for name, dependency := range needed {
		p.Health.Register(ctx, name, dependency)
	}
	a := &API{Stores: stores, Replayer: replayer, Log: p.Log, Metrics: p.Metrics, Guard: p.Guard}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return replayer.Run(ctx) })
	g.Go(func() error { return a.Run(ctx, l) })
	return g.Wait()
}
