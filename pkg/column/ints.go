package column

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

// Codings of a column of integers.
const (
	constant = iota
	offset
	delta
	fixed
)

// appendInts appends the column of values. Arithmetic wraps around: differences may be of any two integers.
func appendInts(dst []byte, values []int64) []byte {
	if isZero(values) {
		return dst
	}
	coding, base := predict(values)
	start := len(dst)
	dst = binary.AppendVarint(append(dst, byte(coding)), base)
	header := len(dst)
	dst = slices.Grow(dst, len(values)*binary.MaxVarintLen64)
	body := dst[header : header+len(values)*binary.MaxVarintLen64]
	n, all, previous := 0, uint64(0), int64(0)
	for _, v := range values {
		d := v - base - previous
		if coding == delta {
			previous = v
		}
		z := zigzag(d)
		all |= z
		if z < 0x80 {
			body[n] = byte(z)
			n++
		} else {
			n += binary.PutUvarint(body[n:], z)
		}
	}
	switch {
	case all == 0 && coding == offset:
		dst[start] = constant
		return dst
	case n > 8*len(values):
		dst = append(dst[:start], fixed)
		for _, v := range values {
			dst = binary.LittleEndian.AppendUint64(dst, uint64(v))
		}
		return dst
	}
	return dst[:header+n]
}

func isZero(values []int64) bool {
	for _, v := range values {
		if v != 0 {
			return false
		}
	}
	return true
}

// predict returns the coding for which a sample of the values takes fewer bits, and its base.
func predict(values []int64) (coding int, base int64) {
	const forBase, forBits = 9, 256
	step := len(values)/forBase + 1
	var room, roomOfDeltas [forBase]int64
	sample, deltas := room[:0], roomOfDeltas[:0]
	for i := 0; i < len(values); i += step {
		sample = append(sample, values[i])
		if i > 0 {
			deltas = append(deltas, values[i]-values[i-1])
		}
	}
	base = median(sample)
	if len(deltas) == 0 {
		return offset, base
	}
	baseOfDeltas := median(deltas)
	var offsetBits, deltaBits int
	for i := 1; i < len(values); i += len(values)/forBits + 1 {
		offsetBits += bits.Len64(zigzag(values[i] - base))
		deltaBits += bits.Len64(zigzag(values[i] - values[i-1] - baseOfDeltas))
	}
	if deltaBits < offsetBits {
		return delta, baseOfDeltas
	}
	return offset, base
}

// median sorts values and returns the middle one.
func median(values []int64) int64 {
	slices.Sort(values)
	return values[len(values)/2]
}

func zigzag(v int64) uint64   { return uint64(v)<<1 ^ uint64(v>>63) }
func unzigzag(z uint64) int64 { return int64(z>>1) ^ -int64(z&1) }

// ints reads a column of integers into values.
func (r *reader) ints(values []int64) {
	if len(r.rest) == 0 {
		clear(values)
		return
	}
	coding := r.byte()
	if coding == fixed {
		for i, bytes := 0, r.bytes(8*len(values)); i < len(values) && r.err == nil; i++ {
			values[i] = int64(binary.LittleEndian.Uint64(bytes[8*i:]))
		}
		return
	}
	base := r.signed()
	switch coding {
	case constant:
		for i := range values {
			values[i] = base
		}
	case offset, delta:
		rest, carry := r.rest, int64(0)
		if coding == delta {
			carry = -1
		}
		previous := int64(0)
		for i := range values {
			if len(rest) == 0 {
				r.fail()
				return
			}
			z := uint64(rest[0])
			if z < 0x80 {
				rest = rest[1:]
			} else {
				var n int
				if z, n = binary.Uvarint(rest); n <= 0 {
					r.fail()
					return
				}
				rest = rest[n:]
			}
			v := previous + base + unzigzag(z)
			values[i] = v
			previous = v & carry // that of an offset is 0
		}
		r.rest = rest
	default:
		r.fail()
	}
}
