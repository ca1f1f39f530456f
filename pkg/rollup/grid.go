package rollup

import (
	"fmt"
	"strings"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
)

const (
	quarter = int64(iot.Quarter / time.Millisecond)
	dayLong = 96 * quarter
)

// LoadZone returns the time zone with a name of IANA's list, such as "UTC" or "Europe/Berlin". Another name is
// ErrInvalid, and so is the zone of the machine by whatever name: what it means is another thing on each.
func LoadZone(name string) (*time.Location, error) {
	switch prefix, _, _ := strings.Cut(name, "/"); prefix {
	case "", "Local", "localtime", "posix", "posixrules", "right": // the last ones are what a Linux system has beside them
		return nil, fmt.Errorf("time zone %.40q: %w", name, iot.ErrInvalid)
	}
	zone, err := time.LoadLocation(name)
	if err != nil { // it names no file, or something that is no zone
		return nil, fmt.Errorf("time zone %.40q: %w", name, iot.ErrInvalid)
	}
	return zone, nil
}

// Grid is how the buckets of an Interval lie in a time zone: one after the other, without a gap. Times are in
// milliseconds since 1970.
//
// Buckets of a Quarter and less begin at multiples of their length since 1970, in every zone. Longer ones up to 12
// hours are counted from the start of the zone's day, by time that has passed: when a clock is set back, the hour
// that is there twice is two buckets, and when a day is no multiple of the length, its last bucket is shorter. Days,
// weeks (from Monday on), months and years are those of the zone. A day begins at the first moment that has its date,
// which is not midnight where a clock is set forward then. Should that be no whole quarter (in Monrovia, before
// 1972), it begins with the next quarter.
type Grid struct {
	interval         Interval
	zone             *time.Location
	start, next      int64 // the bucket that was looked for last; none at first
	dayStart, dayEnd int64 // the zone's day that it lies in, for buckets of hours
}

// In returns the buckets of i in zone.
func (i Interval) In(zone *time.Location) *Grid { return &Grid{interval: i, zone: zone} }

// Start returns the start of the bucket that at lies in.
func (g *Grid) Start(at int64) int64 { start, _ := g.Bucket(at); return start }

// Next returns the start of the bucket behind the one that at lies in.
func (g *Grid) Next(at int64) int64 { _, next := g.Bucket(at); return next }

// Bucket returns both. To step from one bucket to the next, or ask for times that ascend, is cheap.
func (g *Grid) Bucket(at int64) (start, next int64) {
	if at < g.start || at >= g.next {
		g.find(at)
	}
	return g.start, g.next
}

func (g *Grid) find(at int64) {
	kind := &intervals[g.interval]
	length := kind.length.Milliseconds()
	switch {
	case kind.unit != 0:
		g.start, g.next = kind.unit.find(at, g.zone)
	case g.interval <= Quarter:
		g.start = Floor(at, length)
		g.next = g.start + length
	default:
		if at < g.dayStart || at >= g.dayEnd {
			g.dayStart, g.dayEnd = days.find(at, g.zone)
		}
		g.start = g.dayStart + (at-g.dayStart)/length*length
		g.next = min(g.start+length, g.dayEnd)
	}
}

// unit is a unit of the calendar, those of which are numbered.
type unit uint8

const (
	days unit = iota + 1
	weeks
	months
	years
)

const daySeconds = 24 * 60 * 60

// number returns the number of the unit that a clock is in; clocks show seconds since the start of 1970.
func (u unit) number(clock int64) int64 {
	switch u {
	case days:
		return floor(clock, daySeconds)
	case weeks:
		return floor(clock-firstMonday, 7*daySeconds)
	}
	year, month, _ := time.Unix(clock, 0).UTC().Date()
	if u == years {
		return int64(year)
	}
	return int64(year)*12 + int64(month) - 1
}

// begin is what a clock shows at the start of the unit with number n.
func (u unit) begin(n int64) int64 {
	switch u {
	case days:
		return n * daySeconds
	case weeks:
		return firstMonday + n*7*daySeconds
	case years:
		return time.Date(int(n), 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	default:
		return time.Date(0, 1+time.Month(n), 1, 0, 0, 0, 0, time.UTC).Unix()
	}
}

const firstMonday = 4 * daySeconds // 5 January 1970

// find returns the start of the unit that at lies in, and that of the next.
func (u unit) find(at int64, zone *time.Location) (start, next int64) {
	seconds := floor(at, 1000)
	_, offset := time.Unix(seconds, 0).In(zone).Zone()
	n := u.number(seconds + int64(offset))
	start, next = moment(u.begin(n), zone), moment(u.begin(n+1), zone)
	for at >= next { // the clock was set back to the day before, after this unit had begun
		n++
		start, next = next, moment(u.begin(n+1), zone)
	}
	for at < start { // the unit begins with the next quarter
		n--
		start, next = moment(u.begin(n), zone), start
	}
	return start, next
}

// FirstMoment returns when clocks in zone first show the date and the time of day of clock, or a later one: some that
// are put forward never show it, and some that are put back show it twice.
func FirstMoment(clock time.Time, zone *time.Location) time.Time {
	_, offset := clock.Zone()
	shown := clock.Unix() + int64(offset)
	t := time.Unix(firstMoment(shown, zone), 0).In(zone)
	if _, offset := t.Zone(); t.Unix()+int64(offset) == shown {
		t = t.Add(time.Duration(clock.Nanosecond()))
	}
	return t.UTC()
}

// moment does so, in milliseconds; it is the next quarter, if that is none.
func moment(clock int64, zone *time.Location) int64 {
	return -floor(-firstMoment(clock, zone)*1000, quarter) * quarter
}

func firstMoment(clock int64, zone *time.Location) int64 {
	at := clock - 2*daySeconds // no clock is ahead of UTC as much
	for {
		t := time.Unix(at, 0).In(zone)
		_, offset := t.Zone()
		at = max(at, clock-int64(offset))
		_, end := t.ZoneBounds()
		if !end.IsZero() && !end.After(t) { // Go 1.26 says so on 31 December of a leap year after 2037
			end = t.Add(time.Hour)
		}
		if end.IsZero() || at < end.Unix() {
			return at
		}
		at = end.Unix()
	}
}

// Floor returns the last multiple of width since 1970, both in milliseconds, that is not after at.
func Floor(at, width int64) int64 { return floor(at, width) * width }

// floor divides, and rounds down.
func floor(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
