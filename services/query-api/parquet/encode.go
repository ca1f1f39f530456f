package parquet

import (
	"encoding/binary"
	"math/bits"
)

// levels are the definition or repetition levels of a page, 0 or 1, as runs.
type levels struct {
	runs []byte
	last byte
	run  uint64 // how many there are of last
}

// add adds n times a level.
func (l *levels) add(level byte, n int) {
	if n == 0 {
		return
	}
	if level != l.last {
		l.flush()
		l.last = level
	}
	l.run += uint64(n)
}

func (l *levels) flush() {
	if l.run > 0 {
		l.runs = append(binary.AppendUvarint(l.runs, l.run<<1), l.last)
		l.run = 0
	}
}

// appendTo appends the levels as a data page has them, and forgets them.
func (l *levels) appendTo(dst []byte) []byte {
	l.flush()
	dst = append(binary.LittleEndian.AppendUint32(dst, uint32(len(l.runs))), l.runs...)
	l.runs, l.last = l.runs[:0], 0
	return dst
}

// appendPacked appends values of so many bits each, the lowest bit first, filled up with zeros to a multiple of unit
// values, which is one of 8.
func appendPacked[T uint32 | uint64](dst []byte, values []T, width, unit int) []byte {
	var low uint64 // bits that are not in dst yet, fewer than 8 between values
	held := 0
	put := func(v uint64, width int) {
		low |= v << held
		for held += width; held >= 8; held -= 8 {
			dst = append(dst, byte(low))
			low >>= 8
		}
	}
	for _, v := range values {
		if width > 32 { // else it may not fit beside what is held
			put(uint64(v)&(1<<32-1), 32)
			put(uint64(v)>>32, width-32)
		} else {
			put(uint64(v), width)
		}
	}
	for n := len(values); n%unit != 0; n++ {
		if width > 32 {
			put(0, 32)
			put(0, width-32)
		} else {
			put(0, width)
		}
	}
	return dst
}

// appendIndexes appends the indexes into a dictionary of so many values, as a data page has them: as one packed run.
func appendIndexes(dst []byte, indexes []uint32, distinct int) []byte {
	width := max(1, bits.Len(uint(max(distinct-1, 0))))
	dst = append(dst, byte(width))
	dst = binary.AppendUvarint(dst, uint64((len(indexes)+7)/8)<<1|1)
	return appendPacked(dst, indexes, width, 8)
}

// The blocks of DELTA_BINARY_PACKED.
const (
	deltaBlock = 128 // values
	deltaMini  = 32  // of those, whose deltas are packed with the same width
)

// appendDeltas appends values by DELTA_BINARY_PACKED.
func appendDeltas(dst []byte, values []int64) []byte {
	dst = binary.AppendUvarint(dst, deltaBlock)
	dst = binary.AppendUvarint(dst, deltaBlock/deltaMini)
	dst = binary.AppendUvarint(dst, uint64(len(values)))
	if len(values) == 0 {
		return append(dst, 0)
	}
	dst = binary.AppendVarint(dst, values[0])
	var block [deltaBlock]uint64
	for last, rest := values[0], values[1:]; len(rest) > 0; {
		n := min(len(rest), deltaBlock)
		least := rest[0] - last
		for i, v := range rest[:n] {
			block[i] = uint64(v - last)
			least = min(least, v-last)
			last = v
		}
		rest = rest[n:]
		dst = binary.AppendVarint(dst, least)
		widths := len(dst)
		dst = append(dst, make([]byte, deltaBlock/deltaMini)...)
		for i := 0; i < n; i += deltaMini {
			mini, all := block[i:min(i+deltaMini, n)], uint64(0)
			for j := range mini {
				mini[j] -= uint64(least)
				all |= mini[j]
			}
			width := bits.Len64(all)
			dst[widths+i/deltaMini] = byte(width)
			dst = appendPacked(dst, mini, width, deltaMini)
		}
	}
	return dst
}
