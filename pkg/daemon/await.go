package daemon

import (
	"context"
	"log/slog"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/telltale-iot/telltale/pkg/settings"
)

const remindEvery = 10 * time.Second

// Await is the function Await. Until op succeeds, what is one of the dependencies, and /readyz says why op fails.
func (h *Health) Await(ctx context.Context, log *slog.Logger, what string, op func(context.Context) error) error {
	c := &check{name: what, err: errUnchecked, since: time.Now()}
	h.add(c)
	defer h.remove(c)
	return Await(ctx, log, what, func(ctx context.Context) error {
		err := op(ctx)
		h.mu.Lock()
		defer h.mu.Unlock()
		c.err = err
		return err
	})
}

// Await repeats op with jittered backoff (at most 5 s) until it succeeds or ctx ends, and returns ctx's
// error then. It logs what is waited for and why, at the first failure and every 10 s, and that the wait
// is over.
func Await(ctx context.Context, log *slog.Logger, what string, op func(context.Context) error) error {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval = 100 * time.Millisecond
	b.MaxInterval = 5 * time.Second
	start := time.Now()
	var reminded time.Time
	for {
		err := op(ctx)
		if err == nil {
			if !reminded.IsZero() {
				log.Info("wait is over", "for", what, "after", time.Since(start).Round(time.Millisecond))
			}
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if time.Since(reminded) >= remindEvery {
			log.Warn("waiting", "for", what, "err", settings.Redact(err.Error()))
			reminded = time.Now()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(b.NextBackOff()):
		}
	}
}

// keepEvery is how often Keep looks at a store.
const keepEvery = 5 * time.Second

// Store is what Keep needs of one.
type Store interface {
	Prepare(ctx context.Context) error
	Check(ctx context.Context) error
}

// Keep prepares s, which was prepared before, again whenever its Check fails: tables or indexes that were lost while it
// was in use are created again without a restart. It returns when ctx ends.
func Keep(ctx context.Context, log *slog.Logger, what string, s Store) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(keepEvery):
		}
		err := s.Check(ctx)
		if err == nil || ctx.Err() != nil {
			continue
		}
		log.Warn("preparing a store again", "store", what, "err", settings.Redact(err.Error()))
		if Await(ctx, log, what, s.Prepare) == nil {
			log.Info("store is prepared again", "store", what)
		}
	}
}
