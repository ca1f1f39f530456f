package promql

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/rollup"
	"github.com/telltale-iot/telltale/services/query-api/series"
)

const (
	// MaxSteps is how many points a series may have, as in Prometheus.
	MaxSteps = 11_000
	// maxPoints is how many points all series of an answer may have, or are being made at the same time.
	maxPoints = 100_000
)

// Variables for the sake of tests.
var (
	// maxValues is how many values are read one by one.
	maxValues = series.MaxValues
	// maxAdditions is how often values are added to a window: once for each window that a value is in.
	maxAdditions = 10 * maxValues
)

// Labels of series.
const (
	nameLabel   = "__name__"
	deviceLabel = "device"
	titleLabel  = "name"
)

// Store has the readings, and the devices.
type Store interface {
	ReadSamples(ctx context.Context, q iot.SampleQuery, take func(iot.Samples) error) error
	ReadBuckets(ctx context.Context, q iot.BucketQuery, take func(iot.Buckets) error) error
	Horizon(ctx context.Context) (time.Time, error)
	Device(ctx context.Context, id iot.DeviceID) (iot.Device, error)
	Devices(ctx context.Context, q iot.DeviceQuery) ([]iot.Device, error)
}

// Range is the times at which a query is answered: From, and each Step behind it until To.
type Range struct {
	From, To time.Time
	Step     time.Duration // whole milliseconds
}

// Steps is how many times there are.
func (r Range) Steps() int { return int(r.To.Sub(r.From)/r.Step) + 1 }

// Label is a name with its value.
type Label struct{ Name, Value string }

// Series has a value, or NaN for none, at each time of a range.
type Series struct {
	Labels []Label // ascending by name
	Values []float64
}

func (s *Series) label(name string) string {
	for _, l := range s.Labels {
		if l.Name == name {
			return l.Value
		}
	}
	return ""
}

// Result is a number or series.
type Result struct {
	Number   float64
	IsNumber bool
	Series   []Series
	Warnings []string
}

// Query answers a query. The error is an *Error where the query, or what it asks for, is why.
func Query(ctx context.Context, store Store, query string, r Range) (*Result, error) {
	e, err := parse(query, new(int))
	if err != nil {
		return nil, err
	}
	if n, ok := e.(number); ok {
		return &Result{Number: float64(n), IsNumber: true}, nil
	}
	v := &evaluation{store: store, times: r, n: r.Steps()}
	if v.horizon, err = store.Horizon(ctx); err != nil {
		return nil, err
	}
	result, points := &Result{}, 0
	err = v.each(ctx, e, func(s Series) error {
		if points += v.n; points > maxPoints {
			return refuse("the query has more than %d points: select fewer devices, or a longer step", maxPoints)
		}
		result.Series = append(result.Series, s)
		return nil
	})
	if v.widened != "" {
		result.Warnings = []string{v.widened}
	}
	return result, err
}

// evaluation is of one query.
type evaluation struct {
	store   Store
	times   Range
	n       int       // steps
	horizon time.Time // before which there are only quarters
	widened string    // to whole quarters, and why
}

// each calls yield with the series of e. They are yield's to keep.
func (v *evaluation) each(ctx context.Context, e expression, yield func(Series) error) error {
	switch e := e.(type) {
	case *windows:
		return v.windows(ctx, e, yield)
	case *aggregate:
		return v.aggregate(ctx, e, yield)
	case *arithmetic:
		of, left := e.left, number(0)
		n, numberFirst := e.left.(number)
		if numberFirst {
			of, left = e.right, n
		}
		right, _ := e.right.(number)
		return v.each(ctx, of, func(s Series) error {
			for i, value := range s.Values {
				if numberFirst {
					s.Values[i] = calculate(e.op, float64(left), value)
				} else {
					s.Values[i] = calculate(e.op, value, float64(right))
				}
			}
			s.Labels = withoutLabels(s.Labels, nameLabel)
			return yield(s)
		})
	default:
		return errors.New("unknown expression") // which parse does not make
	}
}

func withoutLabels(labels []Label, names ...string) []Label {
	return slices.DeleteFunc(labels, func(l Label) bool { return slices.Contains(names, l.Name) })
}

// group is what series with the same labels come to.
type group struct {
	Series
	counts []float64
}

func (v *evaluation) aggregate(ctx context.Context, a *aggregate, yield func(Series) error) error {
	groups := map[string]*group{}
	var order []*group
	err := v.each(ctx, a.of, func(s Series) error {
		s.Labels = slices.DeleteFunc(s.Labels, func(l Label) bool {
			return a.other && l.Name == nameLabel || slices.Contains(a.labels, l.Name) == a.other
		})
		var key strings.Builder
		for _, l := range s.Labels {
			key.WriteString(l.Name + "\x00" + l.Value + "\x00")
		}
		g := groups[key.String()]
		if g == nil {
			if (len(order)+1)*v.n > maxPoints {
				return refuse("the query has more than %d points: group by fewer labels, or use a longer step", maxPoints)
			}
			g = &group{Series{s.Labels, slices.Repeat([]float64{math.NaN()}, v.n)}, make([]float64, v.n)}
			groups[key.String()] = g
			order = append(order, g)
		}
		g.add(a.name, s.Values)
		return nil
	})
	for _, g := range order {
		for i, n := range g.counts {
			switch {
			case n == 0:
			case a.name == "avg":
				g.Values[i] /= n
			case a.name == "count":
				g.Values[i] = n
			}
		}
		if err == nil {
			err = yield(g.Series)
		}
	}
	return err
}

