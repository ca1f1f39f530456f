package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/telltale-iot/telltale/pkg/settings"
	"github.com/telltale-iot/telltale/pkg/timeouts"
)

// failsOfStart is how many calls fail until a dependency that has never answered counts as not available.
const failsOfStart = 3

var (
	errUnchecked = errors.New("no answer yet")
	errUnwatched = errors.New("it is not asked any more")
)

// Dependency is what a process needs. Check is nil while it answers, and otherwise says why it does not. Where a
// Dependency has a method State() string, /readyz?verbose shows that too. An error of Check that has a method
// Elsewhere() is about something else than the dependency itself: the process is not ready, but telltale_dependency_up
// has no value, so that nobody looks for the fault at the dependency.
type Dependency interface {
	Check(ctx context.Context) error
}

// Health is what /readyz reports: whether the dependencies of this process answer. It is safe for
// concurrent use.
type Health struct {
	log     *slog.Logger
	up      *prometheus.GaugeVec
	success *prometheus.GaugeVec

	mu       sync.Mutex
	checks   []*check // by name
	expected map[string]bool
	wasReady bool
}

type check struct {
	name   string
	call   func(context.Context) error
	answer chan error    // of a call that has not returned yet; nil while there is none
	state  func() string // nil where the dependency has none

	// Guarded by Health.mu.
	err    error     // what the last call said
	fails  int       // calls in a row that failed
	found  bool      // a call has succeeded
	logged bool      // that it is not available
	since  time.Time // when err last became nil or non-nil
	last   time.Time // when a call last succeeded; zero when none has
}

// NewHealth returns a Health without dependencies. It is not ready: what the process needs is yet to come.
func NewHealth(log *slog.Logger, metrics prometheus.Registerer) *Health {
	return &Health{
		log:      log,
		expected: map[string]bool{},
		up: promauto.With(metrics).NewGaugeVec(prometheus.GaugeOpts{
			Name: "telltale_dependency_up",
			Help: "Whether a dependency of this process answers: 1 or 0.",
		}, []string{"dependency"}),
		success: promauto.With(metrics).NewGaugeVec(prometheus.GaugeOpts{
			Name: "telltale_dependency_last_success_timestamp_seconds",
			Help: "When a dependency of this process last answered, as Unix time; 0 when it never has.",
		}, []string{"dependency"}),
	}
}

// Expect keeps the process from being ready until dependencies of these names are registered, and answer. Those that
// are registered first may answer before the others are there.
func (h *Health) Expect(names ...string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, name := range names {
		h.expected[name] = true
	}
}

// Register adds a dependency. It is checked in the background, about every second, until ctx ends; what
// Check said last is what /readyz reports, and a change is logged. A call that does not return within 3 s
// counts as an error. Before its first answer a dependency counts as not available, and after the end of ctx
// too: a process of which a part has failed is not ready while the others drain.
func (h *Health) Register(ctx context.Context, name string, d Dependency) {
	c := &check{name: name, call: d.Check, err: errUnchecked, since: time.Now()}
	if s, ok := d.(interface{ State() string }); ok {
		c.state = s.State
	}
	h.add(c)
	go h.watch(ctx, c)
}

func (h *Health) add(c *check) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.expected, c.name)
	h.checks = append(h.checks, c)
	slices.SortFunc(h.checks, func(a, b *check) int { return strings.Compare(a.name, b.name) })
	h.up.WithLabelValues(c.name).Set(0)
	h.success.WithLabelValues(c.name).Set(0)
}

func (h *Health) remove(c *check) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.checks = slices.DeleteFunc(h.checks, func(other *check) bool { return other == c })
	h.up.DeleteLabelValues(c.name)
	h.success.DeleteLabelValues(c.name)
}

func (h *Health) watch(ctx context.Context, c *check) {
	for {
		err := c.ask(ctx)
		if ctx.Err() != nil {
			h.unwatch(c)
			return
		}
		h.update(c, err)
		select {
		case <-ctx.Done():
			h.unwatch(c)
			return
		case <-time.After(timeouts.CheckEvery):
		}
	}
}

// unwatch takes back what c said last: whoever needed it has ended, and the process is about to.
func (h *Health) unwatch(c *check) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c.err, c.since = errUnwatched, time.Now()
}

// ask calls c.call, and waits for it at most timeouts.CheckTimeout, even when it does not heed its context: then that
// call's answer is waited for the next time.
func (c *check) ask(ctx context.Context) error {
	if c.answer == nil {
		answer := make(chan error, 1)
		c.answer = answer
		ctx, cancel := context.WithTimeout(ctx, timeouts.CheckTimeout)
		go func() {
			defer cancel()
			answer <- c.call(ctx)
		}()
	}
	select {
	case err := <-c.answer:
		c.answer = nil
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(timeouts.CheckTimeout):
		return fmt.Errorf("no answer within %v", timeouts.CheckTimeout)
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
		c.fails, c.found, c.last = 0, true, time.Now()
		h.success.WithLabelValues(c.name).Set(float64(c.last.UnixMilli()) / 1000)
		h.up.WithLabelValues(c.name).Set(1)
		if c.logged {
			c.logged = false
			h.log.Info("dependency is available", "dependency", c.name)
		}
		if !h.wasReady && h.ready() {
			h.wasReady = true
			h.log.Info("ready")
		}
		return
	}
	if errors.As(err, new(interface{ Elsewhere() })) {
		h.up.DeleteLabelValues(c.name)
		return
	}
	c.fails++
	// One that was there is reported at once; one that was not there yet may be starting, as we are.
	if c.found && c.fails == 1 || !c.found && c.fails == failsOfStart {
		c.logged = true
		h.up.WithLabelValues(c.name).Set(0)
		h.log.Warn("dependency is not available", "dependency", c.name, "err", settings.Redact(err.Error()))
	}
}

// Ready reports whether there are dependencies, all that are expected, and each answered when it was last asked.
func (h *Health) Ready() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ready()
}

func (h *Health) ready() bool {
	return len(h.checks) > 0 && len(h.expected) == 0 && !slices.ContainsFunc(h.checks, func(c *check) bool { return c.err != nil })
}

// Problems says, for people, what the process waits for. Why it does is in its log, and in /readyz?verbose: errors have
// addresses of servers in them, which not everybody is to see who sees this.
func (h *Health) Problems() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []string
	for _, c := range h.checks {
		if c.err != nil {
			all = append(all, fmt.Sprintf("%s: not available since %s", c.name, c.since.UTC().Format(time.RFC3339)))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(h.expected)) {
		all = append(all, name+": not started yet")
	}
	return all
}

// AwaitReady returns when the process is Ready, or ctx ends.
func (h *Health) AwaitReady(ctx context.Context) {
	for ctx.Err() == nil && !h.Ready() {
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// write prints a line per dependency, in the form of Kubernetes' own /readyz?verbose.
func (h *Health) write(w io.Writer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range h.checks {
		since := c.since.UTC().Format(time.RFC3339)
		if c.err != nil {
			last := "never"
			if !c.last.IsZero() {
				last = c.last.UTC().Format(time.RFC3339)
			}
			_, _ = fmt.Fprintf(w, "[-]%s failed since %s, last success %s: %s\n", c.name, since, last, settings.Redact(c.err.Error()))
		} else {
			_, _ = fmt.Fprintf(w, "[+]%s ok since %s, last success %s\n", c.name, since, c.last.UTC().Format(time.RFC3339))
		}
		if c.state == nil {
			continue
		}
		if state := c.state(); state != "" {
			_, _ = fmt.Fprintf(w, "   %s: %s\n", c.name, state)
		}
	}
}
