package readingjson

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// parser reads what Append and AppendOnline write, byte by byte. It gives up at anything else, also where that means
// the same: another order, white space, an escaped string.
type parser struct {
	rest   []byte
	failed bool
}

// parseCanonical is Parse for the canonical form, the one that Append and AppendOnline write, at a tenth of the cost. It reports whether
// text has it.
func parseCanonical(text []byte) (r iot.Reading, ok bool) {
	p := parser{rest: text}
	r.Metrics = make([]iot.Metric, 0, 2)
	p.expect(`{"device_id":`)
	r.Device = p.device()
	p.expect(`,"temperature":`)
	temperature, measured := p.number()
	p.expect(`,"humidity":`)
	if humidity, ok := p.number(); ok {
		r.Metrics = append(r.Metrics, iot.Metric{Name: iot.Humidity, Value: humidity})
	}
	if measured {
		r.Metrics = append(r.Metrics, iot.Metric{Name: iot.Temperature, Value: temperature})
	}
	p.expect(`,"timestamp":"`)
	r.At = p.time()
	p.expect(`"`)
	if p.skip(`,"metrics":`) {
		p.members(func(name string) {
			value, ok := p.number()
			p.failed = p.failed || !ok
			r.Metrics = append(r.Metrics, iot.Metric{Name: name, Value: value})
		})
		slices.SortFunc(r.Metrics, func(a, b iot.Metric) int { return strings.Compare(a.Name, b.Name) })
	}
	if p.skip(`,"attributes":`) {
		p.members(func(name string) {
			r.Attributes = append(r.Attributes, iot.Attribute{Name: name, Value: string(p.text())})
		})
	}
	if p.skip(`,"timestamp_source":`) {
		r.Stamped = iot.ParseStamp(string(p.text()))
	}
	if p.skip(`,"device_key":`) {
		r.Key = string(p.text())
	}
	if p.skip(`,"device_timestamp":`) {
		r.Said = string(p.text())
	}
	if p.skip(`,"times":`) {
		p.members(func(name string) {
			p.expect(`"`)
			r.Times = append(r.Times, iot.MemberTime{Name: name, At: p.time()})
			p.expect(`"`)
		})
	}
	p.skip(`,"status":"online"`)
	p.expect(`}`)
	return r, !p.failed && len(p.rest) == 0
}

// skip reports whether text is next, and goes on behind it then.
func (p *parser) skip(text string) bool {
	if len(p.rest) < len(text) || string(p.rest[:len(text)]) != text {
		return false
	}
	p.rest = p.rest[len(text):]
	return true
}

func (p *parser) expect(text string) { p.failed = !p.skip(text) || p.failed }

// take returns the next n bytes, or fails and returns nil.
func (p *parser) take(n int) []byte {
	if n < 0 || n > len(p.rest) {
		p.failed = true
		return nil
	}
	taken := p.rest[:n]
	p.rest = p.rest[n:]
	return taken
}

// device reads an id: digits.
func (p *parser) device() iot.DeviceID {
	n := 0
	for n < len(p.rest) && isDigit(p.rest[n]) {
		n++
	}
	digits := p.take(n)
	id, err := iot.ParseDeviceID(string(digits))
	p.failed = p.failed || err != nil || digits[0] == '0' // which no number of JSON begins with
	return id
}

// number reads a number, or null, for which it returns false.
func (p *parser) number() (value float64, ok bool) {
	if p.skip("null") {
		return 0, false
	}
	n := 0
	for n < len(p.rest) && (isDigit(p.rest[n]) || strings.IndexByte("+-.e", p.rest[n]) >= 0) {
		n++
	}
	digits := p.take(n)
	value, err := strconv.ParseFloat(string(digits), 64)
	if len(digits) > 0 && digits[0] == '-' {
		digits = digits[1:]
	}
	// What ParseFloat takes, and JSON does not.
	odd := len(digits) == 0 || !isDigit(digits[0]) || len(digits) > 1 && digits[0] == '0' && isDigit(digits[1]) || slices.Contains(digits[len(digits)-1:], '.')
	p.failed = p.failed || err != nil || odd
	return value, true
}

// text reads a string without escapes.
func (p *parser) text() []byte {
	p.expect(`"`)
	for n, c := range p.rest {
		switch {
		case c == '"':
			text := p.take(n)
			p.expect(`"`)
			return text
		case c < ' ' || c == '\\':
			p.failed = true
			return nil
		}
	}
	p.failed = true
	return nil
}

// members reads an object that has members, whose values value reads.
func (p *parser) members(value func(name string)) {
	p.expect(`{`)
	for !p.failed {
		name := string(p.text())
		p.expect(`:`)
		value(name)
		if !p.skip(`,`) {
			break
		}
	}
	p.expect(`}`)
}

// time reads what AppendTime writes.
func (p *parser) time() time.Time {
	year := p.digits(4)
	p.expect("-")
	month := p.digits(2)
	p.expect("-")
	day := p.digits(2)
	p.expect("T")
	hour := p.digits(2)
	p.expect(":")
	minute := p.digits(2)
	p.expect(":")
	second := p.digits(2)
	p.expect(".")
	millis := p.digits(3)
	p.expect("Z")
	t := time.Date(year, time.Month(month), day, hour, minute, second, millis*int(time.Millisecond), time.UTC)
	// Date takes the 30th of February for a day in March.
	if _, m, d := t.Date(); int(m) != month || d != day || hour > 23 || minute > 59 || second > 59 {
		p.failed = true
	}
	return t
}

// digits reads a number of n digits.
func (p *parser) digits(n int) (value int) {
	for _, c := range p.take(n) {
		p.failed = p.failed || !isDigit(c)
		value = value*10 + int(c-'0')
	}
	return value
}

func isDigit(c byte) bool { return c-'0' <= 9 }
