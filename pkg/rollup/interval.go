package rollup

import (
	"fmt"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// Interval is a length of buckets. Intervals ascend by length; those of a Quarter and more are made of whole quarters.
type Interval uint8

const (
	Raw Interval = iota // every sample by itself: a millisecond
	Second
	Seconds2
	Seconds5
	Seconds10
	Seconds15
	Seconds30
	Minute
	Minutes2
	Minutes5
	Minutes10
	Quarter
	Minutes30
	Minutes45
	Hour
	Minutes90
	Hours2
	Hours3
	Hours4
	Hours6
	Hours8
	Hours12
	Daily
	Weekly
	Monthly
	Yearly
)

// intervals says of each how it is written, how long it usually is, and, from a day on, of what in a calendar it is.
var intervals = [...]struct {
	name   string
	length time.Duration
	unit   unit
}{
	Raw:       {"raw", time.Millisecond, 0},
	Second:    {"1s", time.Second, 0},
	Seconds2:  {"2s", 2 * time.Second, 0},
	Seconds5:  {"5s", 5 * time.Second, 0},
	Seconds10: {"10s", 10 * time.Second, 0},
	Seconds15: {"15s", 15 * time.Second, 0},
	Seconds30: {"30s", 30 * time.Second, 0},
	Minute:    {"1m", time.Minute, 0},
	Minutes2:  {"2m", 2 * time.Minute, 0},
	Minutes5:  {"5m", 5 * time.Minute, 0},
	Minutes10: {"10m", 10 * time.Minute, 0},
	Quarter:   {"15m", iot.Quarter, 0},
	Minutes30: {"30m", 30 * time.Minute, 0},
	Minutes45: {"45m", 45 * time.Minute, 0},
	Hour:      {"1h", time.Hour, 0},
	Minutes90: {"90m", 90 * time.Minute, 0},
	Hours2:    {"2h", 2 * time.Hour, 0},
	Hours3:    {"3h", 3 * time.Hour, 0},
	Hours4:    {"4h", 4 * time.Hour, 0},
	Hours6:    {"6h", 6 * time.Hour, 0},
	Hours8:    {"8h", 8 * time.Hour, 0},
	Hours12:   {"12h", 12 * time.Hour, 0},
	Daily:     {"1d", 24 * time.Hour, days},
	Weekly:    {"1w", 7 * 24 * time.Hour, weeks},
	Monthly:   {"1mo", 30 * 24 * time.Hour, months},
	Yearly:    {"1y", 365 * 24 * time.Hour, years},
}

// ParseInterval is the inverse of String. Any other text is ErrInvalid.
func ParseInterval(s string) (Interval, error) {
	for i := range intervals {
		if intervals[i].name == s {
			return Interval(i), nil
		}
	}
	return 0, fmt.Errorf("interval %.20q: %w", s, iot.ErrInvalid)
}

// String returns i as in "15m", "1d", "1mo".
func (i Interval) String() string { return intervals[i].name }

// Length is how long a bucket of i is, where no clock is changed in it and its month is of 30 days.
func (i Interval) Length() time.Duration { return intervals[i].length }

// Count returns the number of buckets that there are between from and to, those cut by either included: at most
// limit+1, which stands for any number above limit.
func (i Interval) Count(from, to time.Time, zone *time.Location, limit int) int {
	at, end := from.UnixMilli(), iot.CeilMillis(to).UnixMilli()
	if at >= end {
		return 0
	}
	length := i.Length().Milliseconds()
	if i <= Quarter {
		return int(min(floor(end-1, length)-floor(at, length)+1, int64(limit)+1))
	}
	if (end-at)/(2*length) > int64(limit) { // no bucket is twice as long as usual
		return limit + 1
	}
	n := 0
	for g := i.In(zone); at < end && n <= limit; n++ {
		at = g.Next(at)
	}
	return n
}

// Auto returns the shortest Interval that has at most points buckets between from and to; a Second at least, and
// Yearly where that has more, too.
func Auto(from, to time.Time, zone *time.Location, points int) Interval {
	for i := Second; i < Yearly; i++ {
		if i.Count(from, to, zone, points) <= points {
			return i
		}
	}
	return Yearly
}
