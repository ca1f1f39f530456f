package ignored_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/telltale-iot/telltale/pkg/embedded"
	"github.com/telltale-iot/telltale/pkg/embedded/embeddedtest"
	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/kafka/kafkatest"
	"github.com/telltale-iot/telltale/pkg/kafka/producer"
	"github.com/telltale-iot/telltale/pkg/proxytest"
	"github.com/telltale-iot/telltale/services/query-api/ignored"
)

var (
	quiet = slog.New(slog.DiscardHandler)
	noon  = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
)

func TestList(t *testing.T) {
	t.Run("the counts of replicas are one, and what was last is first", func(t *testing.T) {
		w := newWorld(t)
		w.produce(t,
			event.Ignored{Topic: "a/b", ClientID: "one", Count: 2, Last: noon, Example: "first", Replica: "bridge"},
			event.Ignored{Topic: "a/b", ClientID: "two", Count: 5, Last: noon.Add(2 * time.Second), Example: "newest", Hint: "do it", Replica: "bridge-2"},
			event.Ignored{Topic: "a/b", ClientID: "one", Count: 3, Last: noon.Add(time.Second), Example: "second", Replica: "bridge"},
			event.Ignored{Topic: "a/b", Member: "rssi", Count: 1, Last: noon.Add(3 * time.Second), Example: "NaN", Replica: "bridge"},
		)
		want := []event.Ignored{
			{Topic: "a/b", Member: "rssi", Count: 1, Last: noon.Add(3 * time.Second), Example: "NaN", Replica: "bridge"},
			{Topic: "a/b", ClientID: "two", Count: 8, Last: noon.Add(2 * time.Second), Example: "newest", Hint: "do it", Replica: "bridge-2"},
		}
		if diff := cmp.Diff(want, w.all(t)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
	t.Run("what is new is seen, and what is forgotten is gone, for a later one too, until it comes again", func(t *testing.T) {
		w := newWorld(t)
		if got := w.all(t); len(got) != 0 {
			t.Errorf("%+v before anything is ignored", got)
		}
		again := event.Ignored{Topic: "a", Count: 1, Last: noon, Replica: "bridge"}
		w.produce(t, again, event.Ignored{Topic: "b", Count: 1, Last: noon, Replica: "bridge"})
		w.await(t, 2)
		if err := w.list.Forget(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := w.all(t); len(got) != 0 {
			t.Errorf("%+v is not forgotten", got)
		}
		w.list = ignored.New(w.kafka, w.producer, quiet)
		if got := w.all(t); len(got) != 0 {
			t.Errorf("%+v is there after a start", got)
		}
		again.Count = 2
		w.produce(t, again)
		if got := w.await(t, 1); got[0].Count != 2 {
			t.Errorf("%+v", got)
		}
	})
	t.Run("what is forgotten by a replica that has not read it yet is gone", func(t *testing.T) {
		w := newWorld(t)
		w.produce(t, event.Ignored{Topic: "a", Count: 1, Last: noon, Replica: "bridge"})
		if err := w.list.Forget(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := w.all(t); len(got) != 0 {
			t.Errorf("%+v", got)
		}
	})
	t.Run("those who ask at the same time read the topic once, and a list that is broken off does no harm", func(t *testing.T) {
		w := newWorld(t)
		w.produce(t, event.Ignored{Topic: "a", Count: 1, Last: noon, Replica: "bridge"})
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		var wait sync.WaitGroup
		for i := range 20 {
			wait.Go(func() {
				ctx := t.Context()
				if i%2 == 0 {
					ctx = ended
				}
				if got, err := w.list.All(ctx); ctx == t.Context() && (err != nil || len(got) != 1) {
					t.Errorf("%+v, %v", got, err)
				}
			})
		}
		wait.Wait()
	})
}

func TestBounds(t *testing.T) {
	w := newWorld(t)
	var all []event.Ignored
	for i := range 2500 {
		all = append(all, event.Ignored{Topic: fmt.Sprint("t/", i), Count: 1, Last: noon.Add(time.Duration(i) * time.Second), Replica: "bridge"})
	}
	all = append(all, event.Ignored{Topic: "long", Example: strings.Repeat("x", 13_000), Count: 1, Last: noon.Add(time.Hour), Replica: "bridge"})
	w.produce(t, all...)
	w.producer.Produce(kafka.Record{Topic: w.kafka.IgnoredTopic(), Key: []byte("other"), Value: []byte("no JSON")}, func(error) {})
	got := w.all(t)
	if len(got) != 200 || got[0].Topic != "t/2499" || got[199].Topic != "t/2300" {
		t.Errorf("%d are shown, from %+v to %+v", len(got), got[0], got[len(got)-1])
	}
}

func TestKafkaAway(t *testing.T) {
	for trouble, away := range map[string]func(*testing.T) string{
		"refuses connections": func(t *testing.T) string {
			addrs, err := proxytest.FreeAddrs(1)
			if err != nil {
				t.Fatal(err)
			}
			return addrs[0]
		},
		"never answers": func(t *testing.T) string {
			proxy := proxytest.New(t, newWorld(t).broker.Addr())
			proxy.Hang()
			return proxy.Addr()
		},
	} {
		t.Run("a Kafka that "+trouble+" is an error in time", func(t *testing.T) {
			cfg := kafka.Config{Brokers: []string{away(t)}, Topic: "raw-data"}
			list := ignored.New(cfg, producer.New(cfg, quiet, prometheus.NewRegistry()), quiet)
			for _, op := range []func(context.Context) error{
				func(ctx context.Context) error { _, err := list.All(ctx); return err }, list.Forget,
			} {
				ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
				begin := time.Now()
				if err := op(ctx); err == nil || time.Since(begin) > 5*time.Second {
					t.Errorf("%v after %v", err, time.Since(begin))
				}
				cancel()
			}
		})
	}
}

// world is a broker with the topic of what is ignored.
type world struct {
	kafka    kafka.Config
	broker   *embedded.Kafka
	producer *producer.Producer
	list     *ignored.List
}

func newWorld(t *testing.T) *world {
	t.Helper()
	broker := embeddedtest.Start(t)
	w := &world{broker: broker, kafka: kafka.Config{Brokers: []string{broker.Addr()}, Topic: "raw-data", Partitions: 1, ClientID: "query-api"}}
	if err := kafka.EnsureTopics(t.Context(), w.kafka, quiet); err != nil {
		t.Fatal(err)
	}
	w.producer = producer.New(w.kafka, quiet, prometheus.NewRegistry())
	kafkatest.Start(t, w.producer.Run)
	w.list = ignored.New(w.kafka, w.producer, quiet)
	return w
}

// produce has the topic say all.
func (w *world) produce(t *testing.T, all ...event.Ignored) {
	t.Helper()
	records := make([]kafka.Record, len(all))
	for i, one := range all {
		rec, err := one.Record(w.kafka.IgnoredTopic())
		if err != nil {
			t.Fatal(err)
		}
		records[i] = rec
	}
	if err := kafkatest.Send(t.Context(), w.producer, records...); err != nil {
		t.Fatal(err)
	}
}

func (w *world) all(t *testing.T) []event.Ignored {
	t.Helper()
	all, err := w.list.All(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// await waits until n are shown: what was read a moment ago is not read again.
func (w *world) await(t *testing.T, n int) []event.Ignored {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if all := w.all(t); len(all) == n {
			return all
		} else if time.Now().After(deadline) {
			t.Fatalf("%+v, want %d", all, n)
		}
	}
}
