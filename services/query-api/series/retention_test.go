package series

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/rollup"
)

// TestRemoved: of readings that a retention removed there are the rollups, and charts and aggregates are made of them.
func TestRemoved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "readings")
	from := time.Now().UTC().Truncate(iot.Day).Add(-3 * iot.Day)
	var all []iot.Reading
	for i := range 144 {
		all = append(all, value(42, from.Add(time.Duration(i)*10*time.Minute), iot.Metric{Name: "m", Value: 1}))
	}
	keeping := openAt(t, path, iot.Retention{})
	insert(t, keeping, all...)
	if err := keeping.Close(); err != nil {
		t.Fatal(err)
	}
	store := openAt(t, path, iot.Retention{Readings: iot.Day})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- store.Maintain(ctx) }()
	defer func() { stop(); t.Log("maintain:", <-done) }()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if counts, err := store.CountReadings(t.Context()); err != nil || time.Now().After(end) {
			t.Fatalf("the readings are still there: %v, %v", counts, err)
		} else if len(counts) == 0 || counts[0].Count == 0 {
			break
		}
	}
	q := Query{Devices: []iot.DeviceID{42}, Metrics: []string{"m"}, From: from, To: from.Add(iot.Day), Points: 1000, Zone: time.UTC, Columns: 5}
	day := q
	day.Interval = rollup.Hour
	auto := q
	auto.Auto = true
	cut := auto
	cut.From, cut.To = from.Add(time.Minute), from.Add(iot.Day-time.Minute)
	for name, q := range map[string]Query{"by hours": day, "auto": auto, "auto, from within a quarter": cut} {
		if s := read(t, store, q)[0]; sum(s.Buckets) != 144 || s.Source != sourceQuarters {
			t.Errorf("%s: %d values in buckets of %v, of %s", name, sum(s.Buckets), s.Interval, s.Source)
		}
	}
	short := q
	short.Interval = rollup.Minute
	raw := q
	raw.Interval = rollup.Raw
	percentiles := day
	percentiles.Percents = []int{50}
	reader := &Reader{Store: store, Admit: admit}
	for parameter, queries := range map[string][]Query{"interval": {short, raw}, "agg": {percentiles}} {
		for _, q := range queries {
			var refusal *Refusal
			if _, err := reader.Read(t.Context(), q); !errors.As(err, &refusal) || refusal.Parameter != parameter {
				t.Errorf("%v, percentiles %v: %v, want a refusal of %s", q.Interval, q.Percents, err, parameter)
			}
		}
	}
	short.From, short.To = time.Now().Add(-time.Hour), time.Now()
	read(t, store, short)
	if got, err := reader.Aggregate(t.Context(), nil, from, from.Add(iot.Day)); err != nil || got.Readings != 144 || !got.Approximate {
		t.Errorf("aggregates: %+v, %v", got, err)
	}
	// What is removed already is not to be removed once more.
	recent := time.Now().UTC().Truncate(time.Minute).Add(-time.Hour)
	insert(t, store, value(42, recent, iot.Metric{Name: "m", Value: 1}), value(42, recent.Add(-4*time.Hour), iot.Metric{Name: "m", Value: 1}))
	for before, want := range map[time.Duration]int64{0: 2, 2 * time.Hour: 1, 8 * time.Hour: 0, 24 * time.Hour: 0, 60 * time.Hour: 0} {
		if older, err := reader.Older(t.Context(), nil, time.Now().Add(-before), time.Time{}); err != nil || older.Readings != want {
			t.Errorf("older than %v: %d readings, %v, want %d", before, older.Readings, err, want)
		}
	}
}
