package updater_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/telltale-iot/telltale/pkg/daemon"
	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/kafka/kafkatest"
	"github.com/telltale-iot/telltale/pkg/kafka/producer"
	"github.com/telltale-iot/telltale/pkg/latest"
	"github.com/telltale-iot/telltale/services/cache-updater/updater"
)

const ttl = 10 * time.Minute

// testTimeout is how long a test waits for what must happen soon. Joining a consumer group takes seconds.
const testTimeout = 60 * time.Second

func TestUpdater(t *testing.T) {
	for name, open := range map[string]func(t *testing.T) servers{"embedded": embeddedServers, "real": realServers} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			t.Run("the newest reading of each device reaches the cache", func(t *testing.T) { newestReachesCache(t, s) })
			t.Run("Kafka's clock decides what is online and newest", func(t *testing.T) { clocks(t, s) })
			t.Run("while the cache is away nothing is passed over", func(t *testing.T) { cacheAway(t, s) })
			t.Run("what the cache has lost comes back from the topic", func(t *testing.T) { cacheLost(t, s) })
		})
	}
}

func newestReachesCache(t *testing.T, s servers) {
	cfg, cache, one := s.newTopic(t), s.openCache(t), newDevices()
	newest := reading(one, time.Second, 2)
	expired := reading(one+2, 0, 1)
	expired.Received = expired.Received.Add(-time.Hour)
	produce(t, cfg,
		event.Record(cfg.Topic, reading(one, 0, 1)),
		event.Record(cfg.Topic, newest),
		event.Record(cfg.Topic, reading(one, -time.Second, 3)),
		kafka.Record{Topic: cfg.Topic, Key: []byte("x"), Value: []byte(`{"device_id": "x"}`)},
		event.RecordAgain(cfg.Topic, expired, event.Source{}),
		kafka.Record{Topic: cfg.Topic, Value: []byte(`{"device_id": ` + (one + 1).String() + `, "temperature": 20.5, "humidity": 45, "timestamp": "2026-03-01T12:00:00"}`)},
	)
	if err := cache.Restore(t.Context(), func(context.Context) error { return nil }); err != nil { // all is the consumer's
		t.Fatal(err)
	}
	metrics := start(t, cfg, cache)

	await(t, cache, newest)
	await(t, cache, iot.Reading{
		Device: one + 1, At: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), Stamped: iot.StampDevice,
		Metrics: []iot.Metric{{Name: iot.Humidity, Value: 45}, {Name: iot.Temperature, Value: 20.5}},
	})
	awaitMetrics(t, metrics, `
# HELP telltale_updater_readings_in_flight Readings from Kafka, rejected ones included, taken in, of which nothing has become yet.
# TYPE telltale_updater_readings_in_flight gauge
telltale_updater_readings_in_flight 0
# HELP telltale_updater_readings_received_total Readings from Kafka, rejected ones included, taken in.
# TYPE telltale_updater_readings_received_total counter
telltale_updater_readings_received_total 6
# HELP telltale_updater_readings_total Readings from Kafka, rejected ones included, by what became of them.
# TYPE telltale_updater_readings_total counter
telltale_updater_readings_total{outcome="accepted"} 2
telltale_updater_readings_total{outcome="expired"} 1
telltale_updater_readings_total{outcome="older"} 2
telltale_updater_readings_total{outcome="rejected"} 1
telltale_updater_readings_total{outcome="released"} 0
`)
	if got, err := cache.Latest(t.Context(), expired.Device); !errors.Is(err, iot.ErrNotFound) {
		t.Errorf("expired reading: %+v, %v", got, err)
	}
}

