package promql

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/rollup"
)

// memory is a store with values of the metric "t".
type memory struct {
	devices []iot.Device
	times   map[iot.DeviceID][]int64 // ascending
	values  map[iot.DeviceID][]float64
	read    string // what was: samples, buckets
	horizon time.Time
}

func (m *memory) Horizon(context.Context) (time.Time, error) { return m.horizon, nil }

func (m *memory) Device(_ context.Context, id iot.DeviceID) (iot.Device, error) {
	for _, d := range m.devices {
		if d.ID == id {
			return d, nil
		}
	}
	return iot.Device{}, iot.ErrNotFound
}

func (m *memory) Devices(_ context.Context, q iot.DeviceQuery) (page []iot.Device, err error) {
	for _, d := range m.devices {
		if d.ID > q.After && len(page) < q.Limit {
			page = append(page, d)
		}
	}
	return page, nil
}

func (m *memory) each(q iot.SampleQuery, take func(device iot.DeviceID, times []int64, values []float64) error) error {
	for device, times := range m.times {
		if len(q.Metrics) > 0 && !slices.Contains(q.Metrics, "t") || q.Devices != nil && !slices.Contains(q.Devices, device) {
			continue
		}
		from, _ := slices.BinarySearch(times, q.From.UnixMilli())
		to, _ := slices.BinarySearch(times, q.To.UnixMilli())
		if from < to {
			if err := take(device, times[from:to], m.values[device][from:to]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m *memory) ReadSamples(_ context.Context, q iot.SampleQuery, take func(iot.Samples) error) error {
	m.read += "samples "
	return m.each(q, func(device iot.DeviceID, times []int64, values []float64) error {
		for len(times) > 0 { // a chunk at a time
			n := min(len(times), 1000)
			if err := take(iot.Samples{Device: device, Metric: "t", Times: times[:n], Values: values[:n]}); err != nil {
				return err
			}
			times, values = times[n:], values[n:]
		}
		return nil
	})
}

func (m *memory) ReadBuckets(_ context.Context, q iot.BucketQuery, take func(iot.Buckets) error) error {
	m.read += "buckets "
	if !q.From.Equal(q.From.Truncate(q.Width)) || !q.To.Equal(q.To.Truncate(q.Width)) {
		return errors.New("a part of a bucket is asked for")
	}
	return m.each(q.SampleQuery, func(device iot.DeviceID, times []int64, values []float64) error {
		var buckets []iot.Bucket
		for i, at := range times {
			start := at - at%q.Width.Milliseconds()
			if n := len(buckets); n == 0 || buckets[n-1].Start != start {
				buckets = append(buckets, iot.Bucket{Start: start})
			}
			rollup.Add(&buckets[len(buckets)-1], at, values[i])
		}
		return take(iot.Buckets{Device: device, Metric: "t", Buckets: buckets})
	})
}

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// TestWindows compares windows of any length at any steps with the values that are in them.
func TestWindows(t *testing.T) {
	seed := rand.Uint64()
	for round := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, round))
		store := &memory{devices: []iot.Device{{ID: 1, Name: "one"}, {ID: 2}}, times: map[iot.DeviceID][]int64{}, values: map[iot.DeviceID][]float64{}}
		for device := iot.DeviceID(1); device <= 2; device++ {
			at := noon.UnixMilli() - 5
			for range r.IntN(2000) {
				if at += 1 + r.Int64N(60_000); at%iot.Quarter.Milliseconds() == 0 {
					at++ // where buckets and windows agree on
				}
				store.times[device] = append(store.times[device], at)
				store.values[device] = append(store.values[device], float64(r.IntN(2000)-1000)/8) // sums of these are exact
			}
		}
		lengths := []time.Duration{time.Second, time.Minute, 7 * time.Minute, iot.Quarter, 2 * iot.Quarter, time.Hour, 4 * time.Hour}
		length, step := lengths[r.IntN(len(lengths))], lengths[1+r.IntN(len(lengths)-1)]
		times := Range{From: noon.Add(time.Duration(r.IntN(10)) * iot.Quarter), Step: step}
		if r.IntN(3) == 0 {
			times.From = times.From.Add(time.Duration(r.IntN(1e6)) * time.Millisecond)
		}
		times.To = times.From.Add(time.Duration(r.Int64N(int64(20 * time.Hour))))
		functions := []string{"avg", "min", "max", "sum", "count", "last"}
		function := functions[r.IntN(len(functions))]
		query := fmt.Sprintf("%s_over_time(t[%dms])", function, length.Milliseconds())

		got, err := Query(t.Context(), store, query, times)
		if err != nil {
			t.Fatalf("seed %d, round %d: %s: %v", seed, round, query, err)
		}
		for _, d := range store.devices {
			want, some := make([]float64, times.Steps()), false
			for i := range want {
				to := times.From.Add(time.Duration(i) * step).UnixMilli()
				var b iot.Bucket
				for j, at := range store.times[d.ID] {
					if at > to-length.Milliseconds() && at <= to {
						rollup.Add(&b, at, store.values[d.ID][j])
						some = true
					}
				}
				want[i] = map[string]float64{"avg": b.Sum / float64(b.Count), "min": b.Min, "max": b.Max, "sum": b.Sum, "count": float64(b.Count), "last": b.Last}[function]
				if b.Count == 0 {
					want[i] = math.NaN()
				}
			}
			i := slices.IndexFunc(got.Series, func(s Series) bool { return s.label(deviceLabel) == d.ID.String() })
			if i < 0 {
				if some {
					t.Errorf("seed %d, round %d: %s: nothing of device %d", seed, round, query, d.ID)
				}
				continue
			}
			if diff := cmp.Diff(want, got.Series[i].Values, cmp.Comparer(func(a, b float64) bool { return a == b || a != a && b != b })); diff != "" {
				t.Fatalf("seed %d, round %d: %s every %v from %v, of %s: (-want +got)\n%s", seed, round, query, step, times.From, store.read, diff)
			}
		}
	}
}

