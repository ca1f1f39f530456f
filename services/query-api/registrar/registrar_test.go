package registrar_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/kafka/kafkatest"
	files "github.com/telltale-iot/telltale/pkg/sqlite"
	"github.com/telltale-iot/telltale/services/query-api/registrar"
)

func TestRegistrar(t *testing.T) {
	for _, tt := range []struct {
		promise string
		run     func(*testing.T, *world)
	}{
		{"an unknown device is registered under the id that it reports, for the default user", func(t *testing.T, w *world) {
			w.start(t, w.store)
			w.publish(t, iot.MaxDeviceID)
			d := w.awaitDevice(t, iot.MaxDeviceID)
			owner, err := w.store.User(t.Context(), d.Owner)
			if err != nil || d.Name != "Device 9007199254740991" || owner.Username != iot.DefaultUsername {
				t.Errorf("%+v of %+v, %v", d, owner, err)
			}
		}},
		{"a device that was deleted is registered again by its next reading, whoever deleted it", func(t *testing.T, w *world) {
			w.start(t, w.store)
			another := w.open(t)
			for range 3 {
				w.publish(t, 7)
				w.awaitDevice(t, 7)
				if _, err := another.DeleteDevice(t.Context(), 7); err != nil {
					t.Fatal(err)
				}
			}
		}},
		{"a table that was dropped is made again, and devices register again as they report", func(t *testing.T, w *world) {
			w.start(t, w.store)
			w.publish(t, 7)
			w.awaitDevice(t, 7)
			db, err := files.Open(w.file)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close() //nolint:errcheck // it is to be thrown away
			if _, err := db.Write.ExecContext(t.Context(), "DROP TABLE devices"); err != nil {
				t.Fatal(err)
			}
			if err := w.store.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "devices") {
				t.Errorf("Check: %v", err)
			}
			w.publish(t, 7, 8)
			w.awaitDevice(t, 7)
			w.awaitDevice(t, 8)
			if err := w.store.Check(t.Context()); err != nil {
				t.Error(err)
			}
		}},
		{"a registered device stays as it is", func(t *testing.T, w *world) {
			w.start(t, w.store)
			w.publish(t, 7)
			w.awaitDevice(t, 7)
			name := "Greenhouse"
			if _, _, err := w.store.UpdateDevice(t.Context(), 7, iot.DeviceChange{Name: &name}); err != nil {
				t.Fatal(err)
			}
			w.publish(t, 7, 8, 7)
			w.awaitDevice(t, 8)
			if d := w.awaitDevice(t, 7); d.Name != name {
				t.Errorf("its name is now %q", d.Name)
			}
		}},
		{"a device is called what its readings say, and is where they say, unless somebody has named it", func(t *testing.T, w *world) {
			w.start(t, w.store)
			w.publish(t, 7)
			w.awaitDevice(t, 7)
			name := "Greenhouse"
			if _, _, err := w.store.UpdateDevice(t.Context(), 7, iot.DeviceChange{Name: &name}); err != nil {
				t.Fatal(err)
			}
			w.describe(t, 7, "Attic", "Upstairs")
			w.describe(t, 8, "Attic", "")
			w.describe(t, 8, "", "Upstairs")
			w.awaitDevice(t, 8)
			kafkatest.Eventually(t, 30*time.Second, "they are described", func() bool {
				first, second := w.awaitDevice(t, 7), w.awaitDevice(t, 8)
				return first.Name == name && first.Location == "Upstairs" && second.Name == "Attic" && second.Location == "Upstairs"
			})
		}},
		{"what is wrong on the topic is passed over", func(t *testing.T, w *world) {
			w.start(t, w.store)
			junk := []kafka.Record{
				{Topic: w.kafka.Topic, Key: []byte("7"), Value: []byte("{junk")},
				{Topic: w.kafka.Topic, Key: []byte("7")},
				{Topic: w.kafka.Topic, Key: []byte("7"), Value: []byte(`{"device_id": 8, "temperature": 20}`)}, // legacy JSON
			}
			w.send(t, junk...)
			w.publish(t, 7)
			w.awaitDevice(t, 7)
			w.awaitDevice(t, 8)
		}},
		{"a device with a key is registered by it, also where it was known by its id alone", func(t *testing.T, w *world) {
			w.start(t, w.store)
			w.publish(t, iot.KeyID("kitchen-1"))
			if d := w.awaitDevice(t, iot.KeyID("kitchen-1")); d.Key != "" {
				t.Errorf("it has the key %q", d.Key)
			}
			w.publishKeys(t, "kitchen-1", "garden")
			if d := w.awaitDevice(t, iot.KeyID("garden")); d.Key != "garden" || d.Name != "garden" {
				t.Errorf("%+v", d)
			}
			kafkatest.Eventually(t, 30*time.Second, "it has its key", func() bool {
				return w.awaitDevice(t, iot.KeyID("kitchen-1")).Key == "kitchen-1"
			})
		}},
		{"a second key with the id of another is a dead letter, once for each record, and all others go on", func(t *testing.T, w *world) {
			store := &flaky{Store: w.store}
			store.away.Store(true)
			metrics := w.start(t, store)
			if err := w.store.Prepare(t.Context()); err != nil {
				t.Fatal(err)
			}
			w.occupy(t, iot.KeyID("a"), "b")
			first := w.publishKeys(t, "c", "a", "d", "a")
			for store.failures.Load() < 2 { // what comes again is no second dead letter
				time.Sleep(time.Millisecond)
			}
			store.away.Store(false)
			w.awaitDevice(t, iot.KeyID("c"))
			w.awaitDevice(t, iot.KeyID("d"))
			second := w.publishKeys(t, "a", "e")
			w.send(t, kafka.Record{Topic: w.kafka.Topic, Key: []byte("7"), Value: []byte("{junk")}) // ingest-writer sees to it
			w.publish(t, 7, iot.KeyID("a"))                                                         // who names a device by its id does not say which key it means
			w.awaitDevice(t, iot.KeyID("e"))
			w.awaitDevice(t, 7)
			kafkatest.Eventually(t, 30*time.Second, "all are counted", func() bool {
				return kafkatest.Metric(t, metrics, "telltale_registrar_readings_total") == 9
			})
			if d := w.awaitDevice(t, iot.KeyID("a")); d.Key != "b" {
				t.Errorf("the device there before is now %+v", d)
			}
			var got []string
			for _, rec := range kafkatest.ReadAll(t, w.kafka.Brokers, w.kafka.DeadLetterTopic()) {
				d := event.ReadDeadLetter(&rec)
				if d.Reason != iot.ReasonIDCollision || d.Device != iot.KeyID("a") {
					t.Errorf("dead letter %+v", d)
				}
				got = append(got, string(d.Bytes))
			}
			var want []string
			for _, r := range []iot.Reading{first[1], first[3], second[0]} {
				want = append(want, `{"device_id":"a","timestamp":"`+r.At.Format("2006-01-02T15:04:05.000Z")+`","temperature":20}`)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("dead letters (-want +got):\n%s", diff)
			}
		}},
		{"a device that is not admitted is not registered, and each of its readings is a dead letter that says why", func(t *testing.T, w *world) {
			for _, tt := range []struct {
				admit registrar.Config
				want  []string // 8 and 9 are in different partitions
			}{
				{registrar.Config{Devices: registrar.DevicesKnown}, []string{"unknown_device 8", "unknown_device 9", "unknown_device 8"}},
				{registrar.Config{MaxDevices: 2}, []string{"too_many_devices 9"}},
			} {
				w := newWorld(t)
				w.admit = tt.admit
				if err := w.store.Prepare(t.Context()); err != nil {
					t.Fatal(err)
				}
				owner, err := w.store.CreateUser(t.Context(), iot.User{Username: "ada", Email: "ada@example.com"})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := w.store.CreateDevice(t.Context(), iot.Device{ID: 7, Name: "seven", Owner: owner.ID}); err != nil {
					t.Fatal(err)
				}
				metrics := w.start(t, w.store)
				counted := func(n float64) func() bool {
					return func() bool { return kafkatest.Metric(t, metrics, "telltale_registrar_readings_total") == n }
				}
				w.publish(t, 7, 8)
				kafkatest.Eventually(t, 30*time.Second, "two are counted", counted(2))
				w.publish(t, 9, 7, 8)
				kafkatest.Eventually(t, 30*time.Second, "all are counted", counted(5))
				var got []string
				for _, rec := range kafkatest.ReadAll(t, w.kafka.Brokers, w.kafka.DeadLetterTopic()) {
					d := event.ReadDeadLetter(&rec)
					got = append(got, string(d.Reason)+" "+d.Device.String())
				}
				slices.Sort(got)
				slices.Sort(tt.want)
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("%+v: dead letters (-want +got):\n%s", tt.admit, diff)
				}
				if d := w.awaitDevice(t, 7); d.LastSeen.IsZero() {
					t.Errorf("%+v: the device that is known was not seen", tt.admit)
				}
				if _, err := w.store.Device(t.Context(), 9); !errors.Is(err, iot.ErrNotFound) {
					t.Errorf("%+v: device 9: %v", tt.admit, err)
				}
			}
		}},
		{"while the store is away nothing is skipped", func(t *testing.T, w *world) {
			store := &flaky{Store: w.store}
			store.away.Store(true)
			w.start(t, store)
			w.publish(t, 1, 2)
			for store.failures.Load() < 2 { // the same batch came again
				time.Sleep(time.Millisecond)
			}
			w.publish(t, 3)
			store.away.Store(false)
			for id := iot.DeviceID(1); id <= 3; id++ {
				w.awaitDevice(t, id)
			}
		}},
	} {
		t.Run(tt.promise, func(t *testing.T) { tt.run(t, newWorld(t)) })
	}
}
