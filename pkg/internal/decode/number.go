package decode

import (
	"math"
	"strconv"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// Decimal is a number as it is written, ±mantissa × 10^exponent: nothing is rounded yet.
type Decimal struct {
	Text     []byte // in the payload
	mantissa uint64 // the first 19 significant digits; those behind them are in the exponent
	exponent int
	negative bool
	cut      bool // a digit other than 0 is missing from the mantissa
}

// IsDigit reports whether c is an ASCII digit.
func IsDigit(c byte) bool { return c-'0' <= 9 }

// fullMantissa is the least mantissa that has no room for another digit.
const fullMantissa = 1e18

// Number reads a number by JSON's grammar. The zero Decimal stands for one that is none, by a flaw.
func (s *Scanner) Number() (d Decimal, ok bool) {
	text, i := s.Text, s.Pos
	if text[i] == '-' {
		d.negative = true
		i++
	}
	digits := i
	for ; i < len(text) && IsDigit(text[i]); i++ {
		if d.mantissa < fullMantissa {
			d.mantissa = d.mantissa*10 + uint64(text[i]-'0')
		} else {
			d.exponent++
			d.cut = d.cut || text[i] != '0'
		}
	}
	switch {
	case i == digits:
		if i < len(text) && (text[i]|0x20 == 'n' || text[i]|0x20 == 'i') {
			return Decimal{}, s.Word() != 0
		}
		s.Pos = i
		return d, s.unexpected("a digit")
	case text[digits] == '0' && i > digits+1:
		s.Pos = digits + 1
		return d, s.unexpected("nothing more of a number that begins with 0")
	}
	if i < len(text) && text[i] == '.' {
		point := i
		for i++; i < len(text) && IsDigit(text[i]); i++ {
			if d.mantissa < fullMantissa {
				d.mantissa = d.mantissa*10 + uint64(text[i]-'0')
				d.exponent--
			} else {
				d.cut = d.cut || text[i] != '0'
			}
		}
		if i == point+1 {
			s.Pos = i
			return d, s.unexpected("a digit after the point")
		}
	}
	if i < len(text) && text[i]|0x20 == 'e' {
		e, n := exponent(text[i+1:])
		i += 1 + n
		if n == 0 || !IsDigit(text[i-1]) {
			s.Pos = i
			return d, s.unexpected("a digit of the exponent")
		}
		d.exponent += e
	}
	d.Text = text[s.Pos:i]
	s.Pos = i
	return d, true
}

// exponent reads an exponent's sign and digits, and how many bytes they are. It stops counting, not
// reading, far beyond what the digits of any payload can make up for.
func exponent(b []byte) (e, n int) {
	negative := len(b) > 0 && b[0] == '-'
	if negative || len(b) > 0 && b[0] == '+' {
		n++
	}
	for ; n < len(b) && IsDigit(b[n]); n++ {
		if e < 100*MaxBytes {
			e = e*10 + int(b[n]-'0')
		}
	}
	if negative {
		e = -e
	}
	return e, n
}

// Powers of ten that are exact, as a float and as an integer.
var (
	floatPowers = [...]float64{
		1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
		1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
	}
	intPowers = [...]uint64{
		1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9,
		1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19,
	}
)

// Float returns the float that is nearest to d, as strconv does, or false where d is beyond the greatest.
func (d Decimal) Float() (float64, bool) {
	// With both the mantissa and the power of ten exact, a single operation rounds once, and thus
	// correctly (Clinger 1990). Nearly all measurements are like this.
	if d.mantissa <= 1<<53 && !d.cut && -len(floatPowers) < d.exponent && d.exponent < len(floatPowers) {
		f := float64(d.mantissa)
		if d.negative {
			f = -f
		}
		if d.exponent < 0 {
			return f / floatPowers[-d.exponent], true
		}
		return f * floatPowers[d.exponent], true
	}
	f, err := strconv.ParseFloat(string(d.Text), 64)
	return f, err == nil
}

// DeviceID returns d as a device id, if it is exactly an integer in the range of those.
func (d Decimal) DeviceID() (iot.DeviceID, bool) {
	m, e := d.mantissa, d.exponent
	for ; e < 0 && m%10 == 0 && m > 0; e++ {
		m /= 10
	}
	for ; e > 0 && m > 0 && m <= uint64(iot.MaxDeviceID); e-- {
		m *= 10
	}
	id := iot.DeviceID(m)
	return id, e == 0 && !d.negative && !d.cut && m <= uint64(iot.MaxDeviceID) && id.Valid()
}

// EpochMillis returns the moment that d counts to from 1970, in milliseconds without their fraction. What
// it counts follows from its size: as seconds, 11 digits reach to the year 5138; as anything smaller they
// would end in 1973, before there were devices.
func (d Decimal) EpochMillis() (int64, bool) {
	digits := d.exponent // before the point
	for _, p := range intPowers {
		if d.mantissa < p {
			break
		}
		digits++
	}
	switch {
	case d.negative || d.mantissa == 0 || digits > 20:
		return 0, false
	case digits <= 11:
		return d.Millis(Seconds)
	case digits <= 14:
		return d.Millis(Milliseconds)
	case digits <= 17:
		return d.Millis(Microseconds)
	default:
		return d.Millis(Nanoseconds)
	}
}

// Unit is what a number of time counts: the power of ten that makes milliseconds of it.
type Unit int

// The units of time that devices send.
const (
	Seconds      Unit = 3
	Milliseconds Unit = 0
	Microseconds Unit = -3
	Nanoseconds  Unit = -6
)

// Millis returns the milliseconds, without their fraction, that d is in a unit; false where an int64 has no room for
// them.
func (d Decimal) Millis(unit Unit) (int64, bool) {
	e, m := d.exponent+int(unit), d.mantissa
	switch {
	case m == 0 || -e >= len(intPowers):
		return 0, true
	case e >= len(intPowers) || e > 0 && m > math.MaxInt64/intPowers[e]:
		return 0, false
	case e >= 0:
		m *= intPowers[e]
	default:
		m /= intPowers[-e]
	}
	if m > math.MaxInt64 {
		return 0, false
	}
	if d.negative {
		return -int64(m), true
	}
	return int64(m), true
}

// ParseNumber reads a text that is one number by JSON's grammar, and nothing more.
func ParseNumber(text []byte) (d Decimal, ok bool) {
	if len(text) == 0 || text[0] != '-' && !IsDigit(text[0]) {
		return d, false
	}
	s := Scanner{Text: text}
	d, ok = s.Number()
	return d, ok && s.Pos == len(text) && d.Text != nil
}
