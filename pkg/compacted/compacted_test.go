package compacted

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/telltale-iot/telltale/pkg/embedded/embeddedtest"
	"github.com/telltale-iot/telltale/pkg/heaptest"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/kafka/kafkatest"
	"github.com/telltale-iot/telltale/pkg/kafka/producer"
)

var quiet = slog.New(slog.DiscardHandler)

// TestTellerBounds: however long Kafka is away, and whatever there is to tell.
func TestTellerBounds(t *testing.T) {
	cfg := kafka.Config{Topic: "t"}
	record := kafka.Record{Topic: "t", Key: []byte("key"), Value: make([]byte, 10<<10)}
	teller := NewTeller(cfg, "nothing", func(time.Time) ([]kafka.Record, bool) { return []kafka.Record{record, record}, true }, quiet)
	away := producer.New(cfg, quiet, nil)
	for range 100 {
		teller.tell(away)
	}
	if n := teller.unanswered.Load(); n < maxUnanswered || n > maxUnanswered+21<<10 {
		t.Errorf("%d bytes wait for Kafka", n)
	}
	if !teller.Full() {
		t.Error("it does not say that records are dropped")
	}
}

// What is told is read, of each key the last, until all is ended.
func TestTellAndRead(t *testing.T) {
	w := newWorld(t)
	var mu sync.Mutex
	var due []kafka.Record
	teller := NewTeller(w.cfg, "what is told", func(time.Time) ([]kafka.Record, bool) {
		mu.Lock()
		defer mu.Unlock()
		now := due
		due = nil
		return now, false
	}, quiet)
	kafkatest.Start(t, teller.Run)
	tell := func(key, value string) {
		mu.Lock()
		defer mu.Unlock()
		due = append(due, kafka.Record{Topic: w.cfg.Topic, Key: []byte(key), Value: []byte(value)})
		teller.Wake()
	}
	table := NewTable(Table{Topic: w.cfg, What: "what is told", MaxBytes: 1 << 20, MaxRecord: 1 << 10, Log: quiet})
	tell("a", "1")
	tell("b", "1")
	w.await(t, table, map[string]string{"a": "1", "b": "1"})
	tell("a", "2")
	tell("b", "")
	tell("long", string(make([]byte, 2<<10)))
	tell("c", "1")
	w.await(t, table, map[string]string{"a": "2", "c": "1"})
	if err := table.End(t.Context(), w.producer, func([]byte) bool { return true }); err != nil {
		t.Fatal(err)
	}
	if got := w.rows(t, table, time.Hour); len(got) != 0 {
		t.Errorf("%v is not ended", got)
	}
	again := NewTable(Table{Topic: w.cfg, What: "what is told", MaxBytes: 1 << 20, MaxRecord: 1 << 10, Log: quiet})
	if got := w.rows(t, again, 0); len(got) != 0 {
		t.Errorf("%v is there for another", got)
	}
}

// What a Teller says at its end is the last.
func TestFarewell(t *testing.T) {
	w := newWorld(t)
	teller := NewTeller(w.cfg, "what is told", func(time.Time) ([]kafka.Record, bool) {
		return []kafka.Record{{Topic: w.cfg.Topic, Key: []byte("a"), Value: []byte("1")}}, false
	}, quiet)
	teller.Farewell = func() []kafka.Record { return []kafka.Record{{Topic: w.cfg.Topic, Key: []byte("a")}} }
	ctx, cancel := context.WithCancel(t.Context())
	var wait sync.WaitGroup
	wait.Go(func() { _ = teller.Run(ctx) })
	teller.Wake()
	table := NewTable(Table{Topic: w.cfg, What: "what is told", MaxBytes: 1 << 20, MaxRecord: 1 << 10, Log: quiet})
	w.await(t, table, map[string]string{"a": "1"})
	cancel()
	wait.Wait()
	if got := w.rows(t, table, 0); len(got) != 0 {
		t.Errorf("%v is there at the end", got)
	}
}

// TestTableBounds: whatever is on the topic. The ones that came last are kept, and counted right.
func TestTableBounds(t *testing.T) {
	table := NewTable(Table{MaxBytes: 1 << 20, MaxRecord: 8 << 10})
	grown := heaptest.Watch(t)
	for round := range 40 {
		packet := bytes.Repeat([]byte("v"), 500<<10) // of which a row must keep no more than its own
		var records []kafka.Record
		for i := range 500 {
			records = append(records, kafka.Record{Key: fmt.Appendf(nil, "%d/%d", round, i%300), Value: packet[i*1000:][:1000], Timestamp: time.Now()})
		}
		if err := table.take(t.Context(), records); err != nil {
			t.Fatal(err)
		}
	}
	if n := grown(); n > 4<<20 { // with what is read
		t.Errorf("it takes %d KiB", n>>10)
	}
	sum := 0
	for key, row := range table.rows {
		sum += size(key, row.Value)
	}
	if sum != table.bytes || sum > table.MaxBytes || sum < table.MaxBytes*9/10 {
		t.Errorf("%d bytes are kept, and %d counted", sum, table.bytes)
	}
	if _, ok := table.rows["39/299"]; !ok {
		t.Error("the newest is not kept")
	}
}

// A Table reads as far back as it is asked to, and then what is new.
func TestReach(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	table := NewTable(Table{Reach: time.Hour})
	if got := table.from(now); !got.Equal(now.Add(-time.Hour)) {
		t.Errorf("at first it reads from %v", got)
	}
	table.newest = now.Add(-2 * time.Minute)
	if got := table.from(now); !got.Equal(now.Add(-3 * time.Minute)) {
		t.Errorf("then it reads from %v", got)
	}
}

type world struct {
	cfg      kafka.Config // of a compacted topic
	producer *producer.Producer
}

func newWorld(t *testing.T) *world {
	t.Helper()
	broker := embeddedtest.Start(t)
	w := &world{cfg: kafka.Config{Brokers: []string{broker.Addr()}, Topic: "raw-data", Partitions: 1, ClientID: "test"}}
	if err := kafka.EnsureTopics(t.Context(), w.cfg, quiet); err != nil {
		t.Fatal(err)
	}
	w.cfg.Topic = w.cfg.TraceTopic()
	w.producer = producer.New(w.cfg, quiet, prometheus.NewRegistry())
	kafkatest.Start(t, w.producer.Run)
	return w
}

func (w *world) rows(t *testing.T, table *Table, fresh time.Duration) map[string]string {
	t.Helper()
	got := map[string]string{}
	err := table.Rows(t.Context(), fresh, func(rows map[string]Row) error {
		for key, row := range rows {
			got[key] = string(row.Value)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// await waits until the table has what is wanted.
func (w *world) await(t *testing.T, table *Table, want map[string]string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		got := w.rows(t, table, 0)
		if maps.Equal(got, want) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("it has %v, want %v", slices.Sorted(maps.Keys(got)), want)
		}
	}
}
