package live

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/lograte"
)

const (
	maxTurns  = 16              // of clients that read the log, at the same time
	turnTime  = 5 * time.Second // that a client reads it; then it is another's turn
	turnBatch = 500             // records that are read at once
	// startTime is how long Kafka may take to say where the log ends.
	startTime = 3 * time.Second
)

// ErrAway is of a Kafka that does not say where its log ends.
var ErrAway = errors.New("kafka is away")

// Hub tells clients what happens. It is safe for concurrent use.
type Hub struct {
	cfg     kafka.Config
	devices Devices
	log     *slog.Logger
	turns   *turns
	away    lograte.Limiter // of lines about Kafka

	streams prometheus.Gauge
	slow    prometheus.Counter

	mu       sync.Mutex
	running  *running // nil while nobody listens
	watching int      // how many listen
}

// running is a feed that is followed.
type running struct {
	*feed
	stop context.CancelFunc
	done sync.WaitGroup
}

// New returns a hub of what is on the topics of cfg, and of devices.
func New(cfg kafka.Config, devices Devices, log *slog.Logger, metrics prometheus.Registerer) *Hub {
	return &Hub{
		cfg: cfg, devices: devices, log: log, turns: newTurns(),
		streams: promauto.With(metrics).NewGauge(prometheus.GaugeOpts{
			Name: "telltale_live_streams",
			Help: "Clients that follow what happens (GET /api/live/).",
		}),
		slow: promauto.With(metrics).NewCounter(prometheus.CounterOpts{
			Name: "telltale_live_slow_clients_total",
			Help: "Clients that followed what happens and were cut off, since they took their events too slowly.",
		}),
	}
}

// Client is one who listens.
type Client struct {
	Filter  Filter
	From    string             // the id of the last event that it has; "": it wants what comes from now on
	Network string             // where it is: who has the same shares turns
	Send    func([]byte) error // sends events, and keeps none of the bytes
	Cut     func()             // has a Send that waits fail
}

// Listen tells a client what happens until ctx ends, its Send fails, or it is too slow; it returns the cause. Where Kafka
// does not answer in time it returns ErrAway, before anything was sent.
func (h *Hub) Listen(ctx context.Context, c Client) error {
	r := h.enter()
	defer h.exit()
	if err := r.wait(ctx); err != nil {
		return err
	}
	ctx, cut := context.WithCancelCause(ctx)
	defer cut(nil)
	defer context.AfterFunc(ctx, c.Cut)()
	l := &listener{Client: c, hub: h, feed: r.feed, cut: cut}
	err := l.run(ctx)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// enter returns the feed, which begins with the first who listens.
func (h *Hub) enter() *running {
	h.streams.Inc()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.watching++
	if h.running == nil {
		ctx, stop := context.WithCancel(context.Background())
		h.running = &running{feed: newFeed(h), stop: stop}
		h.running.start(ctx, h.devices)
	}
	return h.running
}

// exit ends the feed with the last who listens.
func (h *Hub) exit() {
	h.streams.Dec()
	h.mu.Lock()
	var last *running
	if h.watching--; h.watching == 0 {
		last, h.running = h.running, nil
	}
	h.mu.Unlock()
	if last != nil {
		last.stop()
		last.done.Wait()
	}
}

func (r *running) start(ctx context.Context, devices Devices) {
	r.done.Go(func() { r.follow(ctx) })
	r.done.Go(func() { r.gather(ctx) })
	r.done.Go(func() { (&watcher{Devices: devices, feed: r.feed}).run(ctx) })
}

// wait waits until the feed follows.
func (r *running) wait(ctx context.Context) error {
	late := time.NewTimer(startTime)
	defer late.Stop()
	select {
	case <-r.ready:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-late.C:
		return fmt.Errorf("%w: it has not said within %v where its log ends", ErrAway, startTime)
	}
}