// clocks has producers whose clocks are wrong, or that stamp several readings with one time.
func clocks(t *testing.T, s servers) {
	cfg, cache, one := s.newTopic(t), s.openCache(t), newDevices()
	now := time.Now().UTC().Truncate(time.Millisecond)
	of := func(clock time.Duration) iot.Reading { // by a bridge
		r := reading(one, 0, 1)
		r.At, r.Received, r.Stamped, r.Origin = now.Add(clock), now.Add(clock), iot.StampServer, 1
		return r
	}
	tomorrow := reading(one, 24*time.Hour, 2) // by its device
	last := reading(one+1, 0, 3)
	burst := []kafka.Record{}
	for i := range 10 {
		r := last
		r.Stamped, r.Origin, r.Metrics = iot.StampServer, uint64(1+i), []iot.Metric{{Name: iot.Temperature, Value: float64(i)}}
		burst = append(burst, event.Record(cfg.Topic, r))
	}
	start(t, cfg, cache)

	// The clock of the bridge is an hour late: its device is online all the same.
	late := of(-time.Hour)
	produce(t, cfg, event.Record(cfg.Topic, late))
	late.Origin = 0 // is not kept
	await(t, cache, late)

	// Then it is a month ahead for a moment, and so is the device's own: both count as of their arrival.
	produce(t, cfg, event.Record(cfg.Topic, of(30*24*time.Hour)), event.Record(cfg.Topic, tomorrow))
	if r := awaitNewer(t, cache, late); time.Until(r.At) > time.Minute || r.Stamped != iot.StampServer {
		t.Errorf("the latest value is %+v", r)
	}
	want := reading(one, time.Minute+time.Second, 4)
	produce(t, cfg, event.Record(cfg.Topic, want))
	await(t, cache, want)

	// Of one millisecond the last is the newest, at the time that the readings store has.
	produce(t, cfg, burst...)
	last.At, last.Stamped, last.Metrics = last.At.Add(9*time.Millisecond), iot.StampServer, []iot.Metric{{Name: iot.Temperature, Value: 9}}
	await(t, cache, last)

	// A producer may say that its record is older, by a header, and not that it is younger.
	silent := reading(one+2, 0, 5)
	silent.Received = now.Add(-ttl)
	behind := reading(one+1, time.Second, 6) // in the same topic, though maybe in another partition
	produce(t, cfg, event.RecordAgain(cfg.Topic, silent, event.Source{}), event.Record(cfg.Topic, behind))
	await(t, cache, behind)
	if r, err := cache.Latest(t.Context(), one+2); !errors.Is(err, iot.ErrNotFound) {
		t.Errorf("of a silent device the latest value is %+v, %v", r, err)
	}
}

// awaitNewer returns the latest reading of the device of old once it is newer.
func awaitNewer(t *testing.T, cache iot.LatestCache, old iot.Reading) iot.Reading {
	t.Helper()
	for deadline := time.Now().Add(testTimeout); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if r, err := cache.Latest(t.Context(), old.Device); err == nil && r.At.After(old.At) {
			return r
		}
	}
	t.Fatalf("no reading of device %d after %v", old.Device, old.At)
	panic("not reached")
}

// awayCache is a cache whose server can go away.
type awayCache struct {
	latest.Cache
	away   atomic.Bool
	failed chan struct{} // has a value for writes that failed
}

func (c *awayCache) PutLatest(ctx context.Context, batch []iot.Reading, ttl time.Duration) (int, error) {
	if c.away.Load() {
		select {
		case c.failed <- struct{}{}:
		default:
		}
		return 0, errors.New("connection refused")
	}
	return c.Cache.PutLatest(ctx, batch, ttl)
}

func cacheAway(t *testing.T, s servers) {
	cfg, one := s.newTopic(t), newDevices()
	cache := &awayCache{Cache: s.openCache(t), failed: make(chan struct{}, 1)}
	cache.away.Store(true)
	before, during := reading(one, 0, 1), reading(one+1, 0, 2)
	produce(t, cfg, event.Record(cfg.Topic, before))
	start(t, cfg, cache)

	for range 3 {
		select {
		case <-cache.failed:
		case <-time.After(testTimeout):
			t.Fatal("the batch that failed is not repeated")
		}
	}
	produce(t, cfg, event.Record(cfg.Topic, during))
	cache.away.Store(false)
	await(t, cache, before)
	await(t, cache, during)
}

