package writer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/telltale-iot/telltale/pkg/daemon"
	"github.com/telltale-iot/telltale/pkg/embedded"
	"github.com/telltale-iot/telltale/pkg/embedded/embeddedtest"
	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/kafka/kafkatest"
	"github.com/telltale-iot/telltale/pkg/kafka/producer"
	"github.com/telltale-iot/telltale/pkg/readings"
	"github.com/telltale-iot/telltale/pkg/readings/sqlite"
	files "github.com/telltale-iot/telltale/pkg/sqlite"
	"github.com/telltale-iot/telltale/services/ingest-writer/writer"
)

// testTimeout is how long a test waits for what must happen, on a machine that does other things too.
const testTimeout = 60 * time.Second

var begin = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// measured returns the reading of a device n ms after begin.
func measured(id iot.DeviceID, n int, temperature float64) iot.Reading {
	return iot.Reading{
		Device: id, At: begin.Add(time.Duration(n) * time.Millisecond), Received: begin.Add(time.Hour), Stamped: iot.StampDevice,
		Metrics: []iot.Metric{{Name: iot.Temperature, Value: temperature}},
	}
}

func TestOutcomes(t *testing.T) {
	e := newEnvironment(t)
	poison := kafka.Record{
		Topic: e.kafka.Topic, Key: []byte("9"), Value: []byte("\xff not protobuf"),
		Headers: []kafka.Header{{Key: "content-type", Value: []byte("application/x-protobuf")}},
	}
	legacy := kafka.Record{Topic: e.kafka.Topic, Key: []byte("7"), Value: []byte(`{"device_id": 7, "temperature": 20, "humidity": 50, "timestamp": "2026-01-02T03:04:05"}`)}
	conflict := event.Record(e.kafka.Topic, measured(1, 0, 99))
	voltage := measured(1, 0, 3.3)
	voltage.Metrics[0].Name = "voltage"
	e.produce(
		event.Record(e.kafka.Topic, measured(1, 0, 21)),
		poison,
		event.Record(e.kafka.Topic, measured(1, 0, 21)),
		conflict,
		event.Record(e.kafka.Topic, voltage),
		event.Record(e.kafka.Topic, measured(1, 1, 22)),
		legacy,
	)
	e.start()
	deadLetters := e.deadLetters(2)

	e.expectCounts(map[string]float64{"stored": 3, "merged": 1, "duplicate": 1, "conflict": 1, "rejected": 1})
	e.eventually("a metric of what the store takes", func() bool {
		families, _ := e.metrics.Gather()
		for _, f := range families {
			if f.GetName() == "telltale_store_size_bytes" {
				return true
			}
		}
		return false
	})
	want := []string{
		fmt.Sprintf("conflict %q", `{"device_id":1,"timestamp":"2026-01-02T03:04:05.000Z","temperature":99}`),
		fmt.Sprintf("invalid_protobuf %q", poison.Value),
	}
	if d := cmp.Diff(want, deadLetters); d != "" {
		t.Errorf("dead letters (-want +got):\n%s", d)
	}
	merged := measured(1, 0, 21)
	merged.Metrics = append(merged.Metrics, voltage.Metrics...)
	e.expectStored(merged, measured(1, 1, 22))
}

// TestDeadLetterTooLargeForItsTopic has a record that its topic takes, and whose dead letter, with headers, the other does not.
func TestDeadLetterTooLargeForItsTopic(t *testing.T) {
	e := newEnvironment(t)
	const neighbours = 30
	var records []kafka.Record
	for i := range neighbours { // some in the same partition
		records = append(records, kafka.Record{Topic: e.kafka.Topic, Key: fmt.Append(nil, i), Value: []byte("junk")})
	}
	for _, value := range []string{"large", ""} {
		records = append(records, kafka.Record{Topic: e.kafka.Topic, Key: bytes.Repeat([]byte("k"), 2<<20-150), Value: []byte(value)})
	}
	e.produce(records...)
	e.start()
	e.expectCounts(map[string]float64{"rejected": neighbours + 2})
	deadLetters := kafka.RangeReader{Config: e.kafka, MaxBatch: 1, Log: slog.New(slog.DiscardHandler)}
	deadLetters.Topic = e.kafka.DeadLetterTopic()
	deadLetters.Handle = func(context.Context, []kafka.Record) error { return nil }
	if err := deadLetters.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, n := deadLetters.Progress(); n != neighbours+2 {
		t.Errorf("%d dead letters, want %d: each once", n, neighbours+2)
	}
}

