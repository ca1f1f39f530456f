package simulator

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/telltale-iot/telltale/pkg/daemon"
	"github.com/telltale-iot/telltale/pkg/timeouts"
)

// Simulator is a fleet of devices. Use New, and Run once.
type Simulator struct {
	cfg      Config
	log      *slog.Logger
	drain    time.Duration
	counters counters

	mu         sync.Mutex
	start, end time.Time // of Run; zero before
}

// New returns a fleet that publishes once Run is running. Zero Connections, InFlight, FirstDevice,
// ClientID, TopicStyle, TopicPrefix and Seed mean the defaults of the command line; what cannot work is a
// *daemon.ConfigError.
func New(cfg Config, log *slog.Logger) (*Simulator, error) {
	cfg = cfg.withDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Seed == 0 {
		cfg.Seed = rand.Uint64()
	}
	return &Simulator{cfg: cfg, log: log, drain: timeouts.SimulatorDrain}, nil
}

// Run publishes until the count or the duration of the Config is reached or ctx ends, then waits for the
// acknowledgements that are missing. A count alone has no time limit: an outage of the broker delays it.
// In the other cases the wait ends after 5 s, and where ctx goes on, what is missing then is an error.
func (s *Simulator) Run(ctx context.Context) error {
	u, err := parseURL(s.cfg.URL)
	if err != nil {
		return err // cannot be: New validated it
	}
	var l *ledger
	if s.cfg.Ledger != "" {
		if l, err = openLedger(s.cfg.Ledger); err != nil {
			return &daemon.ConfigError{Variable: "SIM_PUBLISH_LEDGER", Value: s.cfg.Ledger, Err: err}
		}
	}

	s.log.Info("publishing", "devices", s.cfg.Devices, "readings_per_second", s.Report().Asked,
		"connections", s.cfg.Connections, "seed", s.cfg.Seed)
	start := s.begin()
	defer s.finish()
	measuring, cancel := context.WithCancel(ctx)
	defer cancel()
	if s.cfg.Duration > 0 {
		measuring, cancel = context.WithTimeout(measuring, s.cfg.Duration)
		defer cancel()
	}
	draining, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(measuring, func() { time.AfterFunc(s.drain, cancel) })
	defer stop()

	connections, draining := errgroup.WithContext(draining)
	for i := range s.cfg.Connections {
		stream := newStream(measuring, s.cfg, i, start, &s.counters)
		c := newConnection(u, s.cfg, i, stream, l, &s.counters, s.log)
		connections.Go(func() error { return c.run(draining) })
	}
	err = connections.Wait()
	if closed := l.close(); err == nil {
		err = closed
	}
	if n := s.Report().Unacknowledged(); err == nil && n > 0 && ctx.Err() == nil {
		err = fmt.Errorf("%d messages were not acknowledged", n)
	}
	return err
}

// Report returns what was done so far. It may be called at any time.
func (s *Simulator) Report() *Report {
	c := &s.counters
	r := &Report{
		Elapsed:      s.elapsed(),
		Asked:        s.cfg.Rate * float64(s.cfg.Devices),
		Acknowledged: c.acknowledged.Load(), // before Published, so as never to exceed it
		Published:    c.published.Load(),
		Resent:       c.resent.Load(),
		Errors:       c.errors.Load(),
		Reconnects:   c.reconnects.Load(),
		Junk:         c.junk.Load(),
		BadClock:     c.badClock.Load(),
		Late:         c.late.Load(),
		Bursts:       c.bursts.Load(),
		Duplicates:   c.duplicates.Load(),
	}
	for i := range r.latency {
		r.latency[i] = c.latency[i].Load()
	}
	return r
}

func (s *Simulator) begin() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.start = time.Now()
	return s.start
}

func (s *Simulator) finish() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end = time.Now()
}

func (s *Simulator) elapsed() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.start.IsZero():
		return 0
	case s.end.IsZero():
		return time.Since(s.start)
	default:
		return s.end.Sub(s.start)
	}
}
