package registrar_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/kafka/kafkatest"
	"github.com/telltale-iot/telltale/pkg/metadata"
)

// TestContacts is about when devices have reported last.
func TestContacts(t *testing.T) {
	now := time.Now().UTC().Truncate(time.Millisecond)
	at := func(ago time.Duration) time.Time { return now.Add(-ago) }
	for _, tt := range []struct {
		promise string
		run     func(*testing.T, *world)
	}{
		{"a device is seen when its reading came to Kafka, whatever the timestamp of that is", func(t *testing.T, w *world) {
			w.start(t, w.store)
			w.send(t, w.arrived(7, at(time.Hour), at(24*time.Hour)), w.arrived(8, at(time.Minute), at(-time.Minute)))
			w.awaitSeen(t, 7, at(time.Hour))
			w.awaitSeen(t, 8, at(time.Minute))
		}},
		{"of many readings the latest arrival counts, in whatever order they come", func(t *testing.T, w *world) {
			w.send(t, w.arrived(7, at(time.Hour), now), w.arrived(7, at(time.Minute), at(time.Hour)), w.arrived(7, at(time.Second*61), now))
			w.start(t, w.store)
			w.awaitSeen(t, 7, at(time.Minute))
			w.send(t, w.arrived(7, at(time.Hour), now), w.arrived(8, at(time.Second), now))
			w.awaitSeen(t, 8, at(time.Second))
			w.awaitSeen(t, 7, at(time.Minute))
		}},
		{"no clock of a producer makes a contact later than now", func(t *testing.T, w *world) {
			w.start(t, w.store)
			w.send(t, w.arrived(7, at(-time.Hour), now))
			w.awaitDevice(t, 7)
			kafkatest.Eventually(t, 30*time.Second, "it is seen", func() bool { return !w.awaitDevice(t, 7).LastSeen.IsZero() })
			if seen := w.awaitDevice(t, 7).LastSeen; seen.Before(now) || seen.After(time.Now()) {
				t.Errorf("seen at %v", seen)
			}
		}},
		{"what comes from a dead letter or a file registers its device, and is no contact", func(t *testing.T, w *world) {
			w.start(t, w.store)
			r := iot.Reading{Device: 7, At: at(time.Hour), Received: at(time.Second), Metrics: []iot.Metric{{Name: iot.Temperature, Value: 20}}}
			w.send(t, event.RecordAgain(w.kafka.Topic, r, event.Source{}), w.arrived(8, at(time.Minute), now))
			w.awaitSeen(t, 8, at(time.Minute))
			w.awaitSeen(t, 7, time.Time{})
			w.send(t, w.arrived(7, at(time.Minute), now))
			w.awaitSeen(t, 7, at(time.Minute))
			w.send(t, event.RecordAgain(w.kafka.Topic, r, event.Source{}), w.arrived(8, at(time.Second), now))
			w.awaitSeen(t, 8, at(time.Second))
			w.awaitSeen(t, 7, at(time.Minute))
		}},
		{"a reading that cannot be registered is no contact of the device that is", func(t *testing.T, w *world) {
			if err := w.store.Prepare(t.Context()); err != nil {
				t.Fatal(err)
			}
			w.occupy(t, iot.KeyID("a"), "b")
			w.start(t, w.store)
			w.publishKeys(t, "a", "c", "a")
			kafkatest.Eventually(t, 30*time.Second, "the other is seen", func() bool { return !w.awaitDevice(t, iot.KeyID("c")).LastSeen.IsZero() })
			w.awaitSeen(t, iot.KeyID("a"), time.Time{})
		}},
		{"a batch is not committed before its contacts are kept", func(t *testing.T, w *world) {
			broken := &forgetful{Store: w.store}
			broken.away.Store(true)
			_, stop := w.startUntil(t, broken)
			w.send(t, w.arrived(7, at(time.Minute), now))
			kafkatest.Eventually(t, 30*time.Second, "the same batch comes again", func() bool { return broken.failures.Load() >= 2 })
			stop()
			w.awaitSeen(t, 7, time.Time{})
			w.start(t, w.store)
			w.awaitSeen(t, 7, at(time.Minute))
		}},
	} {
		t.Run(tt.promise, func(t *testing.T) { tt.run(t, newWorld(t)) })
	}
}

// forgetful is a store that cannot keep contacts while a test wants it so.
type forgetful struct {
	metadata.Store
	away     atomic.Bool
	failures atomic.Int64
}

func (f *forgetful) KeepContacts(ctx context.Context, contacts []iot.Contact) error {
	if f.away.Load() {
		f.failures.Add(1)
		return errors.New("away")
	}
	return f.Store.KeepContacts(ctx, contacts)
}

// arrived is the record of a reading that came to Kafka at a moment, and has a timestamp.
func (w *world) arrived(id iot.DeviceID, at, timestamp time.Time) kafka.Record {
	rec := event.Record(w.kafka.Topic, iot.Reading{
		Device: id, At: timestamp, Received: timestamp, Stamped: iot.StampDevice, Metrics: []iot.Metric{{Name: iot.Temperature, Value: 20}},
	})
	rec.Timestamp = at
	return rec
}

// awaitSeen waits until a device was seen at a moment; zero: it has not been, once it is registered.
func (w *world) awaitSeen(t *testing.T, id iot.DeviceID, at time.Time) {
	t.Helper()
	var got time.Time
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if got = w.awaitDevice(t, id).LastSeen; got.Equal(at) {
			return
		}
	}
	t.Fatalf("device %d was seen at %v, want %v", id, got, at)
}
