package bridge

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/telltale-iot/telltale/pkg/daemon"
	"github.com/telltale-iot/telltale/pkg/kafka"
)

// Name is the bridge's name as a client of Kafka.
const Name = "mqtt-bridge"

// Bridge takes readings from MQTT to Kafka.
type Bridge struct {
	Config   Config
	Kafka    kafka.Config
	Listener net.Listener // where devices connect; nil to subscribe to Config.URL. Run closes it
	Log      *slog.Logger
	Metrics  prometheus.Registerer
	Health   *daemon.Health

	status atomic.Pointer[error]
}

var errStarting = errors.New("starting")

// Run takes messages until ctx ends. Then it takes no more, waits for Kafka to answer for those it took
// (at most 5 s), acknowledges them, disconnects, and returns nil. It takes messages at once: while Kafka
// is away, or its topics are still being created, their acknowledgements wait.
func (b *Bridge) Run(ctx context.Context) error {
	filters, err := parseFilters(b.Config.Topics)
	if err != nil {
		return configError("MQTT_TOPICS", strings.Join(b.Config.Topics, ","), err)
	}
	producer := kafka.NewProducer(b.Kafka, b.Log, b.Metrics)
	pipe := &pipeline{
		producer: producer, topic: b.Kafka.Topic, deadLetters: b.Kafka.DeadLetterTopic(),
		filters: filters, log: b.Log, inFlight: quota{limit: inFlightBytes},
	}
	pipe.metrics = newMetrics(b.Metrics, func() float64 { return float64(pipe.inFlight.inUse()) })
	b.Health.Register(ctx, "kafka ("+Name+")", producer)
	b.Health.Register(ctx, "mqtt", b)

	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		err := kafka.EnsureTopics(ctx, b.Kafka, b.Log)
		if ctx.Err() != nil {
			return nil
		}
		return err
	})
	group.Go(func() error { return producer.Run(ctx) }) // it drains as long as the source does
	group.Go(func() error {
		defer b.setStatus(errors.New("stopped"))
		if b.Listener != nil {
			return b.listen(ctx, pipe)
		}
		return b.subscribe(ctx, pipe)
	})
	return group.Wait()
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
