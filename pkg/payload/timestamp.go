package payload

import (
	"bytes"
	"time"

	"github.com/telltale-iot/telltale/pkg/internal/decode"
	"github.com/telltale-iot/telltale/pkg/iot"
)

// timestamp reads the time of measurement, and returns what the device gave as it; nil where that is null. One that cannot
// be read is as good as none, but for that, and nothing that is wrong with it costs more.
func (d *jsonDecoder) timestamp(depth int) (said []byte, ok bool) {
	at := d.Pos
	switch c := d.Peek(); {
	case c == '"':
		said, ok = d.Quoted()
		millis, isTime := decode.ParseTime(said, d.zone, d.Received)
		d.SetTime(millis, isTime, said)
	case c == '-' || decode.IsDigit(c):
		var number decode.Decimal
		number, ok = d.Number()
		millis, isTime := number.EpochMillis()
		said = d.Text[at:d.Pos]
		d.SetTime(millis, isTime, said)
	default:
		if ok = d.Skip(depth); string(d.Text[at:d.Pos]) != "null" {
			said = d.Text[at:d.Pos]
			d.SetTime(0, false, said)
		}
	}
	if d.Flaw.Reason != "" {
		d.forgive()
	}
	return said, ok
}

// aliases are the members that are read as the timestamp of a reading without one, in the order in which they count: time,
// Time, ts, datetime, last_seen.
type aliases [5]struct {
	value int32 // its offset; 0: there is none
	index int32 // among the members
}

// aliasIndex returns the place of a name among them, and -1 for any other.
func aliasIndex(name string) int {
	switch name {
	case "time":
		return 0
	case "Time":
		return 1
	case "ts":
		return aliasTS
	case "datetime":
		return 3
	case "last_seen":
		return 4
	}
	return -1
}

// aliasTS is the place of ts among them, which in ThingsBoard's form is the timestamp whatever it looks like.
const aliasTS = 2

// alias passes over a value that may be the timestamp: that is decided when all of the reading is known.
func (d *jsonDecoder) alias(i, depth int) bool {
	d.aliased = true
	d.aliases[i].value, d.aliases[i].index = int32(d.Pos), int32(len(d.Members)-1)
	ok := d.Skip(depth)
	d.forgive()
	return ok
}

// takeAliases takes the timestamp from an alias, where there is need, and makes the others members like any other.
func (d *jsonDecoder) takeAliases(depth int) {
	end := d.Pos
	if ts := &d.aliases[aliasTS]; ts.value > 0 && d.values {
		if d.Pos = int(ts.value); !d.Timed {
			said, _ := d.timestamp(depth)
			d.stamped = d.stamped || said != nil
		}
		ts.value = 0
	}
	for _, a := range d.aliases {
		if a.value == 0 {
			continue
		}
		if d.Pos = int(a.value); !d.stamped {
			if said, _ := d.timestamp(depth); d.Timed && looksLikeTime(d.Millis, said) {
				d.stamped = true
				continue
			}
			d.SetTime(0, false, nil)
			d.Pos = int(a.value)
		}
		m := &d.Members[a.index]
		if d.value(m, depth); d.Flaw.Reason != "" {
			d.leaveOut(m, int(a.value))
		}
	}
	d.Pos = end
}

// endOfNumbers is from when on a number in an alias is none: most numbers are something else.
var endOfNumbers = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()

// looksLikeTime reports whether what an alias said, and can be read as a time, is meant as one. Text is, and so are the
// numbers in a span that does not depend on the time of receipt: a device whose clock is wrong has no metric of that name
// now and then.
func looksLikeTime(millis int64, said []byte) bool {
	_, isNumber := decode.ParseNumber(bytes.TrimSpace(said))
	return !isNumber || millis >= iot.MinTime.UnixMilli() && millis < endOfNumbers
}