func (g *group) add(aggregation string, values []float64) {
	add := aggregations[aggregation]
	for i, value := range values {
		switch {
		case math.IsNaN(value):
			continue
		case g.counts[i] == 0:
			g.Values[i] = value
		default:
			g.Values[i] = add(g.Values[i], value)
		}
		g.counts[i]++
	}
}

// windows makes the series of a metric: of as many devices at a time as there is room for.
func (v *evaluation) windows(ctx context.Context, w *windows, yield func(Series) error) error {
	if w.Metric == "" {
		return refuse("a query is about one metric, by its name")
	}
	if w.ranged && w.function == "" {
		return refuse("a window needs a function, such as avg_over_time(…)")
	}
	devices, err := devicesOf(ctx, v.store, w.Selector)
	if err != nil {
		return err
	}
	for some := range slices.Chunk(devices, max(1, maxPoints/v.n)) {
		f := &filler{evaluation: v, windows: w, filled: map[iot.DeviceID][]iot.Bucket{}}
		if err := f.fill(ctx, some); err != nil {
			return err
		}
		for _, device := range some {
			filled := f.filled[device.ID]
			if filled == nil {
				continue
			}
			s := Series{Labels: labelsOf(w.Metric, device), Values: make([]float64, v.n)}
			for i := range filled {
				if s.Values[i] = math.NaN(); filled[i].Count > 0 {
					s.Values[i] = w.of(&filled[i])
				}
			}
			if w.function != "" && w.function != "last_over_time" {
				s.Labels = withoutLabels(s.Labels, nameLabel)
			}
			if err := yield(s); err != nil {
				return err
			}
		}
	}
	return nil
}

// filler fills the windows of some devices.
type filler struct {
	*evaluation
	*windows
	filled    map[iot.DeviceID][]iot.Bucket
	values    int // that were read
	additions int
}

var errTooMany = errors.New("too many values")

func (f *filler) fill(ctx context.Context, devices []iot.Device) error {
	q := iot.SampleQuery{Metrics: []string{f.Metric}, From: f.times.From.Add(time.Millisecond - f.length), To: f.times.To.Add(time.Millisecond)}
	for _, d := range devices {
		q.Devices = append(q.Devices, d.ID)
	}
	switch {
	case f.ofQuarters():
	case q.From.Before(f.horizon):
		f.widened = "Readings from before " + f.horizon.Format(time.RFC3339) + " are removed: windows were widened to whole quarters of an hour, of which the values are still known."
	default:
		err := f.store.ReadSamples(ctx, q, f.addSamples)
		if !errors.Is(err, errTooMany) {
			return err
		}
		clear(f.filled)
		f.additions = 0
		f.widened = "These are so many values that windows were widened to whole quarters of an hour."
	}
	q.From, q.To = q.From.Truncate(iot.Quarter), iot.Ceil(q.To, iot.Quarter)
	err := f.store.ReadBuckets(ctx, iot.BucketQuery{SampleQuery: q, Width: iot.Quarter}, f.addBuckets)
	if errors.Is(err, errTooMany) {
		return refuse("the windows of the query overlap so much that it would take too long: use a longer step, or shorter windows")
	}
	return err
}

// ofQuarters reports whether the windows are whole quarters of an hour.
func (f *filler) ofQuarters() bool {
	return f.times.From.Equal(f.times.From.Truncate(iot.Quarter)) && f.times.Step%iot.Quarter == 0 && f.length%iot.Quarter == 0
}

func (f *filler) addSamples(s iot.Samples) error {
	if f.values += len(s.Times); f.values > maxValues {
		return errTooMany
	}
	filled := f.windowsOf(s.Device)
	for i, at := range s.Times {
		// In each window of which the end is not before at, and the beginning is.
		if err := f.addTo(filled, at, at+f.length.Milliseconds()-1, func(b *iot.Bucket) { rollup.Add(b, at, s.Values[i]) }); err != nil {
			return err
		}
	}
	return nil
}

func (f *filler) addBuckets(s iot.Buckets) error {
	filled := f.windowsOf(s.Device)
	for _, b := range s.Buckets {
		// In each window that it has a part of.
		last := b.Start + iot.Quarter.Milliseconds() + f.length.Milliseconds() - 1
		if err := f.addTo(filled, b.Start+1, last, func(to *iot.Bucket) { rollup.Merge(to, b) }); err != nil {
			return err
		}
	}
	return nil
}

// addTo adds to the windows that end from one time to another, both in milliseconds.
func (f *filler) addTo(filled []iot.Bucket, from, to int64, add func(*iot.Bucket)) error {
	start, step := f.times.From.UnixMilli(), f.times.Step.Milliseconds()
	first := 0
	if from > start {
		first = int((from - start + step - 1) / step)
	}
	for i := first; i < f.n && start+int64(i)*step <= to; i++ {
		if f.additions++; f.additions > maxAdditions {
			return errTooMany
		}
		add(&filled[i])
	}
	return nil
}

// windowsOf returns the windows of a device.
func (f *filler) windowsOf(device iot.DeviceID) []iot.Bucket {
	filled := f.filled[device]
	if filled == nil {
		filled = make([]iot.Bucket, f.n)
		f.filled[device] = filled
	}
	return filled
}
