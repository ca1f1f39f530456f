package rollup

import (
	"cmp"
	"math"
	"slices"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// Readings is the name of what is no metric: the readings themselves, which are counted as if each had a value of 0
// under that name. No metric has it.
const Readings = ""

// Metric has the quarters of one metric of a device.
type Metric struct {
	Name     string
	Quarters []iot.Bucket // ascending, none empty
}

// Day has the quarters of all metrics of one device that begin in one day of UTC.
type Day struct {
	Start   int64    // of the day, in milliseconds since 1970
	Metrics []Metric // ascending by name, none without quarters
}

// DayOf returns the Start of the Day that at lies in.
func DayOf(at int64) int64 { return Floor(at, dayLong) }

// Quarters returns those of the metric called name; none where there is no such metric.
func (d *Day) Quarters(name string) []iot.Bucket {
	if i, ok := slices.BinarySearchFunc(d.Metrics, name, byName); ok {
		return d.Metrics[i].Quarters
	}
	return nil
}

// Replace puts the quarters of metrics, all that begin from from on and before to, in place of all that d has in that
// time. nil metrics: there are none any more.
func (d *Day) Replace(from, to int64, metrics []Metric) {
	from, to = max(from, d.Start), min(to, d.Start+dayLong)
	if from >= to {
		return
	}
	d.combine(metrics, func(old, new []iot.Bucket) []iot.Bucket {
		a, b := until(old, from), until(old, to)
		return slices.Concat(old[:a], new[until(new, from):until(new, to)], old[b:])
	})
}

// Merge merges the quarters of metrics that begin in d's day with those that d has: of readings that are not in d.
func (d *Day) Merge(metrics []Metric) {
	if len(metrics) == 0 {
		return
	}
	d.combine(metrics, func(old, new []iot.Bucket) (all []iot.Bucket) {
		if new = new[until(new, d.Start):until(new, d.Start+dayLong)]; len(new) == 0 {
			return old
		}
		for len(old) > 0 && len(new) > 0 {
			switch b := old[0]; cmp.Compare(b.Start, new[0].Start) {
			case -1:
				all, old = append(all, b), old[1:]
			case 1:
				all, new = append(all, new[0]), new[1:]
			default:
				Merge(&b, new[0])
				all, old, new = append(all, b), old[1:], new[1:]
			}
		}
		return append(append(all, old...), new...)
	})
}

// Subtract takes from d's quarters those of metrics: of readings that are in d, and come to it once more. So where others are
// left in a quarter its least, greatest, first and last values stay as they are.
func (d *Day) Subtract(metrics []Metric) {
	d.combine(metrics, func(old, of []iot.Bucket) (all []iot.Bucket) {
		for _, b := range old {
			if i := until(of, b.Start); i < len(of) && of[i].Start == b.Start {
				b.Count -= of[i].Count
				if sum := b.Sum - of[i].Sum; !math.IsNaN(sum) { // both have overflown
					b.Sum = sum
				}
			}
			if b.Count > 0 {
				all = append(all, b)
			}
		}
		return all
	})
}

// combine makes d's quarters of those that it has and those of metrics, name by name.
func (d *Day) combine(metrics []Metric, quarters func(old, new []iot.Bucket) []iot.Bucket) {
	var all []Metric
	for old := d.Metrics; len(old) > 0 || len(metrics) > 0; {
		var m Metric
		switch {
		case len(metrics) == 0 || len(old) > 0 && old[0].Name < metrics[0].Name:
			m = Metric{old[0].Name, quarters(old[0].Quarters, nil)}
			old = old[1:]
		case len(old) == 0 || metrics[0].Name < old[0].Name:
			m = Metric{metrics[0].Name, quarters(nil, metrics[0].Quarters)}
			metrics = metrics[1:]
		default:
			m = Metric{old[0].Name, quarters(old[0].Quarters, metrics[0].Quarters)}
			old, metrics = old[1:], metrics[1:]
		}
		if len(m.Quarters) > 0 {
			all = append(all, m)
		}
	}
	d.Metrics = all
}

// until returns how many of buckets begin before at.
func until(buckets []iot.Bucket, at int64) int {
	i, _ := slices.BinarySearchFunc(buckets, at, func(b iot.Bucket, at int64) int { return cmp.Compare(b.Start, at) })
	return i
}

func byName(m Metric, name string) int { return cmp.Compare(m.Name, name) }

// Span collects the quarters of one device's readings. Its zero value is empty.
type Span struct {
	Metrics []Metric // those so far, Readings too; ascending by name
}

// Add adds a reading. Where they ascend in time it is fastest, and sums come out as AppendSamples makes them.
func (s *Span) Add(r *iot.Reading) {
	at := r.At.UnixMilli()
	s.add(0, Readings, at, 0)
	i := 1
	for _, m := range r.Metrics {
		i = s.add(i, m.Name, at, m.Value) + 1
	}
}

// add adds a value of the metric called name, which is not among those before i, and returns where it is.
func (s *Span) add(i int, name string, at int64, v float64) int {
	if i == len(s.Metrics) || s.Metrics[i].Name != name {
		n, ok := slices.BinarySearchFunc(s.Metrics[i:], name, byName)
		i += n
		if !ok {
			s.Metrics = slices.Insert(s.Metrics, i, Metric{Name: name})
		}
	}
	m := &s.Metrics[i]
	start := Floor(at, quarter)
	k := len(m.Quarters) - 1
	if k < 0 || m.Quarters[k].Start != start {
		if k = until(m.Quarters, start); k == len(m.Quarters) || m.Quarters[k].Start != start {
			m.Quarters = slices.Insert(m.Quarters, k, iot.Bucket{Start: start})
		}
	}
	Add(&m.Quarters[k], at, v)
	return i
}
