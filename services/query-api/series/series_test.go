package series

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/readings/sqlite"
	"github.com/telltale-iot/telltale/pkg/rollup"
)

// open returns a store that has readings.
func open(t testing.TB, readings ...iot.Reading) *sqlite.Store {
	t.Helper()
	store := openAt(t, filepath.Join(t.TempDir(), "readings"), iot.Retention{})
	insert(t, store, readings...)
	return store
}

func openAt(t testing.TB, path string, retention iot.Retention) *sqlite.Store {
	t.Helper()
	store, err := sqlite.Open(path, sqlite.Options{Log: slog.New(slog.DiscardHandler), Retention: retention})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	if err := store.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	return store
}

func insert(t testing.TB, store *sqlite.Store, readings ...iot.Reading) {
	t.Helper()
	for batch := range slices.Chunk(readings, 5000) {
		if inserted, err := store.InsertReadings(t.Context(), batch); err != nil || inserted.New != len(batch) {
			t.Fatalf("insert: %+v, %v", inserted, err)
		}
	}
}

func admit(context.Context, int64) (func(), error) { return func() {}, nil }

func read(t testing.TB, store Store, q Query) []*Series {
	t.Helper()
	q.Zone = cmp.Or(q.Zone, time.UTC)
	q.Columns = cmp.Or(q.Columns, 5)
	all, err := (&Reader{Store: store, Admit: admit}).Read(t.Context(), q)
	if err != nil {
		t.Fatalf("%+v: %v", q, err)
	}
	return all
}

func value(device iot.DeviceID, at time.Time, metrics ...iot.Metric) iot.Reading {
	return iot.Reading{Device: device, At: at, Received: at, Stamped: iot.StampDevice, Metrics: metrics}
}

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	zone, err := rollup.LoadZone(name)
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

// TestDays: the days of a device with a reading a minute have as many as they have minutes, whatever the clock does.
func TestDays(t *testing.T) {
	store := open(t)
	for _, tt := range []struct {
		zone, day string
		hours     float64
	}{
		{"Europe/Berlin", "2026-03-29", 23},
		{"Europe/Berlin", "2026-10-25", 25},
		{"Australia/Lord_Howe", "2026-04-05", 24.5},
		{"Australia/Lord_Howe", "2026-10-04", 23.5},
		{"Australia/Adelaide", "2026-04-05", 25},
		{"Australia/Adelaide", "2026-10-04", 23},
		{"Asia/Kathmandu", "2026-03-29", 24},
		{"UTC", "2026-03-29", 24},
	} {
		t.Run(tt.zone+" "+tt.day, func(t *testing.T) {
			zone := zone(t, tt.zone)
			day, err := time.ParseInLocation(time.DateOnly, tt.day, zone)
			if err != nil {
				t.Fatal(err)
			}
			from, to := day.Add(-time.Hour), day.AddDate(0, 0, 1).Add(time.Hour)
			device := iot.KeyID(t.Name())
			var all []iot.Reading
			for at := from; at.Before(to); at = at.Add(time.Minute) {
				all = append(all, value(device, at.UTC(), iot.Metric{Name: "m", Value: 1}))
			}
			insert(t, store, all...)
			q := Query{Devices: []iot.DeviceID{device}, Metrics: []string{"m"}, From: from, To: to, Zone: zone, Interval: rollup.Daily}
			days := read(t, store, q)[0].Buckets
			if len(days) != 3 || days[1].Start != day.UnixMilli() || days[1].Count != int64(tt.hours*60) {
				t.Errorf("days: %+v", days)
			}
			q.Interval = rollup.Hour
			if hours := read(t, store, q)[0].Buckets; sum(hours) != sum(days) {
				t.Errorf("%d readings in hours, and %d in days", sum(hours), sum(days))
			}
		})
	}
}

func sum(buckets []iot.Bucket) (n int64) {
	for _, b := range buckets {
		n += b.Count
	}
	return n
}

