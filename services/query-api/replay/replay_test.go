package replay_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/telltale-iot/telltale/pkg/deadletters"
	sqlitedeadletters "github.com/telltale-iot/telltale/pkg/deadletters/sqlite"
	"github.com/telltale-iot/telltale/pkg/embedded"
	"github.com/telltale-iot/telltale/pkg/embedded/embeddedtest"
	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/kafka/producer"
	"github.com/telltale-iot/telltale/pkg/mapping"
	"github.com/telltale-iot/telltale/pkg/readings"
	sqlitereadings "github.com/telltale-iot/telltale/pkg/readings/sqlite"
	"github.com/telltale-iot/telltale/services/query-api/replay"
)

var (
	quiet = slog.New(slog.DiscardHandler)
	noon  = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
)

func TestReplay(t *testing.T) {
	t.Run("the readings of a dead letter are on the topic, and the dead letter says so", func(t *testing.T) {
		w := newWorld(t)
		w.startKafka(t)
		d := w.keep(t, 1, `[{"x": 1}, {"x": 2, "timestamp": "2026-02-28T12:00:00Z"}, {"x": 3}]`)
		want := replay.Outcome{ID: d.ID, Result: replay.Replayed, Readings: 3}
		if diff := cmp.Diff([]replay.Outcome{want}, w.replay(t, d)); diff != "" {
			t.Errorf("outcome (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]string{"42 2026-03-01T12:00:00.001 1", "42 2026-02-28T12:00:00.000 2", "42 2026-03-01T12:00:00.002 3"}, w.produced(t, 3)); diff != "" {
			t.Errorf("produced (-want +got):\n%s", diff)
		}
		if got := w.deadLetter(t, d.ID); got.Replay.Readings != 3 || time.Since(got.Replay.At) > time.Minute {
			t.Errorf("marked %+v", got.Replay)
		}
	})
	t.Run("a replay that is repeated gives the same readings", func(t *testing.T) {
		w := newWorld(t)
		w.startKafka(t)
		d := w.keep(t, 1, `{"x": 1}`)
		w.replay(t, d)
		w.replay(t, d)
		if got := w.produced(t, 2); got[0] != got[1] {
			t.Errorf("%q", got)
		}
	})
	t.Run("of a dead letter that is rejected nothing is sent, and its neighbours are", func(t *testing.T) {
		w := newWorld(t)
		w.startKafka(t)
		bad, good := w.keep(t, 1, `[{"x": 1}, {"x": NaN}]`), w.keep(t, 2, `{"x": 2}`)
		got := w.replay(t, bad, good)
		if got[0].Result != replay.Rejected || got[0].Rejection.Reason != iot.ReasonNotANumber || got[1].Result != replay.Replayed {
			t.Errorf("%+v", got)
		}
		if diff := cmp.Diff([]string{"42 2026-03-01T12:00:00.002 2"}, w.produced(t, 1)); diff != "" {
			t.Errorf("produced (-want +got):\n%s", diff)
		}
		if at := w.deadLetter(t, bad.ID).Replay.At; !at.IsZero() {
			t.Errorf("the rejected one is marked %v", at)
		}
	})
	t.Run("many dead letters are replayed at once, each once", func(t *testing.T) {
		w := newWorld(t)
		w.startKafka(t)
		const n = 200
		var all []iot.DeadLetter
		for i := range n {
			all = append(all, w.keep(t, i+1, fmt.Sprintf(`{"x": %d}`, i)))
		}
		for i, o := range w.replay(t, all...) {
			if o.ID != all[i].ID || o.Result != replay.Replayed {
				t.Fatalf("dead letter %d: %+v", i, o)
			}
		}
		seen := map[string]bool{}
		for _, r := range w.produced(t, n) {
			seen[r] = true
		}
		counts, err := w.deadLetters.CountDeadLetters(t.Context(), iot.DeadLetterQuery{})
		if err != nil || len(seen) != n || counts[0].Replayed != n {
			t.Errorf("%d different readings, counts %+v, %v", len(seen), counts, err)
		}
	})
	t.Run("a conflict is rejected while its place is taken, and by its dead letter alone", func(t *testing.T) {
		w := newWorld(t)
		w.startKafka(t)
		stored := iot.Reading{Device: 42, At: noon.Add(time.Millisecond), Received: noon, Metrics: []iot.Metric{{Name: "x", Value: 1}}}
		if _, err := w.readings.InsertReadings(t.Context(), []iot.Reading{stored}); err != nil {
			t.Fatal(err)
		}
		server := iot.Reading{Device: 42, At: noon.Add(3 * time.Millisecond), Received: noon, Stamped: iot.StampServer, Origin: 1, Metrics: stored.Metrics}
		if _, err := w.readings.InsertReadings(t.Context(), []iot.Reading{server}); err != nil {
			t.Fatal(err)
		}
		const at = `, "timestamp": "2026-03-01T12:00:00.00`
		deadLetters := []iot.DeadLetter{
			w.keep(t, 9, `{"x": 2`+at+`1Z"}`), w.keep(t, 9, `{"x": 1`+at+`1Z"}`), w.keep(t, 9, `{"x": 2`+at+`2Z"}`),
			w.keep(t, 9, `{"x": 2`+at+`3Z"}`), // which the server's stamp makes room for
			w.keep(t, 1, `{"x": 2}`),          // which goes to the next millisecond
		}
		for i := range deadLetters {
			deadLetters[i].Reason = iot.ReasonConflict
		}
		got := w.replay(t, deadLetters...)
		if got[0].Result != replay.Rejected || got[0].Rejection.Reason != iot.ReasonConflict {
			t.Errorf("%+v", got[0])
		}
		for _, o := range got[1:] {
			if o.Result != replay.Replayed {
				t.Errorf("%+v", o)
			}
		}
	})
	t.Run("a conflict's values are replayed as they are, or corrected, and it stays known where they came from", func(t *testing.T) {
		w := newWorld(t)
		w.startKafka(t)
		r := iot.Reading{Device: iot.KeyID("kitchen-1"), Key: "kitchen-1", At: noon, Received: noon, Stamped: iot.StampDevice, Metrics: []iot.Metric{{Name: "x", Value: 1}}}
		values, contentType, ok := event.Values(r, noon)
		if !ok {
			t.Fatalf("no values of %+v", r)
		}
		d := iot.DeadLetter{
			Rejection: iot.Rejection{Reason: iot.ReasonConflict, Device: r.Device, Bytes: values},
			ID:        iot.DeadLetterID{1}, Source: "sensors/kitchen-1/data", Client: "a client", Received: noon, ContentType: contentType,
		}
		other := event.Correct(d, []byte(`{"device_id":"kitchen-1","timestamp":"2026-03-01T12:00:00.000Z","y":2}`))
		for i, o := range w.replay(t, d, other) {
			if o.Result != replay.Replayed {
				t.Errorf("%d: %+v", i, o)
			}
		}
		id := r.Device.String()
		produced := w.produced(t, 2)
		slices.Sort(produced)
		if diff := cmp.Diff([]string{id + " 2026-03-01T12:00:00.000 1", id + " 2026-03-01T12:00:00.000 2"}, produced); diff != "" {
			t.Errorf("produced (-want +got):\n%s", diff)
		}
		want := event.RecordAgain("", r, event.NewSource("sensors/kitchen-1/data", "a client"))
		if got := w.values; !slices.ContainsFunc(got, func(b []byte) bool { return bytes.Equal(b, want.Value) }) {
			t.Errorf("%q are produced, want %q among them", got, want.Value)
		}
	})
	t.Run("a dead letter whose marking failed is replayed, and can be once more", func(t *testing.T) {
		w := newWorld(t)
		w.startKafka(t)
		d := w.keep(t, 1, `{"x": 1}`)
		if outcomes, err := w.newReplayer(noMarks{w.deadLetters}).Replay(t.Context(), []iot.DeadLetter{d}); err == nil {
			t.Errorf("%+v", outcomes)
		}
		w.replay(t, d)
		if got := w.produced(t, 2); got[0] != got[1] || w.deadLetter(t, d.ID).Replay.At.IsZero() {
			t.Errorf("%q", got)
		}
	})
}

// world is what a Replayer needs.
type world struct {
	deadLetters deadletters.Store
	readings    readings.Store
	kafka       kafka.Config
	rules       *mapping.Set
	dir         string // of the broker
	broker      *embedded.Kafka
	producer    *producer.Producer
	replayer    *replay.Replayer
	values      [][]byte // of the records that were produced
}

// noMarks is a store that cannot mark.
type noMarks struct{ deadletters.Store }

func (noMarks) MarkReplayed(context.Context, map[iot.DeadLetterID]iot.Replay) error {
	return errors.New("connection refused")
}

func newWorld(t *testing.T) *world {
	t.Helper()
	path := filepath.Join(t.TempDir(), "readings")
	w := &world{dir: t.TempDir(), kafka: kafka.Config{Topic: "raw-data", Partitions: 1, ClientID: "query-api"}}
	var err error
	if w.deadLetters, err = sqlitedeadletters.Open(path + ".db"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.deadLetters.Close() })
	if w.readings, err = sqlitereadings.Open(path, sqlitereadings.Options{Log: quiet}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.readings.Close() })
	if err := errors.Join(w.deadLetters.Prepare(t.Context()), w.readings.Prepare(t.Context())); err != nil {
		t.Fatal(err)
	}
	return w
}