func TestSources(t *testing.T) {
	store := &memory{devices: []iot.Device{{ID: 1}}, times: map[iot.DeviceID][]int64{1: nil}, values: map[iot.DeviceID][]float64{}}
	values, additions := maxValues, maxAdditions
	defer func() { maxValues, maxAdditions = values, additions }()
	maxValues, maxAdditions = 30_000, 300_000
	for i := range int64(maxValues + 1) { // 35 days
		store.times[1] = append(store.times[1], noon.UnixMilli()+1+i*100_000)
		store.values[1] = append(store.values[1], float64(i*100))
	}
	for _, c := range []struct {
		query  string
		from   time.Time
		to     time.Duration
		step   time.Duration
		read   string
		widely bool
	}{
		{"avg_over_time(t[1h])", noon, 30 * 24 * time.Hour, time.Hour, "buckets ", false},
		{"avg_over_time(t[20m])", noon, 24 * time.Hour, 20 * time.Minute, "samples ", false},
		{"avg_over_time(t[1h])", noon.Add(time.Minute), 24 * time.Hour, time.Hour, "samples ", false},
		{"avg_over_time(t[20m])", noon, 35 * 24 * time.Hour, 20 * time.Minute, "samples buckets ", true},
		{"min_over_time(t[10h])", noon.Add(time.Minute), 24 * time.Hour, time.Minute, "samples buckets ", true}, // each value is in 600 windows
	} {
		store.read = ""
		result, err := Query(t.Context(), store, c.query, Range{From: c.from, To: c.from.Add(c.to), Step: c.step})
		if err != nil {
			t.Fatal(err)
		}
		if store.read != c.read || (len(result.Warnings) > 0) != c.widely {
			t.Errorf("%s: read %s, warns %q", c.query, store.read, result.Warnings)
		}
		values := result.Series[0].Values
		if v, want := values[10], 10*c.step.Seconds(); !strings.HasPrefix(c.query, "min") && math.Abs(v-want) > 1.5*time.Hour.Seconds() {
			t.Errorf("%s: %v, want about %v", c.query, v, want)
		}
	}

	store.read, store.horizon = "", noon.Add(12*time.Hour)
	result, err := Query(t.Context(), store, "avg_over_time(t[20m])", Range{From: noon, To: noon.Add(24 * time.Hour), Step: 20 * time.Minute})
	if err != nil || store.read != "buckets " || len(result.Warnings) != 1 || !strings.Contains(result.Warnings[0], "removed") {
		t.Errorf("of before the horizon: read %s, warns %q, %v", store.read, result.Warnings, err)
	}

	var refused *Error
	if _, err := Query(t.Context(), store, "max_over_time(t[1000h])", Range{From: noon.Add(34 * 24 * time.Hour), To: noon.Add(35 * 24 * time.Hour), Step: time.Minute}); !errors.As(err, &refused) {
		t.Errorf("each quarter in 1,440 windows: %v", err)
	}
}

