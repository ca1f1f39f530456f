// Package consumer is what the services that consume a topic have in common: as a member of a consumer group, each
// moves what is on the topic into a store. A service defines only what it does with a batch.
//
// While the store or Kafka is away a service waits, at the batch that failed, for as long as that takes. /readyz and
// the log say what it waits for. It keeps nothing beside the batches that package kafka holds for it.
package consumer

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/telltale-iot/telltale/pkg/daemon"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/timeouts"
)

// Service consumes a topic.
type Service struct {
	kafka.GroupConfig // what is consumed, and in what batches
	Handle            kafka.Handler

	// Store is prepared before the first batch, and again whenever it has lost what was prepared. StoreName names it
	// in the log. A nil Store needs no preparation.
	Store     daemon.Store
	StoreName string

	// Beside, unless it is nil, runs beside the consumer. Its ctx ends when no batch is being handled any more, so that
	// Handle may rely on it.
	Beside func(ctx context.Context) error
}

// Run consumes until ctx ends, then finishes the batches it has begun, commits them and returns nil.
func (s Service) Run(ctx context.Context, p *daemon.Process) error {
	consumer := kafka.NewConsumer(s.GroupConfig, s.Handle, p.Log, p.Metrics)
	p.Health.Register(ctx, "kafka ("+s.Group+")", consumer)
	if s.Store != nil && p.Health.Await(ctx, p.Log, s.StoreName, s.Store.Prepare) != nil {
		return nil // ctx has ended
	}
	if err := consumer.EnsureTopics(ctx); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	handling, stop := context.WithCancel(context.WithoutCancel(ctx))
	context.AfterFunc(ctx, func() { time.AfterFunc(timeouts.HandlerGrace, stop) })
	g.Go(func() error { defer stop(); return consumer.Run(ctx) })
	if s.Store != nil {
		g.Go(func() error { daemon.Keep(ctx, p.Log, s.StoreName, s.Store); return nil })
	}
	if s.Beside != nil {
		g.Go(func() error { return s.Beside(handling) })
	}
	return g.Wait()
}