// startKafka starts a broker, and a Replayer on it.
func (w *world) startKafka(t *testing.T) {
	t.Helper()
	w.startBroker(t, "127.0.0.1:0")
	w.kafka.Brokers = []string{w.broker.Addr()}
	if err := kafka.EnsureTopics(t.Context(), w.kafka, quiet); err != nil {
		t.Fatal(err)
	}
	w.startProducer(t)
	for w.producer.Check(t.Context()) != nil {
		time.Sleep(time.Millisecond)
	}
	w.replayer = w.newReplayer(w.deadLetters)
}

func (w *world) startBroker(t *testing.T, addr string) {
	t.Helper()
	w.broker = embeddedtest.StartWith(t, embedded.KafkaConfig{Addr: addr, Dir: w.dir})
}

func (w *world) newReplayer(deadLetters deadletters.Store) *replay.Replayer {
	return replay.New(w.producer, w.kafka.Topic, w.rules, deadLetters, w.readings, prometheus.NewRegistry())
}

// startProducer runs the producer until t ends.
func (w *world) startProducer(t *testing.T) {
	w.producer = producer.New(w.kafka, quiet, prometheus.NewRegistry())
	ctx, cancel := context.WithCancel(context.Background())
	var wait sync.WaitGroup
	wait.Go(func() {
		if err := w.producer.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); wait.Wait() })
}

