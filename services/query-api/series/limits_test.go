package series

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/rollup"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// watched is a store that tells what it is asked for.
type watched struct {
	Store
	samples []iot.SampleQuery
	buckets []iot.BucketQuery
	times   int64 // as many values are in each bucket as there are
}

func (w *watched) ReadSamples(ctx context.Context, q iot.SampleQuery, take func(iot.Samples) error) error {
	w.samples = append(w.samples, q)
	return w.Store.ReadSamples(ctx, q, take)
}

func (w *watched) ReadBuckets(ctx context.Context, q iot.BucketQuery, take func(iot.Buckets) error) error {
	w.buckets = append(w.buckets, q)
	return w.Store.ReadBuckets(ctx, q, func(b iot.Buckets) error {
		for i := range b.Buckets {
			b.Buckets[i].Count *= max(w.times, 1)
		}
		return take(b)
	})
}

// everyMinute returns n readings of each of the devices from noon on.
func everyMinute(n int, devices ...iot.DeviceID) (all []iot.Reading) {
	for i := range n {
		for _, d := range devices {
			all = append(all, value(d, noon.Add(time.Duration(i)*time.Minute), iot.Metric{Name: "m", Value: float64(i)}))
		}
	}
	return all
}

// TestSources: long charts are made of buckets, values are read at their edges only, and days are days.
func TestSources(t *testing.T) {
	w := &watched{Store: open(t, everyMinute(50, 1)...)}
	from, month := noon.Add(-15*24*time.Hour+time.Minute), 30*24*time.Hour
	for _, tt := range []struct {
		what   string
		q      Query
		source string
		spans  int // of buckets
		read   time.Duration
	}{
		{"a chart of a month", Query{From: from, To: from.Add(month), Auto: true, Points: 1000, Filled: true}, "15m", 1, iot.Quarter},
		{"with whole quarters", Query{From: noon, To: noon.Add(month), Auto: true, Points: 1000, Filled: true}, "15m", 1, 0},
		{"days", Query{From: from, To: from.Add(month), Interval: rollup.Daily}, "1d", 3, iot.Quarter},
		{"days of Berlin", Query{From: from, To: from.Add(month), Interval: rollup.Daily, Zone: zone(t, "Europe/Berlin")}, "15m", 1, iot.Quarter},
		{"months of a zone that has the time of UTC", Query{From: from, To: from.Add(month), Interval: rollup.Monthly, Zone: zone(t, "Africa/Abidjan")}, "1d", 3, iot.Quarter},
		{"minutes", Query{From: noon, To: noon.Add(time.Hour), Interval: rollup.Minute}, "raw", 1, time.Hour},
		{"within a quarter", Query{From: noon.Add(time.Minute), To: noon.Add(2 * time.Minute), Interval: rollup.Hour}, "raw", 0, time.Minute},
		{"of parts of two", Query{From: noon.Add(10 * time.Minute), To: noon.Add(20 * time.Minute), Interval: rollup.Hour}, "raw", 0, 10 * time.Minute},
		{"percentiles", Query{From: noon, To: noon.Add(time.Hour), Interval: rollup.Hour, Percents: []int{50}}, "raw", 1, time.Hour},
		{"few values", Query{From: from, To: from.Add(month), Auto: true, Points: 50}, "raw", 3, month + iot.Quarter},
	} {
		w.samples, w.buckets = nil, nil
		tt.q.Devices, tt.q.Metrics = []iot.DeviceID{1}, []string{"m"}
		s := read(t, w, tt.q)[0]
		var values time.Duration
		for _, q := range w.samples {
			values += q.To.Sub(q.From)
		}
		if s.Source != tt.source || len(w.buckets) != tt.spans || values != tt.read {
			t.Errorf("%s: from %s, buckets of %d spans, and the values of %v", tt.what, s.Source, len(w.buckets), values)
		}
	}
}

