package series

import (
	"slices"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/rollup"
)

// accumulator makes a series of what it is given, which ascends in time.
type accumulator struct {
	Series
	grid     *rollup.Grid
	percents []int
	values   []float64 // of the last bucket, where there are percents
	count    int64     // of all values
}

// begin empties a.
func (a *accumulator) begin(interval rollup.Interval, grid *rollup.Grid, source string) {
	a.Interval, a.Source, a.grid = interval, source, grid
	a.Buckets, a.values, a.count = a.Buckets[:0], a.values[:0], 0
	a.Percentiles = make([][]float64, len(a.percents))
}

// addSamples adds values one by one.
func (a *accumulator) addSamples(s iot.Samples) {
	a.count += int64(len(s.Times))
	if len(a.percents) == 0 {
		a.Buckets = rollup.AppendSamples(a.Buckets, a.grid, s.Times, s.Values)
		return
	}
	for times, values := s.Times, s.Values; len(times) > 0; {
		start, next := a.grid.Bucket(times[0])
		if n := len(a.Buckets); n > 0 && a.Buckets[n-1].Start != start {
			a.rank()
		}
		n, _ := slices.BinarySearch(times, next)
		a.Buckets = rollup.AppendSamples(a.Buckets, a.grid, times[:n], values[:n])
		a.values = append(a.values, values[:n]...)
		times, values = times[n:], values[n:]
	}
}

// addBuckets adds buckets of the store, which lie in buckets of the series each.
func (a *accumulator) addBuckets(buckets []iot.Bucket) {
	a.Buckets = rollup.AppendBuckets(a.Buckets, a.grid, buckets)
	for _, b := range buckets {
		a.count += b.Count
	}
}

// rank adds the percentiles of the last bucket.
func (a *accumulator) rank() {
	n := len(a.values)
	if n == 0 {
		return
	}
	slices.Sort(a.values)
	for i, percent := range a.percents {
		a.Percentiles[i] = append(a.Percentiles[i], a.values[(percent*n+99)/100-1])
	}
	a.values = a.values[:0]
}
