package api

import (
	"fmt"
	"strings"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/rollup"
)

// time reads a moment; zero only where none is given.
func (p *params) time(name string) time.Time {
	t := p.timeIn(name, time.UTC)
	if t.IsZero() && p.get(name) != "" {
		return t.Add(time.Millisecond) // which no reading is before, either
	}
	return t
}

// between reads a range of time that need not have a start or an end.
func (p *params) between(since, until string) (from, to time.Time) {
	from, to = p.time(since), p.time(until)
	if !to.IsZero() && to.Before(from) && p.errs[since] == nil && p.errs[until] == nil {
		p.fail(since, fmt.Sprintf(msgNotAfter, until))
		p.fail(until, fmt.Sprintf(msgNotBefore, since))
	}
	return from, to
}

// The first and the last moment that an answer can name: years have four digits, and begin with 1.
var (
	firstTime time.Time
	lastTime  = time.Date(9999, time.December, 31, 23, 59, 59, 999e6, time.UTC)
)

// timeIn reads a moment, as the whole millisecond that counts for it, from firstTime to lastTime; firstTime where none is
// given. It is one of zone where it names none.
func (p *params) timeIn(name string, zone *time.Location) time.Time {
	s := p.get(name)
	if s == "" {
		return firstTime
	}
	t, ok := parseTime(s, zone)
	if !ok {
		p.fail(name, msgTime)
	}
	switch t = iot.CeilMillis(t); {
	case t.Before(firstTime):
		return firstTime
	case t.After(lastTime):
		return lastTime
	default:
		return t
	}
}

// timeLayouts are the forms of RFC 3339, also without seconds, zone (then it is another one) or time of day. Each
// takes a fraction behind the seconds.
var timeLayouts = []string{
	"2006-01-02T15:04:05Z07:00",
	"2006-01-02T15:04:05",
	"2006-01-02T15:04Z07:00",
	"2006-01-02T15:04",
	"2006-01-02",
}

// parseTime returns the moment that s is of. Without a zone it is one of zone: the first that clocks show so, or, where they
// are put forward over it, the first after that.
func parseTime(s string, zone *time.Location) (time.Time, bool) {
	s = strings.ToUpper(s)
	if len(s) > 10 && s[10] == ' ' {
		s = s[:10] + "T" + s[11:]
	}
	// A plus sign that was not escaped arrives as a space, and nothing else can stand there.
	s = strings.Replace(s, " ", "+", 1)
	for _, layout := range timeLayouts {
		t, err := time.Parse(layout, s)
		switch {
		case err == nil && !strings.HasSuffix(layout, "Z07:00"):
			return rollup.FirstMoment(t, zone), true
		case err == nil:
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}
