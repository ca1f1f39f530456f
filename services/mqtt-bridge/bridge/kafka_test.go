package bridge_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/telltale-iot/telltale/pkg/embedded"
	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka"
)

// testTimeout is how long a test waits for what must happen.
const testTimeout = 60 * time.Second

// testLog shows warnings when tests run with -v, and everything with LOG=debug.
func testLog(t testing.TB) *slog.Logger {
	level := slog.LevelWarn
	if os.Getenv("LOG") == "debug" {
		level = slog.LevelDebug
	}
	if !testing.Verbose() {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: level}))
}

// testKafka is a broker that a test can stop and start again, and what is in its topics.
type testKafka struct {
	t       *testing.T
	dir     string
	cfg     kafka.Config
	running *embedded.Kafka

	mu          sync.Mutex
	changed     chan struct{} // closed when there is more in deadLetters or read
	read        []iot.Reading
	values      [][]byte // of their records
	deadLetters []kafka.Record
}

// newKafka starts a broker with the two topics, and reads along.
func newKafka(t *testing.T) *testKafka {
	k := &testKafka{t: t, dir: t.TempDir(), changed: make(chan struct{})}
	k.cfg = kafka.Config{
		Brokers: []string{"127.0.0.1:0"}, Topic: "raw-data",
		Partitions: 4, Replication: -1, Retention: time.Hour, ClientID: "test",
	}
	k.start()
	t.Cleanup(k.stop)
	k.cfg.Brokers = []string{k.running.Addr()}
	if err := kafka.EnsureTopics(t.Context(), k.cfg, testLog(t)); err != nil {
		t.Fatal(err)
	}
	k.consume(k.cfg.Topic, func(records []kafka.Record) {
		for i := range records {
			readings, rejections := event.Decode(&records[i], nil)
			if len(rejections) > 0 {
				t.Errorf("not a reading in %s: %v", k.cfg.Topic, rejections)
			}
			k.read = append(k.read, readings...)
			k.values = append(k.values, slices.Clone(records[i].Value))
		}
	})
	k.consume(k.cfg.DeadLetterTopic(), func(records []kafka.Record) {
		for _, r := range records { // they are the consumer's again after this
			r.Value, r.Headers = slices.Clone(r.Value), slices.Clone(r.Headers)
			k.deadLetters = append(k.deadLetters, r)
		}
	})
	return k
}

// consume reads topic until the test ends. note is called with k.mu held.
func (k *testKafka) consume(topic string, note func([]kafka.Record)) {
	cfg := kafka.GroupConfig{Config: k.cfg, Group: "test-" + topic, MaxBatch: 1000, MaxWait: time.Millisecond}
	cfg.Topic = topic
	handle := func(_ context.Context, batch []kafka.Record) error {
		k.mu.Lock()
		defer k.mu.Unlock()
		note(batch)
		close(k.changed)
		k.changed = make(chan struct{})
		return nil
	}
	background(k.t, kafka.NewConsumer(cfg, handle, testLog(k.t), prometheus.NewRegistry()).Run)
}

func (k *testKafka) start() {
	k.t.Helper()
	running, err := embedded.StartKafka(embedded.KafkaConfig{Addr: k.cfg.Brokers[0], Writes: true, Dir: k.dir, Log: testLog(k.t)})
	if err != nil {
		k.t.Fatal(err)
	}
	k.running = running
}

func (k *testKafka) stop() {
	if k.running == nil {
		return
	}
	if err := k.running.Close(context.Background()); err != nil {
		k.t.Error(err)
	}
	k.running = nil
}

// readings waits until there are n readings, and returns all there are.
func (k *testKafka) readings(n int) []iot.Reading {
	k.t.Helper()
	k.await(fmt.Sprintf("%d readings", n), func() bool { return len(k.read) >= n })
	k.mu.Lock()
	defer k.mu.Unlock()
	return append([]iot.Reading(nil), k.read...)
}

// different waits until there are n different readings, and returns how often each is there: Kafka may have those twice whose
// acknowledgement came too late.
func (k *testKafka) different(n int) map[key]int {
	k.t.Helper()
	k.await(fmt.Sprintf("%d different readings", n), func() bool { return len(k.read) >= n && len(keys(k.read)) >= n })
	return keys(k.readings(n))
}

// awaitDeadLetters waits until there are n dead letters, and returns all there are.
func (k *testKafka) awaitDeadLetters(n int) []kafka.Record {
	k.t.Helper()
	k.await(fmt.Sprintf("%d dead letters", n), func() bool { return len(k.deadLetters) >= n })
	k.mu.Lock()
	defer k.mu.Unlock()
	return append([]kafka.Record(nil), k.deadLetters...)
}

func (k *testKafka) await(what string, there func() bool) {
	k.t.Helper()
	deadline := time.After(testTimeout)
	for {
		k.mu.Lock()
		ok, changed := there(), k.changed
		readings, deadLetters := len(k.read), len(k.deadLetters)
		k.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			k.t.Fatalf("waited %v for %s in Kafka: there are %d readings and %d dead letters", testTimeout, what, readings, deadLetters)
		}
	}
}

// background runs f until stop is called, or the test ends.
func background(t *testing.T, f func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var once sync.Once
	ended := make(chan error, 1)
	go func() { ended <- f(ctx) }()
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(stop)
	return stop
}