// TestBruteForce: whatever is asked for is what the readings come to: to the bit, but for the last digits of sums. One more
// reading, however late, is in the next answer, whatever the store does with those of before meanwhile.
func TestBruteForce(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 1))
	start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	var all []iot.Reading
	for device := range iot.DeviceID(3) {
		at := start
		for range 500 {
			at = at.Add(time.Duration(1+r.ExpFloat64()*3e6) * time.Millisecond).Truncate(time.Millisecond)
			if r.IntN(200) == 0 {
				at = at.Add(time.Duration(r.IntN(72)) * time.Hour)
			}
			metrics := []iot.Metric{{Name: "a", Value: number(r)}}
			if r.IntN(3) > 0 {
				metrics = append(metrics, iot.Metric{Name: "b", Value: number(r)})
			}
			all = append(all, value(device+1, at, metrics...))
		}
	}
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	store := open(t, all[:len(all)-60]...)
	maintained, stop := context.WithCancel(t.Context())
	var maintenance sync.WaitGroup
	maintenance.Go(func() { _ = store.Maintain(maintained) })
	defer maintenance.Wait()
	defer stop()
	late := all[len(all)-60:]
	stored := slices.Clone(all[:len(all)-60])
	zones := []*time.Location{time.UTC, zone(t, "Europe/Berlin"), zone(t, "Australia/Lord_Howe"), zone(t, "Asia/Kathmandu")}
	for _, reading := range late {
		insert(t, store, reading)
		stored = append(stored, reading)
		from := start.Add(time.Duration(r.Int64N(20*86400e3)) * time.Millisecond)
		q := Query{
			Devices: []iot.DeviceID{1, 3}, Metrics: []string{"b", "a", "none"}, From: from,
			To:       from.Add(time.Duration(1+r.Int64N([]int64{1e6, 1e8, 4e9}[r.IntN(3)])) * time.Millisecond),
			Zone:     zones[r.IntN(len(zones))],
			Interval: rollup.Interval(r.IntN(int(rollup.Yearly) + 1)),
			Auto:     r.IntN(3) == 0, Points: 1 + r.IntN(300), Filled: r.IntN(2) == 0,
		}
		if r.IntN(3) == 0 {
			q.Percents = []int{50, 95, 99}
		}
		if !q.Auto && q.Interval.Count(q.From, q.To, q.Zone, MaxPoints) > MaxPoints/2 {
			q.Interval = rollup.Hour
		}
		got := read(t, store, q)
		if len(got) != 6 {
			t.Fatalf("seed %d: %d series", seed, len(got))
		}
		for i, s := range got {
			if s.Device != q.Devices[i/3] || s.Metric != q.Metrics[i%3] {
				t.Errorf("seed %d: series %d is %s of %d", seed, i, s.Metric, s.Device)
			}
			check(t, fmt.Sprintf("seed %d: %+v", seed, q), q, s, stored)
		}
	}
}

// number returns one of those that are easily spoiled.
func number(r *rand.Rand) float64 {
	switch r.IntN(20) {
	case 0:
		return math.Copysign(0, -1)
	case 1:
		return 0
	case 2:
		return 5e-324
	case 3:
		return 1.7e308
	case 4:
		return 1<<53 + 2
	default:
		return float64(r.IntN(4000)-1000) / 100
	}
}

// check compares a series with what the readings come to one by one.
func check(t *testing.T, what string, q Query, s *Series, readings []iot.Reading) {
	t.Helper()
	type bucket struct {
		iot.Bucket
		values []float64
	}
	var want []*bucket
	sorted := slices.SortedFunc(slices.Values(readings), func(a, b iot.Reading) int { return a.At.Compare(b.At) })
	for _, r := range sorted {
		v, ok := r.Metric(s.Metric)
		if !ok || r.Device != s.Device || r.At.Before(q.From) || !r.At.Before(q.To) {
			continue
		}
		start, at := startOf(s.Interval, r.At.In(q.Zone)).UnixMilli(), r.At.UnixMilli()
		if len(want) == 0 || want[len(want)-1].Start != start {
			want = append(want, &bucket{Bucket: iot.Bucket{Start: start, Min: v, Max: v, First: v, FirstAt: at}})
		}
		b := want[len(want)-1]
		b.Count++
		b.Sum += v
		b.Min, b.Max = math.Min(b.Min, v), math.Max(b.Max, v)
		b.Last, b.LastAt = v, at
		b.values = append(b.values, v)
	}
	if len(want) != len(s.Buckets) {
		t.Fatalf("%s\n%d buckets, want %d", what, len(s.Buckets), len(want))
	}
	if q.Auto && s.Interval != rollup.Yearly && len(want) > q.Points {
		t.Errorf("%s\n%d points", what, len(want))
	}
	for i, w := range want {
		got := s.Buckets[i]
		if d := math.Abs(got.Sum - w.Sum); d > 1e-9*math.Abs(w.Sum) && !math.IsInf(w.Sum, 0) && !math.IsInf(got.Sum, 0) {
			t.Errorf("%s\nsum %g, want %g", what, got.Sum, w.Sum)
		}
		got.Sum = w.Sum
		for _, f := range []struct{ got, want float64 }{{got.Min, w.Min}, {got.Max, w.Max}, {got.First, w.First}, {got.Last, w.Last}} {
			if math.Float64bits(f.got) != math.Float64bits(f.want) {
				t.Errorf("%s\n%g, want %g", what, f.got, f.want)
			}
		}
		if got != w.Bucket {
			t.Errorf("%s\n%+v, want %+v", what, got, w.Bucket)
		}
		slices.Sort(w.values)
		for p, percent := range q.Percents {
			n := 0 // that are in so many percent
			for n*100 < percent*len(w.values) {
				n++
			}
			if got := s.Percentiles[p][i]; got != w.values[n-1] {
				t.Errorf("%s\np%d is %g, want %g", what, percent, got, w.values[n-1])
			}
		}
	}
}

// startOf is where the bucket of at begins, by the calendar.
func startOf(interval rollup.Interval, at time.Time) time.Time {
	year, month, day := at.Date()
	midnight := time.Date(year, month, day, 0, 0, 0, 0, at.Location())
	switch interval {
	case rollup.Daily:
		return midnight
	case rollup.Weekly:
		return midnight.AddDate(0, 0, -(int(at.Weekday())+6)%7)
	case rollup.Monthly:
		return time.Date(year, month, 1, 0, 0, 0, 0, at.Location())
	case rollup.Yearly:
		return time.Date(year, 1, 1, 0, 0, 0, 0, at.Location())
	}
	if interval <= rollup.Quarter {
		midnight = time.Unix(0, 0)
	}
	return midnight.Add(at.Sub(midnight) / interval.Length() * interval.Length())
}
