// Package system knows how all services are, and whether what they count adds up. Each process says it of itself on a
// compacted topic (package report); nobody is called.
//
// The topic is read when somebody asks: what is new since. While Kafka is away what was read before is shown, with its age.
//
// # What is in memory
//
// The newest 8 MiB of what services say, twice while it is read; and what package compacted says.
package system

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/telltale-iot/telltale/pkg/compacted"
	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/report"
)

const (
	maxBytes    = 8 << 20         // of what is read: thousands of instances
	maxRecord   = 8 << 10         // bytes of a record; a longer one is none of a service's
	freshFor    = time.Second     // how long what was read last is new enough
	readWithin  = 2 * time.Second // where something is known already: it is shown while Kafka is away
	forgetAfter = 24 * time.Hour  // how long an instance that is gone is shown
	lookEvery   = 2 * time.Second // until counting has begun
)

// System is what services say. It is safe for concurrent use.
type System struct {
	table *compacted.Table
	turn  chan struct{} // of who changes the rest

	instances []Instance
	askedAt   time.Time // when the topic was last read, or could not be
	readAt    time.Time // when it was last read
	err       error     // why it could not be
	ledger    ledger
}

// Instance is a process that runs a service.
type Instance struct {
	event.Report
	Seen time.Time // by Kafka's clock
	Gone bool      // it was silent for so long, when the topic was read, that it does not run any more, or is cut off from Kafka
}

// State is what services said, and what that comes to.
type State struct {
	ReadAt       time.Time  // when that was read
	Err          error      // why it could not be read since; nil where it was
	Instances    []Instance // by service and name
	Conservation Conservation
}

// New returns what the topic of cfg says.
func New(cfg kafka.Config, log *slog.Logger) *System {
	cfg.Topic = cfg.SystemTopic()
	table := compacted.NewTable(compacted.Table{
		Topic: cfg, What: "what services say", MaxBytes: maxBytes, MaxRecord: maxRecord, Reach: forgetAfter, Log: log,
	})
	return &System{table: table, turn: make(chan struct{}, 1)}
}

// Run looks until there are reports of all that count, and what they count is watched from then on; or until ctx ends.
func (s *System) Run(ctx context.Context) error {
	for {
		if state, err := s.State(ctx); err == nil && !state.Conservation.Since.IsZero() {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(lookEvery):
		}
	}
}

// State returns what services said last. It fails while nothing has been read yet.
func (s *System) State(ctx context.Context) (State, error) {
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return State{}, ctx.Err()
	}
	defer func() { <-s.turn }()
	if now := time.Now(); now.Sub(s.askedAt) >= freshFor {
		s.read(ctx, now)
	}
	if s.readAt.IsZero() {
		return State{}, s.err
	}
	return State{ReadAt: s.readAt, Err: s.err, Instances: s.instances, Conservation: s.ledger.close(s.instances, time.Now())}, nil
}

// read reads what is new on the topic.
func (s *System) read(ctx context.Context, now time.Time) {
	within := ctx
	if !s.readAt.IsZero() {
		var cancel context.CancelFunc
		within, cancel = context.WithTimeout(ctx, readWithin)
		defer cancel()
	}
	err := s.table.Rows(within, 0, func(rows map[string]compacted.Row) error {
		s.instances = instances(rows, now)
		return nil
	})
	switch {
	case ctx.Err() != nil: // the client has gone, which says nothing about Kafka
		s.err = cmp.Or(s.err, ctx.Err())
	case err != nil:
		s.askedAt, s.err = time.Now(), err
	default:
		s.askedAt, s.readAt, s.err = now, now, nil
	}
}

// instances returns those of the last day.
func instances(rows map[string]compacted.Row, now time.Time) (all []Instance) {
	for _, row := range rows {
		said, err := event.ReadReport(row.Value)
		if err != nil || now.Sub(row.At) > forgetAfter { // it is another program's, or long gone
			continue
		}
		all = append(all, Instance{Report: said, Seen: row.At, Gone: now.Sub(row.At) > report.GoneAfter})
	}
	slices.SortFunc(all, func(a, b Instance) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Instance, b.Instance))
	})
	return all
}