func TestLimits(t *testing.T) {
	store := &watched{Store: open(t, append(everyMinute(MaxPoints+1, 1), everyMinute(15, 2)...)...), times: 200_000}
	day := noon.Add(24 * time.Hour)
	many := make([]string, MaxSeries)
	for i := range many {
		many[i] = fmt.Sprint("m", i)
	}
	for _, tt := range []struct {
		what      string
		q         Query
		parameter string
		interval  rollup.Interval // of the first series, where it is not refused
	}{
		{"more than 3,000,000 values, in minutes", Query{Interval: rollup.Minute}, "interval", 0},
		{"percentiles of them", Query{Interval: rollup.Hour, Percents: []int{95}}, "agg", 0},
		{"percentiles of them, in an interval that is chosen", Query{Auto: true, Points: 10, Percents: []int{95}}, "agg", 0},
		{"hours of them", Query{Interval: rollup.Hour}, "", rollup.Hour},
		{"about 1,000 points of them", Query{Auto: true, Points: 1000}, "", rollup.Quarter},
		{"about 1,000 points of exactly as many", Query{Auto: true, Points: 1000, Devices: []iot.DeviceID{2}}, "", rollup.Minutes2},
		{"minutes of exactly as many", Query{Interval: rollup.Minute, Devices: []iot.DeviceID{2}}, "", rollup.Minute},
		{"a point for each value, of too many", Query{Interval: rollup.Raw, To: noon.Add((MaxPoints + 1) * time.Minute)}, "interval", 0},
		{"a point for each value, of as many as there may be", Query{Interval: rollup.Raw, To: noon.Add(MaxPoints * time.Minute)}, "", rollup.Raw},
		{"of more numbers than there may be", Query{Interval: rollup.Raw, To: noon.Add(MaxPoints * time.Minute), Columns: MaxNumbers/MaxPoints + 1}, "interval", 0},
		{"more points than there may be", Query{Interval: rollup.Second, To: noon.Add((MaxPoints + 1) * time.Second)}, "interval", 0},
		{"as many as there may be", Query{Interval: rollup.Second, To: noon.Add(MaxPoints * time.Second), Devices: []iot.DeviceID{2}}, "", rollup.Second},
		{"as many series as there may be", Query{Interval: rollup.Hour, Metrics: many}, "", rollup.Hour},
		{"more", Query{Interval: rollup.Hour, Metrics: append(slices.Clone(many), "more")}, "metric", 0},
		{"fewer points of many series", Query{Auto: true, Points: 1000, Metrics: many, Filled: true}, "", rollup.Minutes30},
		{"more points of many series than there may be", Query{Interval: rollup.Quarter, Metrics: many}, "interval", 0},
		{"all of time", Query{Auto: true, Points: 1000, From: time.Time{}.Add(time.Millisecond), To: time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)}, "", rollup.Yearly},
	} {
		q := tt.q
		if q.Devices == nil {
			q.Devices = []iot.DeviceID{1}
		}
		if q.Metrics == nil {
			q.Metrics = []string{"m"}
		}
		if q.From.IsZero() {
			q.From = noon
		}
		if q.To.IsZero() {
			q.To = day
		}
		if q.Columns == 0 {
			q.Columns = 5
		}
		q.Zone = time.UTC
		all, err := (&Reader{Store: store, Admit: admit}).Read(t.Context(), q)
		var refusal *Refusal
		switch {
		case tt.parameter != "":
			if !errors.As(err, &refusal) || refusal.Parameter != tt.parameter {
				t.Errorf("%s: %v", tt.what, err)
			}
		case err != nil:
			t.Errorf("%s: %v", tt.what, err)
		case all[0].Interval != tt.interval:
			t.Errorf("%s: %v", tt.what, all[0].Interval)
		}
	}
}

// TestIntervalThatWouldDo: an interval that is refused is refused with one that is not, where there is one.
func TestIntervalThatWouldDo(t *testing.T) {
	reader := &Reader{Store: open(t, everyMinute(1, 1)...), Admit: admit}
	many := make([]string, MaxSeries)
	for i := range many {
		many[i] = fmt.Sprint("m", i)
	}
	for _, tt := range []struct {
		interval rollup.Interval
		length   time.Duration
		metrics  []string
		want     string
	}{
		{rollup.Second, 24 * time.Hour, many[:1], "With 1s a series would have more than 20000 points. Choose 5s or a longer one, a shorter range, or auto."},
		{rollup.Minute, 10 * 24 * time.Hour, many[:6], "With 1m the answer would have more than 400000 numbers: each of 6 series with 5 columns may have 13333 points. Choose 2m or a longer one, a shorter range, fewer series, or auto."},
		{rollup.Quarter, 24 * time.Hour, many, "With 15m the answer would have more than 400000 numbers: each of 1000 series with 5 columns may have 80 points. Choose 30m or a longer one, a shorter range, fewer series, or auto."},
		{rollup.Yearly, 200 * 365 * 24 * time.Hour, many, "With 1y the answer would have more than 400000 numbers: each of 1000 series with 5 columns may have 80 points. Choose a shorter range, fewer series, or auto."},
	} {
		q := Query{Devices: []iot.DeviceID{1}, Metrics: tt.metrics, From: noon, To: noon.Add(tt.length), Zone: time.UTC, Columns: 5, Interval: tt.interval}
		var refusal *Refusal
		if _, err := reader.Read(t.Context(), q); !errors.As(err, &refusal) || refusal.Message != tt.want {
			t.Errorf("%v of %v: %v", tt.interval, tt.length, err)
			continue
		}
		_, other, ok := strings.Cut(refusal.Message, "Choose ")
		if other, _, _ = strings.Cut(other, " "); !ok || other == "a" {
			continue
		}
		var err error
		if q.Interval, err = rollup.ParseInterval(other); err != nil {
			t.Fatal(err)
		}
		if _, err := reader.Read(t.Context(), q); err != nil {
			t.Errorf("%v of %v: %v", other, tt.length, err)
		}
	}
}

