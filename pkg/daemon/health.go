package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/telltale-iot/telltale/pkg/settings"
)

const (
	checkEvery   = time.Second
	failsOfStart = 3               // failing calls until a dependency that has never answered is missed
	checkTimeout = 3 * time.Second // a dependency that hangs shows within checkEvery + checkTimeout
)

var errUnchecked = errors.New("not checked yet")

// Health is what /readyz tells: whether the dependencies of this process answer. It is safe for
// concurrent use.
type Health struct {
	log *slog.Logger
	up  *prometheus.GaugeVec

	mu     sync.Mutex
	checks []*check // by name
}

type check struct {
	name  string
	call  func(context.Context) error
	err   error     // what the last call said
	fails int       // calls in a row that failed
	found bool      // a call has succeeded
	since time.Time // when err last became nil or non-nil
}

// NewHealth returns a Health without dependencies, which is ready.
func NewHealth(log *slog.Logger, metrics prometheus.Registerer) *Health {
	return &Health{log: log, up: promauto.With(metrics).NewGaugeVec(prometheus.GaugeOpts{
		Name: "telltale_dependency_up",
		Help: "Whether a dependency of this process answers: 1 or 0.",
	}, []string{"dependency"})}
}

// Register adds a dependency: call is nil while it answers. It is called in the background, about every
// second, until ctx ends; what it said last is what /readyz tells, and a change is logged. A call that
// does not return within 3 s counts as an error. Before its first answer a dependency counts as not
// available.
func (h *Health) Register(ctx context.Context, name string, call func(context.Context) error) {
	c := &check{name: name, call: call, err: errUnchecked, since: time.Now()}
	h.mu.Lock()
	h.checks = append(h.checks, c)
	slices.SortFunc(h.checks, func(a, b *check) int { return strings.Compare(a.name, b.name) })
	h.mu.Unlock()
	h.up.WithLabelValues(name).Set(0)
	go h.watch(ctx, c)
}

func (h *Health) watch(ctx context.Context, c *check) {
	for ctx.Err() == nil {
		h.update(c, callWithin(ctx, c.call))
		select {
		case <-ctx.Done():
		case <-time.After(checkEvery):
		}
	}
}

// callWithin calls call and waits for it at most checkTimeout, even when it does not heed its context.
func callWithin(ctx context.Context, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- call(ctx) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("no answer within %v", checkTimeout)
	}
}

func (h *Health) update(c *check, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	was := c.err
	c.err = err
	if (was == nil) != (err == nil) {
		c.since = time.Now()
	}
	if err == nil {
		c.fails, c.found = 0, true
		if was != nil {
			h.up.WithLabelValues(c.name).Set(1)
			h.log.Info("dependency is available", "dependency", c.name)
		}
		return
	}
	c.fails++
	// One that was there is missed at once; one that was not there yet may be starting, as we are.
	if c.found && c.fails == 1 || !c.found && c.fails == failsOfStart {
		h.up.WithLabelValues(c.name).Set(0)
		h.log.Warn("dependency is not available", "dependency", c.name, "err", settings.Redact(err.Error()))
	}
}

// Ready reports whether every dependency answered when it was last asked.
func (h *Health) Ready() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !slices.ContainsFunc(h.checks, func(c *check) bool { return c.err != nil })
}

// write prints a line per dependency, in the form of Kubernetes' own /readyz?verbose.
func (h *Health) write(w io.Writer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range h.checks {
		since := c.since.UTC().Format(time.RFC3339)
		if c.err != nil {
			_, _ = fmt.Fprintf(w, "[-]%s failed since %s: %s\n", c.name, since, settings.Redact(c.err.Error()))
			continue
		}
		_, _ = fmt.Fprintf(w, "[+]%s ok since %s\n", c.name, since)
	}
}
