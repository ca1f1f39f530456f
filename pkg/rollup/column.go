package rollup

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

// A column is up to 96 numbers: the least of them, and in groups how much greater each one is, in as many bits as the
// greatest of the group needs. Where all are the same, nothing but that follows.
const group = 16

// appendColumn appends column to dst; it changes column.
func appendColumn(dst []byte, column []uint64) []byte {
	least, greatest := slices.Min(column), slices.Max(column)
	if least >= 1<<63 {
		least = 0
	}
	if least == greatest {
		return binary.AppendUvarint(dst, least<<1)
	}
	dst = binary.AppendUvarint(dst, least<<1|1)
	for len(column) > 0 {
		part := column[:min(group, len(column))]
		column = column[len(part):]
		set := uint64(0)
		for i := range part {
			part[i] -= least
			set |= part[i]
		}
		width := bits.Len64(set)
		dst = append(dst, byte(width))
		dst = appendBits(dst, part, width)
	}
	return dst
}

// appendBits appends the last width bits of each number, the first at the low end, up to a whole byte.
func appendBits(dst []byte, numbers []uint64, width int) []byte {
	pending, n := uint64(0), 0 // n < 64 bits that are not in dst yet
	for _, x := range numbers {
		pending |= x << n
		if n += width; n >= 64 {
			dst = binary.LittleEndian.AppendUint64(dst, pending)
			n -= 64
			pending = x >> (width - n)
		}
	}
	for ; n > 0; n -= 8 {
		dst = append(dst, byte(pending))
		pending >>= 8
	}
	return dst
}

// readColumn reads a column of len(column) numbers from the start of data, and returns what follows; nil where that
// is none. data has 8 bytes more than what may be read.
func readColumn(column []uint64, data []byte) []byte {
	head, n := binary.Uvarint(data)
	if n <= 0 {
		return nil
	}
	data = data[n:]
	least := head >> 1
	if head&1 == 0 {
		for i := range column {
			column[i] = least
		}
		return data
	}
	for len(column) > 0 {
		part := column[:min(group, len(column))]
		column = column[len(part):]
		if len(data) == 0 {
			return nil
		}
		width := uint(data[0])
		size := (len(part)*int(width) + 7) / 8
		if width > 64 || len(data) < 1+size+8 {
			return nil
		}
		readBits(part, data[1:], width, least)
		data = data[1+size:]
	}
	return data
}

// readBits is the inverse of appendBits, and adds least to each number. It reads up to 8 bytes more than that wrote.
func readBits(numbers []uint64, data []byte, width uint, least uint64) {
	mask := uint64(1)<<width - 1 // all ones where width is 64
	for i := range numbers {
		bit := uint(i) * width
		x := binary.LittleEndian.Uint64(data[bit/8:]) >> (bit % 8)
		if bit%8+width > 64 {
			x |= uint64(data[bit/8+8]) << (64 - bit%8)
		}
		numbers[i] = least + x&mask
	}
}

// zigzag makes small unsigned numbers of numbers around zero.
func zigzag(i int64) uint64   { return uint64(i)<<1 ^ uint64(i>>63) }
func unzigzag(u uint64) int64 { return int64(u>>1) ^ -int64(u&1) }
