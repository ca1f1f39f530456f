package archive_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/telltale-iot/telltale/pkg/daemon"
	"github.com/telltale-iot/telltale/pkg/deadletters"
	"github.com/telltale-iot/telltale/pkg/deadletters/sqlite"
	"github.com/telltale-iot/telltale/pkg/embedded/embeddedtest"
	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/kafka/kafkatest"
	"github.com/telltale-iot/telltale/pkg/kafka/producer"
	"github.com/telltale-iot/telltale/services/ingest-writer/archive"
)

// testTimeout is how long a test waits for what must happen, on a machine that does other things too.
const testTimeout = 60 * time.Second

var quiet = slog.New(slog.DiscardHandler)

func TestArchive(t *testing.T) {
	t.Run("what is on the topic is stored, whatever it is", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		deadLetter := dead(1)
		deadLetter.TopicDevice, deadLetter.Retained, deadLetter.ContentType = "042", true, "text/plain"
		w.send(t, deadLetter.Record(w.topic()), kafka.Record{Topic: w.topic(), Value: []byte("no dead letter")})
		w.start(t)
		got := w.await(t, 2)
		if got[0].Reason == deadLetter.Reason { // in any order: they may be of two partitions
			got[0], got[1] = got[1], got[0]
		}
		if age := time.Since(got[0].Received); string(got[0].Bytes) != "no dead letter" || got[0].Reason != "" || age.Abs() > time.Minute {
			t.Errorf("%+v", got[0])
		}
		if diff := cmp.Diff(deadLetter.DeadLetter, got[1], cmpopts.IgnoreFields(iot.DeadLetter{}, "ID")); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
	t.Run("while the store is away dead letters wait, and none is lost", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.store.away.Store(true)
		w.start(t)
		const n = 50
		for i := range n {
			w.send(t, dead(i).Record(w.topic()))
		}
		for deadline := time.Now().Add(testTimeout); w.store.refused.Load() < 3; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("the batch does not come again")
			}
		}
		w.store.away.Store(false)
		w.await(t, n)
	})
	t.Run("a dead letter that comes again is not stored twice, and one that was replayed stays so", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.send(t, dead(1).Record(w.topic()), dead(2).Record(w.topic()))
		w.store.forget.Store(true) // store, and fail
		stop := w.start(t)
		first := w.await(t, 2)[0]
		stop()
		replay := iot.Replay{At: time.UnixMilli(1), Readings: 1}
		if err := w.store.MarkReplayed(t.Context(), map[iot.DeadLetterID]iot.Replay{first.ID: replay}); err != nil {
			t.Fatal(err)
		}
		w.store.forget.Store(false)
		w.start(t)
		w.send(t, dead(3).Record(w.topic()))
		w.await(t, 3)
		if got, err := w.store.DeadLetter(t.Context(), first.ID); err != nil || got.Replay.Readings != 1 {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

// TestCapacity has a store that is full, and away now and then.
func TestCapacity(t *testing.T) {
	const n, each = 40, 500 // bytes, about
	w := newWorld(t)
	w.sqlite.Capacity = 10 * each
	w.store.untrimmed.Store(3)
	for i := range n {
		w.send(t, dead(i).Record(w.topic()))
	}
	stop := w.start(t)
	defer stop()
	counts := func() (taken, removed float64) {
		families, err := w.metrics.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			for _, m := range f.Metric {
				switch f.GetName() {
				case "telltale_keeper_dead_letters_total":
					taken += m.Counter.GetValue()
				case "telltale_keeper_removed_dead_letters_total":
					removed = m.Counter.GetValue()
				}
			}
		}
		return taken, removed
	}
	for deadline := time.Now().Add(testTimeout); ; time.Sleep(5 * time.Millisecond) {
		taken, removed := counts()
		if page, err := w.store.FindDeadLetters(t.Context(), iot.DeadLetterQuery{Limit: 100}); err == nil && taken == n &&
			len(page.DeadLetters) >= 10 && len(page.DeadLetters) < 16 && int(removed) >= n-len(page.DeadLetters) {
			break // more, if some were removed before they came again
		}
		if taken > n || time.Now().After(deadline) {
			t.Fatalf("%v taken and %v removed of %d", taken, removed, n)
		}
	}
	if w.store.untrimmed.Load() > 0 {
		t.Error("no call has failed")
	}
}

// TestInsertsAtOnce has a store that hangs, and dead letters in many partitions.
func TestInsertsAtOnce(t *testing.T) {
	w := newWorld(t)
	w.kafka.Topic, w.kafka.Partitions = "many-partitions", 12
	if err := kafka.EnsureTopics(t.Context(), w.kafka, quiet); err != nil {
		t.Fatal(err)
	}
	for n := range 100 {
		w.send(t, dead(n).Record(w.topic()))
	}
	w.store.hangs = make(chan struct{})
	goOn := sync.OnceFunc(func() { close(w.store.hangs) })
	w.start(t)
	defer goOn()
	deadline := time.Now().Add(testTimeout)
	for w.store.hanging.Load() == 0 {
		if time.Now().After(deadline) {
			t.Fatal("nothing is inserted")
		}
		time.Sleep(time.Millisecond)
	}
	for range 300 { // time for more of them
		if n := w.store.hanging.Load(); n > 4 {
			t.Errorf("%d inserts at the same time", n)
			break
		}
		time.Sleep(time.Millisecond)
	}
	goOn()
	w.await(t, 100)
}

// dead returns a dead letter with a number.
func dead(n int) event.DeadLetter {
	return event.DeadLetter{DeadLetter: iot.DeadLetter{
		Rejection: iot.Rejection{Reason: iot.ReasonInvalidJSON, Detail: "byte 0", Device: iot.DeviceID(n + 1), Bytes: fmt.Appendf(nil, "dead letter %d", n)},
		Source:    "sensors/data", Received: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
	}}
}

// world is a Kafka broker and a store.
type world struct {
	kafka    kafka.Config
	producer *producer.Producer
	store    *flaky
	sqlite   *sqlite.Store // below it
	metrics  *prometheus.Registry
}

// flaky is a store that can be away.
type flaky struct {
	deadletters.Store
	away, forget atomic.Bool
	refused      atomic.Int64
	untrimmed    atomic.Int64  // calls of TrimDeadLetters that fail
	hangs        chan struct{} // until it is closed; nil for a store that does not
	hanging      atomic.Int64
}

func (f *flaky) InsertDeadLetters(ctx context.Context, batch []iot.DeadLetter) (int, error) {
	if f.away.Load() {
		f.refused.Add(1)
		return 0, errors.New("connection refused")
	}
	if f.hangs != nil {
		f.hanging.Add(1)
		<-f.hangs
		f.hanging.Add(-1)
	}
	stored, err := f.Store.InsertDeadLetters(ctx, batch)
	if f.forget.Load() {
		return 0, errors.New("the answer is lost")
	}
	return stored, err
}

func (f *flaky) TrimDeadLetters(ctx context.Context) (int, error) {
	if f.untrimmed.Add(-1) >= 0 {
		return 0, errors.New("connection refused")
	}
	return f.Store.TrimDeadLetters(ctx)
}

func newWorld(t *testing.T) *world {
	t.Helper()
	broker := embeddedtest.Start(t)
	w := &world{kafka: kafka.Config{Brokers: []string{broker.Addr()}, Topic: "raw-data", Partitions: 3, ClientID: "test"}}
	opened, err := sqlite.Open(filepath.Join(t.TempDir(), "readings.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = opened.Close() })
	w.store, w.sqlite = &flaky{Store: opened}, opened
	if err := kafka.EnsureTopics(t.Context(), w.kafka, quiet); err != nil {
		t.Fatal(err)
	}
	w.producer = producer.New(w.kafka, quiet, prometheus.NewRegistry())
	background(t, w.producer.Run)
	return w
}

func (w *world) topic() string { return w.kafka.DeadLetterTopic() }

// start runs the archive, until stop is called or t ends.
func (w *world) start(t *testing.T) (stop func()) {
	w.metrics = prometheus.NewRegistry()
	p := &daemon.Process{Log: quiet, Metrics: w.metrics, Health: daemon.NewHealth(quiet, prometheus.NewRegistry())}
	return background(t, func(ctx context.Context) error { return archive.Run(ctx, p, w.kafka, w.store) })
}

// background runs f until stop is called or t ends.
func background(t *testing.T, f func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wait sync.WaitGroup
	wait.Go(func() {
		if err := f(ctx); err != nil {
			t.Error(err)
		}
	})
	stop = sync.OnceFunc(func() { cancel(); wait.Wait() })
	t.Cleanup(stop)
	return stop
}

func (w *world) send(t *testing.T, records ...kafka.Record) {
	t.Helper()
	if err := kafkatest.Send(t.Context(), w.producer, records...); err != nil {
		t.Fatal(err)
	}
}

// await waits until there are n dead letters, and returns them.
func (w *world) await(t *testing.T, n int) []iot.DeadLetter {
	t.Helper()
	var got []iot.DeadLetter
	for deadline := time.Now().Add(testTimeout); len(got) < n; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d dead letters, want %d", len(got), n)
		}
		page, err := w.store.FindDeadLetters(t.Context(), iot.DeadLetterQuery{Limit: 100})
		if err == nil { // else it is not prepared yet
			got = page.DeadLetters
		}
	}
	if len(got) > n {
		t.Errorf("%d dead letters, want %d", len(got), n)
	}
	return got
}