// TestTableThatWasDropped takes its table away from a store that the writer has prepared.
func TestTableThatWasDropped(t *testing.T) {
	e := newEnvironment(t)
	e.start()
	first, second := measured(1, 0, 20), measured(1, 1, 20)
	e.produce(event.Record(e.kafka.Topic, first))
	e.eventually("the first reading is stored", func() bool { return len(e.stored()) == 1 })
	months, err := filepath.Glob(filepath.Join(e.dir, "*.db"))
	if err != nil || len(months) != 1 {
		t.Fatalf("files %v, %v", months, err)
	}
	db, err := files.Open(months[0])
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // it is to be thrown away
	if _, err := db.Write.ExecContext(t.Context(), "DROP TABLE rows"); err != nil {
		t.Fatal(err)
	}
	if err := e.store.Check(t.Context()); err == nil {
		t.Error("Check is nil without the table")
	}
	e.produce(event.Record(e.kafka.Topic, second))
	e.eventually("the second reading is stored", func() bool { return len(e.stored()) == 1 })
	e.expectStored(second)
}

func TestOutageOfTheStore(t *testing.T) {
	e := newEnvironment(t)
	const n = 2500
	var records []kafka.Record
	var want []iot.Reading
	for i := range n {
		r := measured(iot.DeviceID(1+i%7), i, float64(i))
		want = append(want, r)
		records = append(records, event.Record(e.kafka.Topic, r))
	}
	e.store.down.Store(true)
	e.start()
	e.produce(records...)
	e.eventually("several tries", func() bool { return e.store.refused.Load() >= 3 })
	if stored := e.stored(); len(stored) != 0 {
		t.Fatalf("%d readings are stored while the store is away", len(stored))
	}
	e.store.down.Store(false)
	e.eventually("all readings stored", func() bool { return len(e.stored()) == n })
	e.expectStored(want...)
	e.expectCounts(map[string]float64{"stored": n})

	t.Run("what was committed does not come again", func(t *testing.T) {
		e.stop()
		e.start()
		e.produce(event.Record(e.kafka.Topic, measured(1, n, 1)))
		e.eventually("the new reading stored", func() bool { return len(e.stored()) == n+1 })
		e.expectCounts(map[string]float64{"stored": 1})
	})
}

// environment is a writer with what it needs: the embedded Kafka and SQLite, or the real servers.
type environment struct {
	t        *testing.T
	kafka    kafka.Config
	producer *producer.Producer
	store    *store
	dir      string // of the store
	metrics  *prometheus.Registry
	stop     func()
}

// store is a real store that can be taken away.
type store struct {
	readings.Store
	down    atomic.Bool
	refused atomic.Int64
}

func (s *store) InsertReadings(ctx context.Context, batch []iot.Reading) (iot.Inserted, error) {
	if s.down.Load() {
		s.refused.Add(1)
		return iot.Inserted{}, errors.New("connection refused")
	}
	return s.Store.InsertReadings(ctx, batch)
}

func newEnvironment(t *testing.T) *environment {
	t.Helper()
	return newEnvironmentOf(t, 3)
}

