package bridge

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/telltale-iot/telltale/pkg/kafka"
)

// Bridge takes readings from MQTT to Kafka.
type Bridge struct {
	Config      Config
	Listener    net.Listener // where devices connect; nil to subscribe to Config.URL. Run closes it
	Producer    *kafka.Producer
	Topic       string // of the readings, in Kafka
	DeadLetters string // of what cannot be read, in Kafka
	Log         *slog.Logger
	Metrics     prometheus.Registerer

	status atomic.Pointer[error]
}

// drainTime is how long Run waits for Kafka's answers when it is told to stop.
const drainTime = 5 * time.Second

var errStarting = errors.New("starting")

// Run takes messages until ctx ends. Then it takes no more, waits for Kafka to answer for those it took
// (at most 5 s), acknowledges them, disconnects, and returns nil. The producer must be running; it may end
// at the same time.
func (b *Bridge) Run(ctx context.Context) error {
	filters, err := parseFilters(b.Config.Topics)
	if err != nil {
		return configError("MQTT_TOPICS", strings.Join(b.Config.Topics, ","), err)
	}
	in := &intake{
		producer: b.Producer, topic: b.Topic, deadLetters: b.DeadLetters,
		filters: filters, log: b.Log, inFlight: quota{limit: inFlightBytes},
	}
	in.metrics = newMetrics(b.Metrics, func() float64 { return float64(in.inFlight.inUse()) })
	defer b.setStatus(errors.New("stopped"))
	if b.Listener != nil {
		return b.listen(ctx, in)
	}
	return b.subscribe(ctx, in)
}

// Check is nil while devices can publish: in subscribe mode, while the broker has confirmed the
// subscriptions. Otherwise it says what is waited for.
func (b *Bridge) Check(context.Context) error {
	if s := b.status.Load(); s != nil {
		return *s
	}
	return errStarting
}

func (b *Bridge) setStatus(err error) { b.status.Store(&err) }

// drain waits until Kafka has answered for everything that was taken, at most drainTime.
func (b *Bridge) drain(in *intake) {
	in.closed.Store(true)
	deadline := time.After(drainTime)
	check := time.NewTicker(10 * time.Millisecond)
	defer check.Stop()
	for in.inFlight.inUse() > 0 {
		select {
		case <-deadline:
			b.Log.Warn("stopping with messages that Kafka has not acknowledged; they are sent again by whoever sent them")
			return
		case <-check.C:
		}
	}
}
