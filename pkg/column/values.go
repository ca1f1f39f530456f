package column

import (
	"encoding/binary"
	"math"
	"slices"
)

// Flags of a metric's column.
const (
	flagSparse     = 1 << iota // some rows have no value
	flagRaw                    // the values' bits, else decimal
	flagFloat32                // decimal, of what was a float32
	flagExceptions             // decimal, some values are not
)

// powers are the powers of ten that a float64 has exactly.
var powers = [...]float64{
	1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
}

// decimal is a way to make integers of values: times 10 to the power of exponent.
type decimal struct {
	exponent int
	float32  bool // the integer divided is the nearest float64 of it, or the float64 of the nearest float32
}

// maxInteger bounds the integers. Up to it, a float64 has each of them, so that the quotient is what reading the
// decimal number would give.
const maxInteger = 1 << 53

// integer returns the integer of v, and whether it comes back as v, to the bit.
func (d decimal) integer(v float64) (int64, bool) {
	power := powers[d.exponent]
	scaled := math.RoundToEven(v * power)
	if !(math.Abs(scaled) <= maxInteger) {
		return 0, false
	}
	back := scaled / power
	if d.float32 {
		back = float64(float32(back))
	}
	n := int64(scaled)
	return n, math.Float64bits(back) == math.Float64bits(v) && (n != 0 || math.Float64bits(v) == 0)
}

// float64s sets values to what the integers are.
func (d decimal) float64s(values []float64, integers []int64) {
	power := powers[d.exponent]
	values = values[:len(integers)]
	if d.float32 {
		for i, n := range integers {
			values[i] = float64(float32(float64(n) / power))
		}
		return
	}
	for i, n := range integers {
		values[i] = float64(n) / power
	}
}

// appendValues appends the values of a metric's column, and returns the flags that say how.
func (e *encoder) appendValues(dst []byte, values []float64) (_ []byte, flags byte) {
	d, ok := chooseDecimal(values)
	if !ok {
		return appendRaw(dst, values), flagRaw
	}
	start := len(dst)
	dst = append(dst, byte(d.exponent))
	if d.float32 {
		flags |= flagFloat32
	}
	e.integers, e.exceptions = slices.Grow(e.integers[:0], len(values)), e.exceptions[:0]
	last := int64(0)
	for i, v := range values {
		n, ok := d.integer(v)
		if !ok {
			if e.exceptions = append(e.exceptions, i); len(e.exceptions) > 1+len(values)/maxExceptions {
				return appendRaw(dst[:start], values), flagRaw
			}
			n = last // which takes the fewest bits
		}
		e.integers = append(e.integers, n)
		last = n
	}
	if len(e.exceptions) > 0 {
		flags |= flagExceptions
		dst = binary.AppendUvarint(dst, uint64(len(e.exceptions)))
		next := 0
		for _, i := range e.exceptions {
			dst = binary.AppendUvarint(dst, uint64(i-next))
			dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(values[i]))
			next = i + 1
		}
	}
	return appendInts(dst, e.integers), flags
}

// maxExceptions: with more than one exception in so many values, a column is raw.
const maxExceptions = 4

// chooseDecimal returns the decimal in which a sample of the values takes the least room, and whether there is one: a
// value that is not exact in it takes 9 bytes, and each digit more of an exponent 10/3 bits of every value.
func chooseDecimal(values []float64) (best decimal, ok bool) {
	const forSample, bitsOfException, bitsOfDigit = 32, 72, 10. / 3
	step := len(values)/forSample + 1
	cheapest := math.Inf(1)
	for _, float32 := range []bool{false, true} {
		var least [len(powers)]int // values for which this is the least exponent
		sampled, d := 0, decimal{float32: float32}
		for i := 0; i < len(values); i += step {
			sampled++
			if d.least(values[i]) {
				least[d.exponent]++
			} else {
				d.exponent = 0
			}
		}
		exact := 0
		for exponent, count := range least {
			if exact += count; count == 0 {
				continue
			}
			cost := bitsOfDigit*float64(exponent*sampled) + bitsOfException*float64(sampled-exact)
			if cost < cheapest && exact*maxExceptions >= sampled*(maxExceptions-1) {
				cheapest, best = cost, decimal{exponent, float32}
			}
		}
		if !math.IsInf(cheapest, 1) {
			break
		}
	}
	return best, !math.IsInf(cheapest, 1)
}

// least sets the exponent to the least one in which v is exact, and reports whether there is one. It begins at the
// one that is set, since neighbours have the same.
func (d *decimal) least(v float64) bool {
	if _, ok := d.integer(v); ok {
		for d.exponent > 0 {
			d.exponent--
			if _, ok := d.integer(v); !ok {
				d.exponent++
				break
			}
		}
		return true
	}
	for d.exponent++; d.exponent < len(powers); d.exponent++ {
		if _, ok := d.integer(v); ok {
			return true
		}
	}
	return false
}

// appendRaw appends the bits of values as they differ from those before: the first byte of all, then the second and so
// on, since the high bytes of neighbours are much the same.
func appendRaw(dst []byte, values []float64) []byte {
	start, n := len(dst), len(values)
	dst = slices.Grow(dst, 8*n)[:start+8*n]
	planes, previous := dst[start:], uint64(0)
	for i, v := range values {
		bits := math.Float64bits(v)
		z := zigzag(int64(bits - previous))
		previous = bits
		for plane := range 8 {
			planes[plane*n+i] = byte(z >> (8 * plane))
		}
	}
	return dst
}

// values reads what appendValues appended. It overwrites integers, which is as long.
func (r *reader) values(values []float64, flags byte, integers []int64) {
	if flags&flagRaw != 0 {
		r.raw(values)
		return
	}
	d := decimal{exponent: r.upTo(len(powers) - 1), float32: flags&flagFloat32 != 0}
	var exceptions []byte
	count := 0
	if flags&flagExceptions != 0 {
		count = r.upTo(len(values))
		exceptions = r.rest
		for range count {
			r.unsigned()
			r.bytes(8)
		}
	}
	r.ints(integers)
	d.float64s(values, integers)
	e := reader{rest: exceptions}
	for next := 0; count > 0 && r.err == nil; count-- {
		i := e.unsigned()
		if i >= uint64(len(values)-next) {
			r.fail()
			return
		}
		next += int(i)
		values[next] = math.Float64frombits(binary.LittleEndian.Uint64(e.bytes(8)))
		next++
	}
}

func (r *reader) raw(values []float64) {
	n := len(values)
	planes := r.bytes(8 * n)
	if planes == nil {
		return
	}
	previous := uint64(0)
	for i := range values {
		var z uint64
		for plane := range 8 {
			z |= uint64(planes[plane*n+i]) << (8 * plane)
		}
		previous += uint64(unzigzag(z))
		values[i] = math.Float64frombits(previous)
	}
}
