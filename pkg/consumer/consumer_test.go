package consumer_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/telltale-iot/telltale/pkg/consumer"
	"github.com/telltale-iot/telltale/pkg/daemon"
	"github.com/telltale-iot/telltale/pkg/embedded"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/kafka/kafkatest"
	"github.com/telltale-iot/telltale/pkg/kafka/producer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var quiet = slog.New(slog.DiscardHandler)

func process() *daemon.Process {
	return &daemon.Process{Log: quiet, Metrics: prometheus.NewRegistry(), Health: daemon.NewHealth(quiet, prometheus.NewRegistry())}
}

// TestRun has a store that cannot be prepared at first, and a batch that is being handled when the service has to
// stop.
func TestRun(t *testing.T) {
	broker, err := embedded.StartKafka(embedded.KafkaConfig{Addr: "127.0.0.1:0", Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer broker.Close(context.Background()) //nolint:errcheck // it is in memory
	cfg := kafka.Config{Brokers: []string{broker.Addr()}, Dial: broker.Dial, Topic: "raw-data", Partitions: 1, Replication: -1, Retention: time.Hour, ClientID: "test"}

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	store, asked := &store{}, make(chan chan string)
	s := consumer.Service{
		GroupConfig: kafka.GroupConfig{Config: cfg, Group: "g", MaxBatch: 10},
		Handle: func(ctx context.Context, _ []kafka.Record) error {
			if store.attempts.Load() != 2 {
				t.Errorf("a batch is handled after %d attempts to prepare the store", store.attempts.Load())
			}
			stop()
			answer := make(chan string, 1)
			select {
			case asked <- answer:
				<-answer
			case <-ctx.Done():
				t.Error("what runs beside does not answer the last batch")
			}
			return nil
		},
		Store: store, StoreName: "store",
		Beside: func(ctx context.Context) error {
			for {
				select {
				case answer := <-asked:
					answer <- "yes"
				case <-ctx.Done():
					return nil
				}
			}
		},
	}
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, process()) }()
	produce(t, cfg, "one")
	if err := <-done; err != nil {
		t.Error(err)
	}

	t.Run("what was handled at the end is committed", func(t *testing.T) {
		var got []string
		ctx, stop := context.WithCancel(t.Context())
		s := consumer.Service{
			GroupConfig: s.GroupConfig,
			Handle: func(_ context.Context, batch []kafka.Record) error {
				for _, r := range batch {
					got = append(got, string(r.Value))
				}
				stop()
				return nil
			},
		}
		produce(t, cfg, "two")
		if err := s.Run(ctx, process()); err != nil {
			t.Error(err)
		}
		if !slices.Equal(got, []string{"two"}) {
			t.Errorf("consumed %q", got)
		}
	})
}

// store is one that can be prepared at the second attempt.
type store struct{ attempts atomic.Int64 }

func (s *store) Prepare(context.Context) error {
	if s.attempts.Add(1) == 1 {
		return errors.New("connection refused")
	}
	return nil
}

func (s *store) Check(context.Context) error { return nil }

// produce puts a record on the topic, which it makes.
func produce(t *testing.T, cfg kafka.Config, value string) {
	t.Helper()
	if err := kafka.EnsureTopics(t.Context(), cfg, quiet); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	p := producer.New(cfg, quiet, prometheus.NewRegistry())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	if err := kafkatest.Send(ctx, p, kafka.Record{Topic: cfg.Topic, Value: []byte(value)}); err != nil {
		t.Error(err)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