// newEnvironmentOf has a topic of so many partitions.
func newEnvironmentOf(t *testing.T, partitions int32) *environment {
	t.Helper()
	e := &environment{t: t, kafka: kafka.Config{
		Topic: fmt.Sprintf("test-writer-%d", time.Now().UnixNano()), Partitions: partitions, Replication: -1, Retention: time.Hour, ClientID: "test",
	}}
	if brokers := os.Getenv("TEST_KAFKA_BROKERS"); brokers != "" {
		e.kafka.Brokers = strings.Split(brokers, ",")
	} else {
		broker := embeddedtest.StartWith(t, embedded.KafkaConfig{Dir: t.TempDir()})
		e.kafka.Brokers = []string{broker.Addr()}
	}
	e.dir = filepath.Join(t.TempDir(), "readings")
	opened, err := sqlite.Open(e.dir, sqlite.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = opened.Close() })
	e.store = &store{Store: opened}

	if err := kafka.EnsureTopics(t.Context(), e.kafka, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	e.producer = producer.New(e.kafka, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	e.background(e.producer.Run)
	e.stop = func() {}
	return e
}

// background runs f until the returned function is called, at the latest at the end of the test.
func (e *environment) background(f func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wait sync.WaitGroup
	wait.Go(func() {
		if err := f(ctx); err != nil {
			e.t.Error(err)
		}
	})
	stop = sync.OnceFunc(func() { cancel(); wait.Wait() })
	e.t.Cleanup(stop)
	return stop
}

// start starts a writer with metrics of its own.
func (e *environment) start() {
	e.metrics = prometheus.NewRegistry()
	log := slog.New(slog.DiscardHandler)
	p := &daemon.Process{Log: log, Metrics: e.metrics, Health: daemon.NewHealth(log, prometheus.NewRegistry())}
	e.stop = e.background(func(ctx context.Context) error { return writer.Run(ctx, p, e.kafka, e.store, writer.ForServer) })
}

func (e *environment) produce(records ...kafka.Record) {
	e.t.Helper()
	if err := kafkatest.Send(e.t.Context(), e.producer, records...); err != nil {
		e.t.Fatal(err)
	}
}

// deadLetters waits for n dead letters and returns each as its reason and value, sorted.
func (e *environment) deadLetters(n int) []string {
	e.t.Helper()
	cfg := e.kafka
	cfg.Topic = e.kafka.DeadLetterTopic()
	got := make(chan string, 100)
	consumer := kafka.NewConsumer(kafka.GroupConfig{Config: cfg, Group: cfg.Topic, MaxBatch: 100, MaxWait: time.Millisecond},
		func(_ context.Context, batch []kafka.Record) error {
			for _, r := range batch {
				got <- fmt.Sprintf("%s %q", r.Header("reason"), r.Value)
			}
			return nil
		}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	stop := e.background(consumer.Run)
	defer stop()
	var deadLetters []string
	for range n {
		select {
		case l := <-got:
			deadLetters = append(deadLetters, l)
		case <-time.After(testTimeout):
			e.t.Fatalf("%d dead letters, want %d", len(deadLetters), n)
		}
	}
	slices.Sort(deadLetters)
	return deadLetters
}

// stored returns all readings in the store, oldest first.
func (e *environment) stored() []iot.Reading {
	e.t.Helper()
	page, err := e.store.FindReadings(e.t.Context(), iot.ReadingQuery{Limit: iot.MaxPage})
	if err != nil {
		return nil // not prepared yet
	}
	slices.Reverse(page.Readings)
	return page.Readings
}

// expectStored compares what is stored of the devices of want with want, which is in order of time.
// expectStored does not compare when readings were received, which is what Kafka says.
func (e *environment) expectStored(want ...iot.Reading) {
	e.t.Helper()
	devices := map[iot.DeviceID]bool{}
	for _, r := range want {
		devices[r.Device] = true
	}
	got := slices.DeleteFunc(e.stored(), func(r iot.Reading) bool { return !devices[r.Device] })
	if d := cmp.Diff(want, got, cmpopts.IgnoreFields(iot.Reading{}, "Received")); d != "" {
		e.t.Errorf("stored (-want +got):\n%s", d)
	}
}

// expectCounts waits for the writer's own counters.
func (e *environment) expectCounts(want map[string]float64) {
	e.t.Helper()
	var got map[string]float64
	e.eventually(fmt.Sprintf("counters %v", want), func() bool {
		got = map[string]float64{}
		families, err := e.metrics.Gather()
		if err != nil {
			e.t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() != "telltale_writer_readings_total" {
				continue
			}
			for _, m := range f.GetMetric() {
				if v := m.GetCounter().GetValue(); v != 0 {
					got[m.GetLabel()[0].GetValue()] = v
				}
			}
		}
		return cmp.Equal(want, got)
	})
}

func (e *environment) eventually(what string, ok func() bool) {
	e.t.Helper()
	deadline := time.Now().Add(testTimeout)
	for !ok() {
		if time.Now().After(deadline) {
			e.t.Fatalf("not within %v: %s", testTimeout, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
