package registrar_test

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/telltale-iot/telltale/pkg/daemon"
	"github.com/telltale-iot/telltale/pkg/embedded/embeddedtest"
	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/kafka/kafkatest"
	"github.com/telltale-iot/telltale/pkg/kafka/producer"
	"github.com/telltale-iot/telltale/pkg/metadata"
	"github.com/telltale-iot/telltale/pkg/metadata/sqlite"
	files "github.com/telltale-iot/telltale/pkg/sqlite"
	"github.com/telltale-iot/telltale/services/query-api/registrar"
)

// flaky is a store that is away while a test wants it to be.
type flaky struct {
	metadata.Store
	away     atomic.Bool
	failures atomic.Int64
}

func (f *flaky) EnsureDevices(ctx context.Context, seen []iot.Identity, admission iot.Admission) (iot.Ensured, error) {
	if f.away.Load() {
		f.failures.Add(1)
		return iot.Ensured{}, errors.New("away")
	}
	return f.Store.EnsureDevices(ctx, seen, admission)
}

// world is a broker with a topic, and a store.
type world struct {
	kafka    kafka.Config
	producer *producer.Producer
	file     string
	store    metadata.Store
	admit    registrar.Config
}

func newWorld(t *testing.T) *world {
	broker := embeddedtest.Start(t)
	w := &world{file: filepath.Join(t.TempDir(), "metadata.db")}
	w.kafka = kafka.Config{
		Brokers: []string{broker.Addr()}, Topic: "raw-data", Partitions: 3, Replication: -1, Retention: time.Hour, ClientID: "test",
	}
	if err := kafka.EnsureTopics(t.Context(), w.kafka, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	w.producer = producer.New(w.kafka, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	run(t, w.producer.Run)
	w.store = w.open(t)
	return w
}

// open opens the store as another process would.
func (w *world) open(t *testing.T) metadata.Store {
	t.Helper()
	store, err := sqlite.Open(w.file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store
}

// start runs a registrar until t ends, and returns its metrics.
func (w *world) start(t *testing.T, store metadata.Store) *prometheus.Registry {
	t.Helper()
	metrics, _ := w.startUntil(t, store)
	return metrics
}

// startUntil runs a registrar until stop is called.
func (w *world) startUntil(t *testing.T, store metadata.Store) (metrics *prometheus.Registry, stop func()) {
	t.Helper()
	log, metrics := slog.New(slog.NewTextHandler(t.Output(), nil)), prometheus.NewRegistry()
	p := &daemon.Process{Log: log, Metrics: metrics, Health: daemon.NewHealth(log, metrics)}
	return metrics, run(t, func(ctx context.Context) error { return registrar.Run(ctx, p, w.kafka, w.admit, store, 0) })
}

// run runs f until stop is called or t ends, and waits for it.
func run(t *testing.T, f func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- f(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// publish sends a reading of each of ids.
func (w *world) publish(t *testing.T, ids ...iot.DeviceID) {
	t.Helper()
	now := time.Now().UTC().Truncate(time.Millisecond)
	for _, id := range ids {
		w.send(t, event.Record(w.kafka.Topic, iot.Reading{
			Device: id, At: now, Received: now, Metrics: []iot.Metric{{Name: iot.Temperature, Value: 20}},
		}))
	}
}

// describe sends a reading that says what its device is called, and where it is.
func (w *world) describe(t *testing.T, id iot.DeviceID, name, location string) {
	t.Helper()
	now := time.Now().UTC().Truncate(time.Millisecond)
	w.send(t, event.Record(w.kafka.Topic, iot.Reading{
		Device: id, At: now, Received: now, Metrics: []iot.Metric{{Name: iot.Temperature, Value: 20}},
		Attributes: []iot.Attribute{{Name: iot.DeviceLocationAttribute, Value: location}, {Name: iot.DeviceNameAttribute, Value: name}},
	}))
}

// publishKeys sends a reading of the device with each of keys, and returns them.
func (w *world) publishKeys(t *testing.T, keys ...string) []iot.Reading {
	t.Helper()
	now := time.Now().UTC().Truncate(time.Millisecond)
	sent := make([]iot.Reading, len(keys))
	for i, key := range keys {
		sent[i] = iot.Reading{
			Device: iot.KeyID(key), Key: key, At: now.Add(time.Duration(i) * time.Millisecond), Received: now,
			Metrics: []iot.Metric{{Name: iot.Temperature, Value: 20}},
		}
		w.send(t, event.Record(w.kafka.Topic, sent[i]))
	}
	return sent
}

// occupy puts a device into the table with a key that is not that of its id, since a collision cannot be had by chance.
func (w *world) occupy(t *testing.T, id iot.DeviceID, key string) {
	t.Helper()
	owner, err := w.store.CreateUser(t.Context(), iot.User{Username: "ann"})
	if err != nil {
		t.Fatal(err)
	}
	db, err := files.Open(w.file)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // it is to be thrown away
	_, err = db.Write.ExecContext(t.Context(), "INSERT INTO devices (id, name, user_id, created_at, key) VALUES (?, 'x', ?, '2026-03-01 12:00:00', ?)",
		int64(id), owner.ID, key)
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) send(t *testing.T, records ...kafka.Record) {
	t.Helper()
	if err := kafkatest.Send(t.Context(), w.producer, records...); err != nil {
		t.Fatal(err)
	}
}

// awaitDevice waits for a device to be registered.
func (w *world) awaitDevice(t *testing.T, id iot.DeviceID) iot.Device {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		d, err := w.store.Device(t.Context(), id)
		if err == nil {
			return d
		}
		if time.Now().After(deadline) { // an error may be that the registrar is still preparing the store
			t.Fatalf("device %d is not registered: %v", id, err)
		}
	}
}
