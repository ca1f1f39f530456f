package rollup

import (
	"math"
	"math/bits"
)

// A scale turns the values of a metric into integers and back, to the bit. Up to maxDecimals it is a number of
// decimals: values with so many become their multiples of it. From asBits on it is asBits and a number of bits: any
// values at all become the bits of their doubles, in the order of values, without so many at the end that are zero
// in all of them.
type scale uint8

const (
	maxDecimals scale = 15
	asBits      scale = 16 // to 79
	scales      scale = asBits + 64
	exact             = 1 << 53 // integers below it are doubles
)

var powers = [maxDecimals + 1]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15}

// scaleOf returns the scale that suits values best.
func scaleOf(values []float64) scale {
	s := scale(0)
	for _, v := range values {
		for ; s <= maxDecimals; s++ {
			if _, ok := s.decimal(v); ok {
				break
			}
		}
	}
	set := uint64(0)
	fits := s <= maxDecimals
	for _, v := range values {
		set |= math.Float64bits(v)
		if fits {
			_, fits = s.decimal(v)
		}
	}
	if fits {
		return s
	}
	return asBits + scale(min(bits.TrailingZeros64(set), 63))
}

// decimal returns the multiple of the last decimal that v is, and whether it is one.
func (s scale) decimal(v float64) (int64, bool) {
	x := math.RoundToEven(v * powers[s])
	if !(math.Abs(x) < exact) {
		return 0, false
	}
	return int64(x), math.Float64bits(float64(int64(x))/powers[s]) == math.Float64bits(v)
}

// integer is the integer of a value that s suits.
func (s scale) integer(v float64) int64 {
	if s < asBits {
		i, _ := s.decimal(v)
		return i
	}
	return ordered(int64(math.Float64bits(v))>>(s-asBits), s)
}

// value is the inverse of integer.
func (s scale) value(i int64) float64 {
	if s < asBits {
		return float64(i) / powers[s]
	}
	return math.Float64frombits(uint64(ordered(i, s)) << (s - asBits))
}

// ordered turns the bits of doubles into integers of the same order, and back.
func ordered(i int64, s scale) int64 {
	if i < 0 {
		i ^= 1<<(63-(s-asBits)) - 1
	}
	return i
}

// sum returns two integers for the sum of a bucket, which are small where it is as its count and middle make one
// expect: by how many last decimals, and by how many last bits it is another one.
func (s scale) sum(sum float64, count, low, high int64) (decimals, last int64) {
	middle := s.middle(count, low, high)
	if s < asBits {
		if x := math.RoundToEven(sum * powers[s]); math.Abs(x) < exact {
			decimals = int64(x) - middle
		}
	}
	expected := s.expected(decimals, count, low, high)
	return decimals, ordered(int64(math.Float64bits(sum)), asBits) - ordered(int64(math.Float64bits(expected)), asBits)
}

// sumOf is the inverse of sum.
func (s scale) sumOf(decimals, last, count, low, high int64) float64 {
	expected := s.expected(decimals, count, low, high)
	return math.Float64frombits(uint64(ordered(ordered(int64(math.Float64bits(expected)), asBits)+last, asBits)))
}

// middle is in decimals. Where it overflows it is just any number, the same in both directions.
func (s scale) middle(count, low, high int64) int64 { return count * (low + high) / 2 }

// expected must come out the same on every machine: the conversions keep products from being rounded with sums.
func (s scale) expected(decimals, count, low, high int64) float64 {
	if s < asBits {
		return float64(s.middle(count, low, high)+decimals) / powers[s]
	}
	middle := float64(s.value(low)/2) + float64(s.value(high)/2)
	return float64(count) * middle
}
