package decode

import (
	"bytes"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// ParseTime reads a timestamp as devices write it in a string, in milliseconds since 1970 without their
// fraction. It knows a calendar date and a time of day by ISO 8601, of which RFC 3339 is a part:
//
//	2026-01-02T03:04:05.678Z     t or a space for the T; a comma for the point; any number of digits
//	2026-01-02T03:04:05          behind it, or none; no seconds; no zone, which means that of a clock in zone
//	2026-01-02T03:04+05:30       the zone as Z, z, ±hh:mm, ±hhmm or ±hh
//	20260102T030405Z             or no separators within date and time
//
// and the numbers that EpochMillis knows, in decimal. A second 60 (a leap second) is the next minute's
// first. A date alone is not read: all readings of that day would have the same time, and only the first
// would be stored. In the hour that a zone's clocks repeat in autumn, a text means the later of the two that is not
// ahead of received, in milliseconds since 1970; in the one that they leave out in spring, the hour behind it.
func ParseTime(text []byte, zone *time.Location, received int64) (millis int64, ok bool) {
	text = bytes.TrimSpace(text)
	if millis, ok = parseISO(text, zone, received); ok {
		return millis, true
	}
	if d, ok := ParseNumber(text); ok {
		return d.EpochMillis()
	}
	return 0, false
}

func parseISO(text []byte, zone *time.Location, received int64) (millis int64, ok bool) {
	p := fields{rest: text}
	year := p.two()*100 + p.two()
	separated := p.take('-')
	month := p.two()
	p.want(p.take('-') == separated)
	day := p.two()
	p.want(p.take('T') || p.take(' ') || p.take('t'))
	hour := p.two()
	p.want(p.take(':') == separated)
	minute := p.two()
	second, fraction := 0, 0
	if separated && p.take(':') || !separated && p.digit() {
		second = p.two()
		if p.take('.') || p.take(',') {
			fraction = p.fraction()
		}
	}
	offset, said := p.zone()
	if p.wrong || len(p.rest) > 0 || month < 1 || month > 12 || hour > 23 || minute > 59 || second > 60 {
		return 0, false
	}
	t := time.Date(year, time.Month(month), day, hour, minute, 0, 0, time.UTC)
	if t.Day() != day { // there is no such day: Date went on to the next month
		return 0, false
	}
	if !said && zone != time.UTC {
		offset = ahead(t, zone, received)
	}
	return t.UnixMilli() + int64(second*1000+fraction) - offset.Milliseconds(), true
}

// ahead returns how far a clock in zone was ahead of UTC when it said what t says in UTC.
func ahead(t time.Time, zone *time.Location, received int64) time.Duration {
	at := func(t time.Time) time.Duration {
		_, seconds := t.In(zone).Zone()
		return time.Duration(seconds) * time.Second
	}
	before, after := at(t.AddDate(0, 0, -1)), at(t.AddDate(0, 0, 1))
	first, second := t.Add(-before), t.Add(-after)
	if at(second) != after || at(first) == before && second.UnixMilli() > received+iot.MaxAhead.Milliseconds() {
		return before
	}
	return after
}

// fields takes a text apart from its front. After something that does not fit, wrong is true and the
// results mean nothing.
type fields struct {
	rest  []byte
	wrong bool
}

func (p *fields) want(ok bool) { p.wrong = p.wrong || !ok }

func (p *fields) digit() bool { return len(p.rest) > 0 && IsDigit(p.rest[0]) }

// take passes over c, if it is next.
func (p *fields) take(c byte) bool {
	if len(p.rest) == 0 || p.rest[0] != c {
		return false
	}
	p.rest = p.rest[1:]
	return true
}

// two reads two digits.
func (p *fields) two() int {
	if len(p.rest) < 2 || !IsDigit(p.rest[0]) || !IsDigit(p.rest[1]) {
		p.wrong = true
		return 0
	}
	n := int(p.rest[0]-'0')*10 + int(p.rest[1]-'0')
	p.rest = p.rest[2:]
	return n
}

// fraction reads one or more digits behind a point, in thousandths, the rest of them cut off.
func (p *fields) fraction() int {
	p.want(p.digit())
	n := 0
	for unit := 100; p.digit(); unit /= 10 {
		n += int(p.rest[0]-'0') * unit
		p.rest = p.rest[1:]
	}
	return n
}

// zone reads how far the text's clock is ahead of UTC, if the text says so.
func (p *fields) zone() (offset time.Duration, said bool) {
	if p.take('Z') || p.take('z') {
		return 0, true
	}
	negative := p.take('-')
	if !negative && !p.take('+') {
		return 0, false
	}
	hours, minutes := p.two(), 0
	if p.take(':') || p.digit() {
		minutes = p.two()
	}
	p.want(hours <= 23 && minutes <= 59)
	offset = time.Duration(hours)*time.Hour + time.Duration(minutes)*time.Minute
	if negative {
		return -offset, true
	}
	return offset, true
}
