package readingstest

import (
	"cmp"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/readings"
)

// model knows what a store is to hold.
type model struct {
	own     map[place]iot.Reading   // those that devices stamped, merged
	stamped map[message]iot.Reading // those that a server stamped, as they were sent
}

// message is what identifies a reading that a server stamped, where no origin of a device comes twice.
type message struct {
	device iot.DeviceID
	origin uint64
}

func newModel() *model {
	return &model{map[place]iot.Reading{}, map[message]iot.Reading{}}
}

// insert returns what is to become of batch.
func (m *model) insert(batch []iot.Reading) (inserted iot.Inserted) {
	for i, r := range batch {
		outcome := iot.OutcomeNew
		if r.Origin != 0 {
			key := message{r.Device, r.Origin}
			if _, there := m.stamped[key]; there {
				outcome = iot.OutcomeDuplicate
			} else {
				m.stamped[key] = r
			}
		} else if there, ok := m.own[placeOf(r)]; ok {
			m.own[placeOf(r)], outcome = there.Merge(r)
		} else {
			m.own[placeOf(r)] = r
		}
		inserted.Count(outcome, i)
	}
	return inserted
}

// check compares what store lists with m, and returns it, oldest first.
func (m *model) check(t *testing.T, store readings.Store) (all []iot.Reading) {
	t.Helper()
	for q := (iot.ReadingQuery{Limit: iot.MaxPage}); ; {
		page := find(t, store, q)
		all = append(all, page.Readings...)
		if q.After = page.Next; q.After.IsZero() {
			break
		}
	}
	slices.Reverse(all)
	if n := len(m.own) + len(m.stamped); len(all) != n {
		t.Errorf("%d readings are stored, want %d", len(all), n)
	}
	occupied := map[place]bool{}
	for _, r := range all {
		occupied[placeOf(r)] = true
	}
	met := map[message]bool{}
	for i, r := range all {
		if i > 0 && compareReadings(all[i-1], r) >= 0 {
			t.Fatalf("device %v at %v is listed before device %v at %v", r.Device, r.At, all[i-1].Device, all[i-1].At)
		}
		want, ok := m.own[placeOf(r)]
		if r.Origin != 0 {
			key := message{r.Device, r.Origin}
			if want, ok = m.stamped[key]; ok && met[key] {
				t.Fatalf("origin %d of device %v is stored twice, the second time at %v", r.Origin, r.Device, r.At)
			}
			met[key] = true
			for at := want.At; at.Before(r.At); at = at.Add(time.Millisecond) {
				if !occupied[place{r.Device, at.UnixMilli()}] {
					t.Fatalf("origin %d of device %v, stamped with %v, is at %v, though %v is free", r.Origin, r.Device, want.At, r.At, at)
				}
			}
			want.At = r.At
		}
		if !ok {
			t.Fatalf("nobody sent %+v", r)
		}
		if !sameReading(r, want) {
			wantReadings(t, []iot.Reading{r}, []iot.Reading{want})
			t.FailNow()
		}
	}
	return all
}

// compareReadings compares by the order of a scan, oldest first.
func compareReadings(a, b iot.Reading) int {
	return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Device, b.Device))
}

// sameReading reports whether a and b do not differ in a bit.
func sameReading(a, b iot.Reading) bool {
	return a.Device == b.Device && a.Key == b.Key && a.At.Equal(b.At) && a.Received.Equal(b.Received) && a.Stamped == b.Stamped &&
		a.Said == b.Said && a.Origin == b.Origin && slices.Equal(a.Attributes, b.Attributes) &&
		slices.EqualFunc(a.Metrics, b.Metrics, func(a, b iot.Metric) bool { return a.Name == b.Name && sameBits(a.Value, b.Value) })
}

func sameBits(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) }

// selected returns those of all, oldest first, that q selects, in its order.
func selected(all []iot.Reading, q iot.ScanQuery) (some []iot.Reading) {
	after := iot.Reading{At: q.After.At, Device: q.After.Device}
	for _, r := range all {
		order := compareReadings(r, after)
		if !within(r, q.Devices, q.From, q.To) || !q.After.IsZero() && (order == 0 || (order > 0) == q.Newest) {
			continue
		}
		some = append(some, r)
	}
	if q.Newest {
		slices.Reverse(some)
	}
	return some
}

func within(r iot.Reading, devices []iot.DeviceID, from, to time.Time) bool {
	return (devices == nil || slices.Contains(devices, r.Device)) && (from.IsZero() || !r.At.Before(from)) && (to.IsZero() || r.At.Before(to))
}

// samplesOf returns the values of all, oldest first, that q selects.
func samplesOf(all []iot.Reading, q iot.SampleQuery) map[seriesOf][]sample {
	some := map[seriesOf][]sample{}
	for _, r := range all {
		if !within(r, q.Devices, q.From, q.To) {
			continue
		}
		for _, m := range r.Metrics {
			if q.Metrics == nil || slices.Contains(q.Metrics, m.Name) {
				key := seriesOf{r.Device, m.Name}
				some[key] = append(some[key], sample{r.At.UnixMilli(), m.Value})
			}
		}
	}
	return some
}

// bucketsOf returns what values come to, and of each bucket the sum of their magnitudes.
func bucketsOf(values []sample, width time.Duration) (all []iot.Bucket, magnitudes []float64) {
	for _, s := range values {
		start := s.at - s.at%width.Milliseconds()
		if n := len(all); n == 0 || all[n-1].Start != start {
			all = append(all, iot.Bucket{Start: start, Min: s.value, Max: s.value, First: s.value, FirstAt: s.at})
			magnitudes = append(magnitudes, 0)
		}
		last := len(all) - 1
		b := &all[last]
		b.Count++
		b.Sum += s.value
		b.Min, b.Max = math.Min(b.Min, s.value), math.Max(b.Max, s.value)
		b.Last, b.LastAt = s.value, s.at
		magnitudes[last] += math.Abs(s.value)
	}
	return all, magnitudes
}

// sameBucket reports whether a and b do not differ in a bit, but for their sums: what makes them, of this magnitude, may
// have been added up in another order.
func sameBucket(a, b iot.Bucket, magnitude float64) bool {
	return a.Start == b.Start && a.Count == b.Count && a.FirstAt == b.FirstAt && a.LastAt == b.LastAt &&
		sameBits(a.Min, b.Min) && sameBits(a.Max, b.Max) && sameBits(a.First, b.First) && sameBits(a.Last, b.Last) &&
		(math.IsInf(magnitude, 0) || math.Abs(a.Sum-b.Sum) <= 1e-9*magnitude)
}