func cacheLost(t *testing.T, s servers) {
	cfg, one := s.newTopic(t), newDevices()
	cache := &replacedCache{}
	cache.Store(new(s.openCache(t)))
	recent, expired := reading(one, 0, 1), reading(one+1, 0, 2)
	expired.Received = expired.Received.Add(-ttl)
	// A member of it arrived less than the time to live before the newest, and the other before that.
	first, second, third := reading(one+2, -2*ttl, 3), reading(one+2, -2*ttl+time.Second, 4), reading(one+2, -2*ttl+2*time.Second, 5)
	first.Metrics[0].Name, second.Metrics[0].Name = "too_old", iot.Humidity
	first.Received, second.Received = first.Received.Add(-2*ttl+ttl/4), second.Received.Add(-2*ttl+ttl/2)
	third.Received = third.Received.Add(-ttl + ttl/3)
	merged := third
	merged.Metrics = []iot.Metric{second.Metrics[0], third.Metrics[0]}
	merged.Times = []iot.MemberTime{{Name: iot.Humidity, At: second.At}}
	for _, r := range []iot.Reading{first, second, third} { // in batches of their own, by whose times the log is searched
		rec := event.RecordAgain(cfg.Topic, r, event.Source{})
		rec.Timestamp = r.Received
		produce(t, cfg, rec)
	}
	produce(t, cfg, event.Record(cfg.Topic, recent), event.RecordAgain(cfg.Topic, expired, event.Source{}))
	start(t, cfg, cache)
	await(t, cache, recent)
	await(t, cache, merged)

	for range 3 {
		s.lose(t, cache)
		await(t, cache, recent)
		await(t, cache, merged)
	}
	if got, err := cache.Latest(t.Context(), expired.Device); !errors.Is(err, iot.ErrNotFound) {
		t.Errorf("expired reading: %+v, %v", got, err)
	}
}

// reading returns a reading that was received just now, and measured about a minute ago.
func reading(id iot.DeviceID, after time.Duration, value float64) iot.Reading {
	now := time.Now().UTC().Truncate(time.Millisecond)
	return iot.Reading{
		Device: id, At: now.Add(after - time.Minute), Received: now, Stamped: iot.StampDevice,
		Metrics: []iot.Metric{{Name: iot.Temperature, Value: value}},
	}
}

// start runs an updater until the test ends.
func start(t *testing.T, cfg kafka.Config, cache latest.Cache) *prometheus.Registry {
	t.Helper()
	log, metrics := logger(t), prometheus.NewRegistry()
	p := &daemon.Process{Log: log, Metrics: metrics, Health: daemon.NewHealth(log, metrics)}
	run(t, func(ctx context.Context) error { return updater.Run(ctx, p, cfg, cache, ttl) })
	return metrics
}

// run runs a part until the test ends, and waits for its end, which must be without an error.
func run(t *testing.T, part func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- part(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(testTimeout):
			t.Error("Run goes on")
		}
	})
}

// produce puts records on Kafka, in the given order where they are of one device.
func produce(t *testing.T, cfg kafka.Config, records ...kafka.Record) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	p := producer.New(cfg, logger(t), prometheus.NewRegistry())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	if err := kafkatest.Send(ctx, p, records...); err != nil {
		t.Errorf("produce: %v", err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("producer: %v", err)
	}
}

// await waits until want, without Received, is the latest reading of its device.
func await(t *testing.T, cache iot.LatestCache, want iot.Reading) {
	t.Helper()
	want.Received = time.Time{}
	var diff string
	for deadline := time.Now().Add(testTimeout); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		got, err := cache.Latest(t.Context(), want.Device)
		if err != nil && !errors.Is(err, iot.ErrNotFound) {
			t.Fatal(err)
		}
		if diff = cmp.Diff(want, got); diff == "" {
			return
		}
	}
	t.Fatalf("latest reading of device %d (-want +got):\n%s", want.Device, diff)
}

func awaitMetrics(t *testing.T, metrics *prometheus.Registry, want string) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(testTimeout); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if err = testutil.GatherAndCompare(metrics, strings.NewReader(want),
			"telltale_updater_readings_received_total", "telltale_updater_readings_total", "telltale_updater_readings_in_flight"); err == nil {
			return
		}
	}
	t.Error(err)
}

func logger(t *testing.T) *slog.Logger { return slog.New(slog.NewTextHandler(t.Output(), nil)) }