func TestAggregations(t *testing.T) {
	at := noon.UnixMilli()
	store := &memory{
		devices: []iot.Device{{ID: 1, Name: "lab"}, {ID: 2, Name: "lab"}, {ID: 3, Name: "attic"}, {ID: 4, Name: "none"}},
		times:   map[iot.DeviceID][]int64{1: {at}, 2: {at}, 3: {at}, 9: {at}},
		values:  map[iot.DeviceID][]float64{1: {10}, 2: {20}, 3: {-6}, 9: {99}},
	}
	for query, want := range map[string]string{
		"t":             `{__name__=t,device=1,name=lab}=10 {__name__=t,device=2,name=lab}=20 {__name__=t,device=3,name=attic}=-6`,
		`t{device="9"}`: `{__name__=t,device=9}=99`, `t{device=~"9|3"}`: `{__name__=t,device=3,name=attic}=-6 {__name__=t,device=9}=99`,
		`t{name=~"l.b"}`: `{__name__=t,device=1,name=lab} {__name__=t,device=2,name=lab}`, `t{name!~"l.*"}`: `{__name__=t,device=3,name=attic}`,
		`t{name="lab",device!="1"}`: `{__name__=t,device=2,name=lab}`, `t{name=~'at.*'}`: `{__name__=t,device=3,name=attic}`, `t{job="x"}`: ``, `t{job="", name="attic"}`: `{__name__=t,device=3,name=attic}`,
		"avg(t)": `{}=8`, "sum(t)": `{}=24`, "count(t)": `{}=3`, "min(t)": `{}=-6`, "max(t)": `{}=20`,
		"sum by (name) (t)": `{name=lab}=30 {name=attic}=-6`, "avg(t) without (device)": `{name=lab}=15 {name=attic}=-6`, "max(t) by ()": `{}=20`,
		"count(t) by (__name__)": `{__name__=t}=3`, "max(sum by (name) (t))": `{}=30`, "sum(t) * 2 + 1": `{}=49`, "-sum(t)": `{}=-24`, "100 - max(t)": `{}=80`, "sum(t)/-(2+2)": `{}=-6`, "sum(max_over_time(t[1m]) + 1)": `{}=27`,
		"last_over_time(t{device=\"1\"}[1m])": `{__name__=t,device=1,name=lab}=10`, "avg_over_time(t{device=\"1\"}[1h30m])": `{device=1,name=lab}=10`,
		"2 * 3 - 4": "2", "1e3/.5": "2000", "sum(u)": "", `{__name__="t",device="1"}`: `{__name__=t,device=1,name=lab}`, `sum({"t"})`: `{}=24`,
	} {
		result, err := Query(t.Context(), store, query, Range{From: noon, To: noon, Step: time.Second})
		if err != nil {
			t.Errorf("%s: %v", query, err)
			continue
		}
		var all []string
		if result.IsNumber {
			all = append(all, fmt.Sprint(result.Number))
		}
		for _, s := range result.Series {
			var labels []string
			for _, l := range s.Labels {
				labels = append(labels, l.Name+"="+l.Value)
			}
			text := "{" + strings.Join(labels, ",") + "}"
			if strings.Contains(want, "}=") {
				text += fmt.Sprint("=", s.Values[0])
			}
			all = append(all, text)
		}
		if got := strings.Join(all, " "); got != want {
			t.Errorf("%s:\n got %s\nwant %s", query, got, want)
		}
	}
}

