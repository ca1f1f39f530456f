package trace

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/telltale-iot/telltale/pkg/embedded/embeddedtest"
	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/heaptest"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/kafka/kafkatest"
	"github.com/telltale-iot/telltale/pkg/kafka/producer"
)

var quiet = slog.New(slog.DiscardHandler)

func TestGather(t *testing.T) {
	kitchen := Name{iot.KeyID("kitchen"), "kitchen"}
	started := ago(time.Hour)
	part := func(replica string, seen event.Seen) told {
		seen.Replica, seen.Started = replica, started
		return told{seen, ago(time.Minute)}
	}
	of := func(id iot.DeviceID, topic string, at time.Time, clients ...string) event.SeenDevice {
		return event.SeenDevice{Device: id, Topic: topic, At: at, Clients: clients}
	}
	client := func(id string, since, until time.Time) event.SeenClient {
		return event.SeenClient{ID: id, Since: since, Until: until}
	}
	clients := func(s Seen) (ids []string) {
		for _, c := range s.Connections {
			ids = append(ids, c.Replica+"/"+c.ID)
		}
		return ids
	}
	t.Run("the last message of all replicas counts, and connections of all its clients", func(t *testing.T) {
		byUser := client("a9f3", ago(5*time.Minute), time.Time{})
		byUser.User = "kitchen"
		got := gather([]told{
			part("one", event.Seen{Listens: true, Devices: []event.SeenDevice{of(kitchen.ID, "old", ago(time.Minute), "x", "y"), of(7, "sensors/kitchne/data", now)}}),
			part("two", event.Seen{Listens: true, Devices: []event.SeenDevice{of(kitchen.ID, "new", ago(time.Second), "z")}, Clients: []event.SeenClient{
				client("x", ago(3*time.Hour), ago(2*time.Hour)), client("y", ago(time.Hour), ago(time.Minute)), client("other", ago(time.Hour), time.Time{}),
				client("kitchen", ago(2*time.Minute), time.Time{}), byUser,
			}}),
			part("one", event.Seen{Part: 2, Clients: []event.SeenClient{client("z", ago(time.Minute), time.Time{}), client("named", now, now)}}),
		}, now, kitchen, []string{"named"})
		if !got.Running || !got.Listens || got.Last.Topic != "new" || got.Similar != nil {
			t.Errorf("%+v", got)
		}
		want := []string{"one/z", "two/kitchen", "two/a9f3", "one/named", "two/y", "two/x"}
		if diff := cmp.Diff(want, clients(got)); diff != "" {
			t.Errorf("its connections (-want +got):\n%s", diff)
		}
	})
	t.Run("what a replica told before it started does not count, and of one that is gone nothing is open", func(t *testing.T) {
		before := part("one", event.Seen{Devices: []event.SeenDevice{of(kitchen.ID, "before", now)}})
		before.Started, before.at = now, ago(2*time.Minute) // by a clock that was set back then
		gone := part("gone", event.Seen{Listens: true, Clients: []event.SeenClient{client("kitchen", ago(time.Hour), time.Time{})}})
		gone.at = ago(event.SeenAlive)
		left := gone
		left.Clients = []event.SeenClient{client("kitchen", ago(time.Hour), ago(time.Minute))}
		got := gather([]told{before, part("one", event.Seen{}), gone, left}, now, kitchen, nil)
		if got.Last.Device != 0 || len(got.Connections) != 1 || got.Connections[0].Until.IsZero() || got.Listens {
			t.Errorf("%+v", got)
		}
	})
	t.Run("one that is called almost the same", func(t *testing.T) {
		got := gather([]told{part("one", event.Seen{Devices: []event.SeenDevice{of(7, "sensors/kitchne/data", now), of(8, "sensors/attic/data", now)}})}, now, kitchen, nil)
		if diff := cmp.Diff([]string{"sensors/kitchne/data"}, got.Similar); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
	t.Run("no more connections than people read", func(t *testing.T) {
		many := event.Seen{}
		for i := range 1000 {
			c := client(fmt.Sprint(i), ago(time.Hour), time.Time{})
			c.User = "kitchen"
			many.Clients = append(many.Clients, c)
		}
		if got := gather([]told{part("one", many)}, now, kitchen, nil); len(got.Connections) != maxConnections {
			t.Errorf("%d connections", len(got.Connections))
		}
	})
}

// What bridges told on Kafka is found, and what is told next too.
func TestSeen(t *testing.T) {
	w := newWorld(t)
	bridges := New(w.kafka, quiet)
	first := event.Seen{Replica: "one", Started: now, Part: 1, Devices: []event.SeenDevice{{Device: 42, Topic: "first", At: now}}}
	w.tell(t, first)
	if got := w.seen(t, bridges); got.Last.Topic != "first" || !got.Running || got.Listens {
		t.Errorf("%+v", got)
	}
	second := first
	second.Devices = []event.SeenDevice{{Device: 42, Topic: "second", At: now}}
	w.tell(t, second)
	for deadline := time.Now().Add(20 * time.Second); w.seen(t, bridges).Last.Topic != "second"; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("what was told next is not seen")
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := New(w.kafka, quiet).Seen(ended, Name{ID: 42}, nil); err == nil {
		t.Error("nobody waits, and it answers")
	}
}

// TestBounds: four bridges that are full, and room for two.
func TestBounds(t *testing.T) {
	w := newWorld(t)
	bridges := New(w.kafka, quiet)
	for replica := range 4 {
		var all []event.Seen
		for part := range 64 {
			seen := event.Seen{Replica: fmt.Sprint(replica), Started: now, Part: part}
			for i := range 60 {
				text := fmt.Sprintf("sensors/%d/%s", i, strings.Repeat("x", 100))
				seen.Devices = append(seen.Devices, event.SeenDevice{Device: iot.DeviceID(1 + part + 64*i), Topic: text, At: now, Clients: []string{text}})
				seen.Clients = append(seen.Clients, event.SeenClient{ID: text, Address: "10.0.0.7:5000", Protocol: "MQTT 5", Since: now})
			}
			all = append(all, seen)
		}
		w.tell(t, all...)
	}
	if got := w.seen(t, bridges); got.Last.Device != 42 {
		t.Fatalf("%+v", got)
	}
	grown := heaptest.Watch(t)
	for range 3 {
		w.seen(t, bridges)
	}
	if n := grown(); n > 5*maxBytes {
		t.Errorf("it takes %d KiB to answer", n>>10)
	}
}

type world struct {
	kafka    kafka.Config
	producer *producer.Producer
}

func newWorld(t *testing.T) *world {
	t.Helper()
	broker := embeddedtest.Start(t)
	w := &world{kafka: kafka.Config{Brokers: []string{broker.Addr()}, Topic: "raw-data", Partitions: 1, ClientID: "query-api"}}
	if err := kafka.EnsureTopics(t.Context(), w.kafka, quiet); err != nil {
		t.Fatal(err)
	}
	w.producer = producer.New(w.kafka, quiet, prometheus.NewRegistry())
	kafkatest.Start(t, w.producer.Run)
	return w
}

func (w *world) tell(t *testing.T, all ...event.Seen) {
	t.Helper()
	records := make([]kafka.Record, len(all))
	for i, seen := range all {
		rec, err := seen.Record(w.kafka.TraceTopic())
		if err != nil {
			t.Fatal(err)
		}
		records[i] = rec
	}
	if err := kafkatest.Send(t.Context(), w.producer, records...); err != nil {
		t.Fatal(err)
	}
}

func (w *world) seen(t *testing.T, bridges *Bridges) Seen {
	t.Helper()
	seen, err := bridges.Seen(t.Context(), Name{ID: 42}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return seen
}
