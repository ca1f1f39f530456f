package history

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// start is the start of the bucket that at is in, by a calendar; ms since 1970 both.
func start(interval string, zone *time.Location, at int64) (int64, error) {
	t := time.UnixMilli(at).In(zone)
	day := func(y int, m time.Month, d int) int64 { return startOfDay(y, m, d, zone) }
	switch interval {
	case "raw":
		return at, nil
	case "1d":
		return day(t.Date()), nil
	case "1w":
		return day(t.Year(), t.Month(), t.Day()-(int(t.Weekday())+6)%7), nil
	case "1mo":
		return day(t.Year(), t.Month(), 1), nil
	case "1y":
		return day(t.Year(), 1, 1), nil
	}
	unit := map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour}[interval[len(interval)-1]]
	n, err := strconv.Atoi(strings.TrimRight(interval, "smh"))
	if err != nil || unit == 0 || n < 1 {
		return 0, fmt.Errorf("interval %q", interval)
	}
	width := (time.Duration(n) * unit).Milliseconds()
	var origin int64
	if width > (15 * time.Minute).Milliseconds() {
		origin = day(t.Date())
	}
	return at - (at-origin)%width, nil
}

// startOfDay is the first moment of a day: of one without a midnight, the first that there is.
func startOfDay(y int, m time.Month, d int, zone *time.Location) int64 {
	t := time.Date(y, m, d, 0, 0, 0, 0, zone)
	for t.Day() != time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Day() {
		t = t.Add(time.Minute)
	}
	return t.UnixMilli()
}

// bucket is what values come to.
type bucket struct {
	start                    int64
	count                    int64
	sum, magnitude, min, max float64
	first, last              float64
	values                   []float64
}

func (b *bucket) add(v float64) {
	if b.count == 0 {
		b.min, b.max, b.first = v, v, v
	}
	b.count++
	b.sum += v
	b.magnitude += math.Abs(v)
	b.min, b.max, b.last = math.Min(b.min, v), math.Max(b.max, v), v
	b.values = append(b.values, v)
}

// percentile is the least value that so many percent of the values do not exceed.
func (b *bucket) percentile(p int) float64 {
	sorted := slices.Sorted(slices.Values(b.values))
	return sorted[max(0, (len(sorted)*p+99)/100-1)]
}

// bucketsOf puts the values of a metric of a device in from <= at < to in buckets.
func bucketsOf(readings []Reading, metric, interval string, zone *time.Location, from, to int64) ([]*bucket, error) {
	var all []*bucket
	for _, r := range readings {
		v, ok := r.Metrics[metric]
		if !ok || r.At < from || r.At >= to {
			continue
		}
		at, err := start(interval, zone, r.At)
		if err != nil {
			return nil, err
		}
		if len(all) == 0 || all[len(all)-1].start != at {
			all = append(all, &bucket{start: at})
		}
		all[len(all)-1].add(v)
	}
	return all, nil
}

// same reports whether two numbers are the same bit for bit.
func same(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) }

// near reports whether two sums are of the same values, that have a magnitude together. got is nil where it is out of range.
func near(got *float64, want, magnitude float64) bool {
	if got == nil {
		return math.IsInf(want, 0) || math.IsNaN(want)
	}
	return math.Abs(*got-want) <= 1e-9*magnitude
}