// TestMetrics: without names there are all that a device has in the range, and no more of them than there may be series.
func TestMetrics(t *testing.T) {
	var many []iot.Metric
	for i := range MaxSeries {
		many = append(many, iot.Metric{Name: fmt.Sprintf("m%04d", i), Value: 1})
	}
	store := open(t, value(1, noon, many...), value(2, noon, iot.Metric{Name: "z"}, iot.Metric{Name: "a"}), value(2, noon.Add(2*time.Hour), iot.Metric{Name: "later"}))
	q := Query{Devices: []iot.DeviceID{2, 3}, From: noon, To: noon.Add(time.Hour), Interval: rollup.Hour}
	var got []string
	for _, s := range read(t, store, q) {
		got = append(got, s.Device.String()+" "+s.Metric)
	}
	if !slices.Equal(got, []string{"2 a", "2 z"}) {
		t.Errorf("series: %q", got)
	}
	q.Devices = []iot.DeviceID{1}
	if n := len(read(t, store, q)); n != MaxSeries {
		t.Errorf("%d series", n)
	}
	q.Devices, q.Columns, q.Zone = []iot.DeviceID{1, 2}, 5, time.UTC
	if _, err := (&Reader{Store: store, Admit: admit}).Read(t.Context(), q); !errors.Is(err, errTooManySeries) {
		t.Errorf("of more series than there may be: %v", err)
	}
}

// TestSpike: a single value that stands out is in max, whatever the interval.
func TestSpike(t *testing.T) {
	const every, n = 10 * time.Minute, 30 * 144 // for a month
	var all []iot.Reading
	for i := range n {
		all = append(all, value(1, noon.Add(time.Duration(i)*every), iot.Metric{Name: "m", Value: 20}))
	}
	all[1234].Metrics[0].Value = 1000
	store := open(t, all...)
	month := Query{Devices: []iot.DeviceID{1}, Metrics: []string{"m"}, From: noon, To: noon.Add(n * every)}
	var charts []Query
	for interval := rollup.Minutes5; interval <= rollup.Yearly; interval++ {
		q := month
		q.Interval = interval
		charts = append(charts, q)
	}
	for _, points := range []int{1, 10, 100, 1000, MaxPoints} {
		q := month
		q.Auto, q.Points = true, points
		charts = append(charts, q)
	}
	for _, q := range charts {
		s := read(t, store, q)[0]
		if !slices.ContainsFunc(s.Buckets, func(b iot.Bucket) bool { return b.Max == 1000 }) {
			t.Errorf("interval %v, %d points: the spike is missing", s.Interval, len(s.Buckets))
		}
	}
}

// TestAdmission: many values are read one by one when that is admitted, until they are read.
func TestAdmission(t *testing.T) {
	store := open(t, everyMinute(40, 1)...)
	full, reading := errors.New("full"), false
	asked := int64(0)
	r := &Reader{Store: store, Admit: func(_ context.Context, values int64) (func(), error) {
		asked, reading = values, true
		return func() { reading = false }, nil
	}}
	q := Query{Devices: []iot.DeviceID{1}, Metrics: []string{"m"}, From: noon, To: noon.Add(time.Hour), Interval: rollup.Minute, Zone: time.UTC, Columns: 5}
	if _, err := r.Read(t.Context(), q); err != nil || asked != 40 || reading {
		t.Errorf("%d values were admitted, %v; still reading: %v", asked, err, reading)
	}
	r.Admit = func(context.Context, int64) (func(), error) { return nil, full }
	if _, err := r.Read(t.Context(), q); !errors.Is(err, full) {
		t.Errorf("where nothing is admitted: %v", err)
	}
}