func TestErrors(t *testing.T) {
	store := &memory{times: map[iot.DeviceID][]int64{}}
	for i := range 200 {
		store.devices = append(store.devices, iot.Device{ID: iot.DeviceID(i + 1)})
		store.times[iot.DeviceID(i+1)] = []int64{noon.UnixMilli()}
	}
	store.values = map[iot.DeviceID][]float64{}
	for id := range store.times {
		store.values[id] = []float64{1}
	}
	for query, want := range map[string]string{
		"":                           `1:1: parse error: expected a metric, a function or a number, found the end`,
		"t[5m":                       `1:5: parse error: expected ], found the end`,
		"t[5x]":                      `1:3: parse error: expected how long the window is, as in [15m], found "5x]"`,
		"t[5m]":                      `a window needs a function, such as avg_over_time(…)`,
		"rate(t[5m])":                `1:1: parse error: expected avg_over_time, min_, max_, sum_, count_, last_over_time, or avg, min, max, sum, count (which are all that there are), found "rate(t[5m])"`,
		"avg_over_time(t)":           `1:15: parse error: expected a metric with a window, as in temperature[15m], found "t)"`,
		"t offset 5m":                `1:3: parse error: expected an operator (+ - * /) or the end, found "offset 5m"`,
		"t > 5":                      `1:3: parse error: expected an operator (+ - * /) or the end, found "> 5"`,
		"t + t":                      `1:3: parse error: expected a number on one side of the operator, found "+ t"`,
		`t{device="1}`:               `1:10: parse error: expected a text in quotes, found "\"1}"`,
		`t{device=~"("}`:             "1:11: parse error: expected a regular expression (error parsing regexp: missing closing ): `^(?s:()$`), found \"\\\"(\\\"}\"",
		`t{device "1"}`:              `1:10: parse error: expected =, !=, =~ or !~ in front of the value, found "\"1\"}"`,
		"{}":                         `a query is about one metric, by its name`,
		"sum(5)":                     `1:5: parse error: expected series, found "5)"`,
		"sum by name (t)":            `1:8: parse error: expected labels in parentheses, found "name (t)"`,
		"1x":                         `1:1: parse error: expected a number, found "1x"`,
		strings.Repeat("(", 200):     `1:51: parse error: expected no more than 50 levels, found "(((((((((((((((((((("`,
		strings.Repeat("t", 70_000):  `a query is at most 65536 bytes of UTF-8`,
		"t\xff":                      `a query is at most 65536 bytes of UTF-8`,
		"t":                          `the query has more than 100000 points: select fewer devices, or a longer step`,
		"sum by (device) (t)":        `the query has more than 100000 points: group by fewer labels, or use a longer step`,
		"avg_over_time(t[3000000h])": `1:17: parse error: expected how long the window is, as in [15m], found "3000000h])"`,
	} {
		_, err := Query(t.Context(), store, query, Range{From: noon, To: noon.Add(1000 * time.Minute), Step: time.Minute})
		var refused *Error
		if !errors.As(err, &refused) || err.Error() != want {
			t.Errorf("%.50s:\n got %v\nwant %s", query, err, want)
		}
	}
	for _, text := range []string{"t[5m]", "sum(t)", "5", "t{", "t t"} {
		var refused *Error
		if _, err := ParseSelectors(text); !errors.As(err, &refused) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestFind(t *testing.T) {
	store := &memory{
		devices: []iot.Device{{ID: 1, Name: "lab"}, {ID: 2, Name: "attic"}},
		times:   map[iot.DeviceID][]int64{1: {noon.UnixMilli()}, 2: {noon.Add(-9 * 24 * time.Hour).UnixMilli()}, 3: {noon.UnixMilli()}},
		values:  map[iot.DeviceID][]float64{1: {1}, 2: {1}, 3: {1}},
	}
	for _, c := range []struct {
		selectors []string
		want      string
	}{
		{[]string{`{device=~".*"}`}, "1"}, {[]string{"t", "t"}, "1"}, {[]string{"u"}, ""}, {[]string{`t{device="3"}`}, "3"}, {[]string{`t{device=~"1|3"}`, `{name="lab"}`}, "1 3"}, {[]string{`{name="attic"}`}, ""},
	} {
		selectors, err := ParseSelectors(c.selectors...)
		if err != nil {
			t.Fatal(err)
		}
		found, err := Find(t.Context(), store, selectors, noon.Add(time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(Values(found, deviceLabel), " "); got != c.want {
			t.Errorf("%s: %s, want %s", c.selectors, got, c.want)
		}
	}
}

func FuzzQuery(f *testing.F) {
	for _, query := range []string{`avg by (name) (max_over_time(t{device=~"1|2"}[5m]))`, `-(t + 1) / 2e3`, `{"t", name!='x'}`, `sum(t) without (device`} {
		f.Add(query)
	}
	store := &memory{devices: []iot.Device{{ID: 1, Name: "lab"}}, times: map[iot.DeviceID][]int64{1: {noon.UnixMilli()}}, values: map[iot.DeviceID][]float64{1: {1}}}
	f.Fuzz(func(t *testing.T, query string) {
		result, err := Query(t.Context(), store, query, Range{From: noon, To: noon.Add(time.Hour), Step: time.Minute})
		var refused *Error
		if err != nil && (!errors.As(err, &refused) || refused.Message == "") {
			t.Fatalf("%q: %v", query, err)
		}
		if err == nil && !result.IsNumber {
			for _, s := range result.Series {
				if len(s.Values) != 61 {
					t.Fatalf("%q: %d values", query, len(s.Values))
				}
			}
		}
	})
}