// keep stores dead letter number n, of device 42, which came n ms after noon.
func (w *world) keep(t *testing.T, n int, payload string) iot.DeadLetter {
	t.Helper()
	at := noon.Add(time.Duration(n) * time.Millisecond)
	rec := event.DeadLetter{DeadLetter: iot.DeadLetter{
		Rejection: iot.Rejection{Reason: iot.ReasonInvalidJSON, Device: 42, Bytes: []byte(payload)},
		Source:    "sensors/42/data", Received: at, TopicDevice: "42",
	}}.Record("raw-data.dlq")
	d := event.ReadDeadLetter(&rec)
	if _, err := w.deadLetters.InsertDeadLetters(t.Context(), []iot.DeadLetter{d}); err != nil {
		t.Fatal(err)
	}
	return d
}

func (w *world) deadLetter(t *testing.T, id iot.DeadLetterID) iot.DeadLetter {
	t.Helper()
	d, err := w.deadLetters.DeadLetter(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (w *world) replay(t *testing.T, deadLetters ...iot.DeadLetter) []replay.Outcome {
	t.Helper()
	outcomes, err := w.replayer.Replay(t.Context(), deadLetters)
	if err != nil {
		t.Fatal(err)
	}
	return outcomes
}

// produced waits for n readings on the topic, and returns each as device, time and its metric.
func (w *world) produced(t *testing.T, n int) (all []string) {
	t.Helper()
	got := make(chan string, 2*n)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	consumer := kafka.NewConsumer(kafka.GroupConfig{Config: w.kafka, Group: t.Name(), MaxBatch: 100, MaxWait: time.Millisecond},
		func(_ context.Context, batch []kafka.Record) error {
			for i := range batch {
				w.values = append(w.values, batch[i].Value)
				decoded, rejected := event.Decode(&batch[i], nil)
				for _, r := range decoded {
					got <- fmt.Sprint(r.Device, " ", r.At.Format("2006-01-02T15:04:05.000"), " ", r.Metrics[0].Value)
				}
				if len(rejected) > 0 {
					t.Errorf("%+v", rejected)
				}
			}
			return nil
		}, quiet, prometheus.NewRegistry())
	consuming, stop := context.WithCancel(ctx)
	var wait sync.WaitGroup
	wait.Go(func() { _ = consumer.Run(consuming) })
	defer wait.Wait()
	defer stop()
	for len(all) < n {
		select {
		case r := <-got:
			all = append(all, r)
		case <-ctx.Done():
			t.Fatalf("%d readings, want %d", len(all), n)
		}
	}
	return all
}
