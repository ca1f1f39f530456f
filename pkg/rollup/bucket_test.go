package rollup_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/rollup"
)

// brute is what samples, in the order of time, come to: by the definition of a Bucket.
func brute(start int64, times []int64, values []float64) iot.Bucket {
	b := iot.Bucket{Start: start, Count: int64(len(times)), First: values[0], FirstAt: times[0], Last: values[len(values)-1], LastAt: times[len(times)-1]}
	b.Min, b.Max = math.Inf(1), math.Inf(-1)
	for _, v := range values {
		b.Sum += v
		b.Min = math.Min(b.Min, v)
		b.Max = math.Max(b.Max, v)
	}
	return b
}

// same reports whether a and b are equal: to the bit, but for the sum, which has rounding errors of its own.
func same(a, b iot.Bucket) bool {
	bits := math.Float64bits
	return a.Start == b.Start && a.Count == b.Count && a.FirstAt == b.FirstAt && a.LastAt == b.LastAt &&
		bits(a.Min) == bits(b.Min) && bits(a.Max) == bits(b.Max) && bits(a.First) == bits(b.First) && bits(a.Last) == bits(b.Last) &&
		(a.Sum == b.Sum || math.IsInf(a.Sum, 0) || math.IsNaN(a.Sum) || math.IsInf(b.Sum, 0) || math.Abs(a.Sum-b.Sum) <= 1e-9*float64(a.Count)*max(math.Abs(a.Min), math.Abs(a.Max)))
}

// value is one of any kind: decimals, any double, and what is odd.
func value(r *rand.Rand) float64 {
	switch r.IntN(4) {
	case 0:
		return float64(r.IntN(4000)-1000) / 100
	case 1:
		return float64(float32(r.NormFloat64()))
	case 2:
		odd := []float64{0, math.Copysign(0, -1), 5e-324, -5e-324, 1.7e308, -1.7e308, 1<<53 + 2, 0.1, math.MaxFloat64}
		return odd[r.IntN(len(odd))]
	default:
		for {
			if v := math.Float64frombits(r.Uint64()); !math.IsNaN(v) && !math.IsInf(v, 0) {
				return v
			}
		}
	}
}

// samples returns n at most, ascending, within span milliseconds.
func samples(r *rand.Rand, n int, from, span int64) (times []int64, values []float64) {
	for range n {
		times = append(times, from+r.Int64N(span))
	}
	slices.Sort(times)
	times = slices.Compact(times)
	for range times {
		values = append(values, value(r))
	}
	return times, values
}

// TestBuckets has samples added one by one in any order, all at once, in pieces, and as buckets of quarters: for every
// interval, in any zone, it is what brute force says.
func TestBuckets(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 1))
	names := zones(t)
	for range 300 {
		zone := zone(t, names[r.IntN(len(names))])
		i := rollup.Interval(r.IntN(int(rollup.Yearly) + 1))
		from := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli() + r.Int64N(38*365*96*quarter)
		times, values := samples(r, 1+r.IntN(300), from, 1+r.Int64N(20*i.Length().Milliseconds()+10))

		g := i.In(zone)
		var want []iot.Bucket
		for a := 0; a < len(times); {
			b, next := a, g.Next(times[a])
			for b < len(times) && times[b] < next {
				b++
			}
			want = append(want, brute(g.Start(times[a]), times[a:b], values[a:b]))
			a = b
		}
		check := func(how string, got []iot.Bucket) {
			t.Helper()
			if !slices.EqualFunc(got, want, same) {
				t.Fatalf("seed %d: %v in %v, %s:\n%+v\nwant\n%+v", seed, i, zone, how, got, want)
			}
		}

		all := rollup.AppendSamples(nil, i.In(zone), times, values)
		check("all at once", all)

		var cut []iot.Bucket
		for a := 0; a < len(times); {
			b := min(len(times), a+r.IntN(20))
			cut = rollup.AppendSamples(cut, g, times[a:b], values[a:b])
			a = b
		}
		check("in pieces", cut)
		for k := range all {
			if math.Float64bits(cut[k].Sum) != math.Float64bits(all[k].Sum) {
				t.Fatalf("seed %d: in pieces the sum is %v, else %v", seed, cut[k].Sum, all[k].Sum)
			}
		}

		// Some are added one by one, in any order, to one of several buckets, which are merged in any order.
		several := map[int64][]iot.Bucket{}
		for _, k := range r.Perm(len(times)) {
			start := g.Start(times[k])
			if several[start] == nil {
				several[start] = make([]iot.Bucket, 1+r.IntN(4))
			}
			rollup.Add(&several[start][r.IntN(len(several[start]))], times[k], values[k])
		}
		var merged []iot.Bucket
		for start, buckets := range several {
			b := iot.Bucket{Start: start}
			for _, k := range r.Perm(len(buckets)) {
				rollup.Merge(&b, buckets[k])
			}
			merged = append(merged, b)
		}
		slices.SortFunc(merged, func(a, b iot.Bucket) int { return int(a.Start - b.Start) })
		check("merged", merged)

		if i >= rollup.Quarter {
			quarters := rollup.AppendSamples(nil, rollup.Quarter.In(zone), times, values)
			k := r.IntN(len(quarters) + 1)
			check("of quarters", rollup.AppendBuckets(rollup.AppendBuckets(nil, g, quarters[:k]), g, quarters[k:]))
		}
	}
}

func TestMergeOfZerosAndInfinities(t *testing.T) {
	zero, least := math.Copysign(0, -1), iot.Bucket{Start: 7}
	for at, v := range []float64{0, zero, 0} {
		rollup.Add(&least, int64(at), v)
	}
	if least.Start != 7 || !math.Signbit(least.Min) || math.Signbit(least.Max) {
		t.Errorf("of zeros: %+v", least)
	}
	sum := rollup.AppendSamples(nil, rollup.Quarter.In(time.UTC), []int64{1, 2, 3, 4}, []float64{1e308, 1e308, -1e308, -1e308})
	if !math.IsInf(sum[0].Sum, 1) || sum[0].Max != 1e308 || sum[0].Last != -1e308 {
		t.Errorf("a sum out of range: %+v", sum)
	}
	rollup.Merge(&sum[0], iot.Bucket{Start: 5})
	if sum[0].Count != 4 || sum[0].Start != 0 {
		t.Errorf("an empty bucket was merged: %+v", sum)
	}
}
