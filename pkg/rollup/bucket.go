package rollup

import "github.com/telltale-iot/telltale/pkg/iot"

// Add adds a sample to b, whose Start it leaves alone. No two samples of a bucket have the same time.
func Add(b *iot.Bucket, at int64, v float64) {
	Merge(b, iot.Bucket{Count: 1, Sum: v, Min: v, Max: v, First: v, Last: v, FirstAt: at, LastAt: at})
}

// Merge adds to b the samples of o, none of which it has. The order in which buckets are merged makes no difference,
// but for the last digits of Sum. -0 is less than 0.
func Merge(b *iot.Bucket, o iot.Bucket) {
	switch {
	case o.Count == 0:
		return
	case b.Count == 0:
		o.Start = b.Start
		*b = o
		return
	}
	b.Count += o.Count
	b.Sum += o.Sum
	b.Min = min(b.Min, o.Min)
	b.Max = max(b.Max, o.Max)
	if o.FirstAt < b.FirstAt {
		b.First, b.FirstAt = o.First, o.FirstAt
	}
	if o.LastAt > b.LastAt {
		b.Last, b.LastAt = o.Last, o.LastAt
	}
}

// AppendSamples adds samples, ascending in time and later than those of dst, to the buckets of g in dst. However
// samples are cut into calls, the buckets are the same to the last digit of Sum.
func AppendSamples(dst []iot.Bucket, g *Grid, times []int64, values []float64) []iot.Bucket {
	for len(times) > 0 {
		start, next := g.Bucket(times[0])
		if len(dst) == 0 || dst[len(dst)-1].Start != start {
			dst = append(dst, iot.Bucket{Start: start})
		}
		n := addUntil(&dst[len(dst)-1], next, times, values)
		times, values = times[n:], values[n:]
	}
	return dst
}

// addUntil adds those samples that are before next, and returns how many. An empty b gets one.
func addUntil(b *iot.Bucket, next int64, times []int64, values []float64) int {
	values = values[:len(times)]
	if b.Count == 0 {
		Add(b, times[0], values[0])
		return 1 + addUntil(b, next, times[1:], values[1:])
	}
	sum, low, high := b.Sum, b.Min, b.Max
	n := 0
	for ; n < len(times) && times[n] < next; n++ {
		v := values[n]
		sum += v
		if v <= low {
			low = min(low, v) // where both are zeros, the sign decides
		}
		if v >= high {
			high = max(high, v)
		}
	}
	if n > 0 {
		b.Last, b.LastAt = values[n-1], times[n-1]
	}
	b.Count, b.Sum, b.Min, b.Max = b.Count+int64(n), sum, low, high
	return n
}

// AppendBuckets merges buckets, ascending and none earlier than the last of dst, into the buckets of g in dst. Each
// is wholly in one bucket of g: so quarters need a g of quarters or longer.
func AppendBuckets(dst []iot.Bucket, g *Grid, buckets []iot.Bucket) []iot.Bucket {
	for _, b := range buckets {
		start := g.Start(b.Start)
		if len(dst) == 0 || dst[len(dst)-1].Start != start {
			dst = append(dst, iot.Bucket{Start: start})
		}
		Merge(&dst[len(dst)-1], b)
	}
	return dst
}
