package sqlite

import (
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/rollup"
)

const fleetDevices = 10_000

// fleet returns a store with an hour of many devices that send once a minute, each at a second of its own, and a day of rollups.
func fleet(b *testing.B) *Store {
	b.Helper()
	store := openStore(b, filepath.Join(b.TempDir(), "readings"))
	if err := store.Prepare(b.Context()); err != nil {
		b.Fatal(err)
	}
	batch := make([]iot.Reading, 0, fleetDevices)
	for i := range 60 {
		batch = batch[:0]
		for device := range fleetDevices {
			at := start.Add(time.Duration(i)*time.Minute + time.Duration(device)*6*time.Millisecond)
			batch = append(batch, iot.Reading{
				Device: iot.DeviceID(1 + device), At: at, Received: at.Add(20 * time.Millisecond), Stamped: iot.StampDevice,
				Metrics: []iot.Metric{{Name: iot.Humidity, Value: float64(400+i*device%97) / 10}, {Name: iot.Temperature, Value: float64(2000+i*device%97) / 100}},
			})
		}
		if _, err := store.InsertReadings(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
	if err := store.SealAll(b.Context()); err != nil {
		b.Fatal(err)
	}
	day := rollup.Day{Start: rollup.DayOf(start.UnixMilli())}
	for _, name := range []string{iot.Humidity, rollup.Readings, iot.Temperature} {
		m := rollup.Metric{Name: name}
		for i := range int64(96) {
			at := day.Start + i*quarter
			value := 20 + float64(i%7)/10
			m.Quarters = append(m.Quarters, iot.Bucket{
				Start: at, Count: 15, Sum: 15 * value, Min: value - 1, Max: value + 1, First: value, Last: value, FirstAt: at + 7, LastAt: at + quarter - 9,
			})
		}
		day.Metrics = append(day.Metrics, m)
	}
	t, err := store.begin(b.Context(), store.layout[0])
	if err != nil {
		b.Fatal(err)
	}
	defer t.end()
	for device := range fleetDevices {
		if _, err := t.tx.Exec(replaceDay, 1+device, day.Start, day.AppendBinary(nil)); err != nil {
			b.Fatal(err)
		}
	}
	if err := t.tx.Commit(); err != nil {
		b.Fatal(err)
	}
	return store
}

// BenchmarkInsert inserts a thousand readings of 20 devices, which come in the order of their times.
func BenchmarkInsert(b *testing.B) {
	store := openStore(b, filepath.Join(b.TempDir(), "readings"))
	if err := store.Prepare(b.Context()); err != nil {
		b.Fatal(err)
	}
	batch := make([]iot.Reading, 1000)
	at := start
	before := processorTime(b)
	for b.Loop() {
		for i := range batch {
			at = at.Add(50 * time.Millisecond)
			batch[i] = iot.Reading{
				Device: iot.DeviceID(1 + i%20), At: at, Received: at.Add(20 * time.Millisecond), Stamped: iot.StampDevice,
				Metrics: []iot.Metric{{Name: iot.Humidity, Value: float64(400+i%97) / 10}, {Name: iot.Temperature, Value: float64(2000+i%97) / 100}},
			}
		}
		if inserted, err := store.InsertReadings(b.Context(), batch); err != nil || inserted.New != len(batch) {
			b.Fatal(inserted, err)
		}
	}
	b.ReportMetric(float64(processorTime(b)-before)/float64(b.N)/float64(len(batch)), "cpu-ns/reading")
}

func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// BenchmarkFleet has short pages of an hour that is sealed, one behind the other, and the rollups of a day.
func BenchmarkFleet(b *testing.B) {
	store := fleet(b)
	b.Run("page", func(b *testing.B) {
		b.ReportAllocs()
		q := iot.ReadingQuery{Limit: 100}
		for b.Loop() {
			page, err := store.FindReadings(b.Context(), q)
			if err != nil || len(page.Readings) != q.Limit {
				b.Fatal(len(page.Readings), err)
			}
			q.After = page.Next
		}
	})
	for name, metrics := range map[string][]string{"day": nil, "day of one metric": {iot.Temperature}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			q := iot.BucketQuery{SampleQuery: iot.SampleQuery{Metrics: metrics}, Width: iot.Quarter}
			for b.Loop() {
				n := 0
				err := store.ReadBuckets(b.Context(), q, func(b iot.Buckets) error { n += len(b.Buckets); return nil })
				if err != nil || n < fleetDevices*96 {
					b.Fatal(n, err)
				}
			}
		})
	}
}
