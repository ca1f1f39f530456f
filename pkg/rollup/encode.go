package rollup

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"slices"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// version is the first byte of an encoded day. Whatever later ones are, they end with the checksum.
const version = 1

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// What columns a metric has in common with the first one of the day, instead of its own.
const (
	sameQuarters = 1 << iota
	sameCounts
	sameTimes
)

// perDay is the number of quarters in a day.
const perDay = int(dayLong / quarter)

// common are the columns that metrics may have in common: which quarters there are, how many values each has, and
// when the first and last of them were measured, in milliseconds since the start of the quarter.
type common struct {
	n                   int
	at                  [perDay]uint8
	counts, first, last [perDay]uint64
}

// AppendBinary appends d, encoded as format.md says.
func (d *Day) AppendBinary(dst []byte) []byte {
	begin := len(dst)
	dst = append(dst, version)
	dst = binary.AppendVarint(dst, d.Start/dayLong)
	dst = binary.AppendUvarint(dst, uint64(len(d.Metrics)))
	body := make([]byte, 0, 1024)
	var first, own common
	for i, m := range d.Metrics {
		c := &own
		if i == 0 {
			c = &first
		}
		d.columns(c, m)
		size := len(body)
		body = c.append(body, &first)
		s := scaleOf(extremes(m.Quarters))
		body = appendValues(body, s, m.Quarters)

		dst = binary.AppendUvarint(dst, uint64(len(m.Name)))
		dst = append(dst, m.Name...)
		dst = append(dst, byte(s))
		dst = d.appendTotal(dst, s, m.Quarters)
		dst = binary.AppendUvarint(dst, uint64(len(body)-size))
	}
	dst = append(dst, body...)
	return binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[begin:], castagnoli))
}

// columns fills c from m.
func (d *Day) columns(c *common, m Metric) {
	c.n = len(m.Quarters)
	last := int64(-1)
	for i, b := range m.Quarters {
		at := (b.Start - d.Start) / quarter
		if at <= last || at >= int64(perDay) || b.Start != d.Start+at*quarter || b.Count <= 0 {
			panic(fmt.Sprintf("rollup: quarter %d, %+v, of the day from %d on", i, b, d.Start))
		}
		last = at
		c.at[i] = uint8(at)
		c.counts[i], c.first[i], c.last[i] = uint64(b.Count), uint64(b.FirstAt-b.Start), uint64(b.LastAt-b.Start)
	}
}

// append appends what is not the same in first, which may be c itself.
func (c *common) append(dst []byte, first *common) []byte {
	n, same := c.n, byte(0)
	if c != first && slices.Equal(c.at[:n], first.at[:first.n]) {
		same = sameQuarters
		if slices.Equal(c.counts[:n], first.counts[:n]) {
			same |= sameCounts
		}
		if slices.Equal(c.first[:n], first.first[:n]) && slices.Equal(c.last[:n], first.last[:n]) {
			same |= sameTimes
		}
	}
	dst = append(dst, same)
	if same&sameQuarters == 0 {
		var set [perDay / 8]byte
		for _, at := range c.at[:n] {
			set[at/8] |= 1 << (at % 8)
		}
		dst = append(dst, set[:]...)
	}
	var column [perDay]uint64 // appendColumn changes it
	if same&sameCounts == 0 {
		dst = appendColumn(dst, column[:copy(column[:], c.counts[:n])])
	}
	if same&sameTimes == 0 {
		dst = appendColumn(dst, column[:copy(column[:], c.first[:n])])
		dst = appendColumn(dst, column[:copy(column[:], c.last[:n])])
	}
	return dst
}

// extremes are the values that are stored by a scale.
func extremes(quarters []iot.Bucket) []float64 {
	values := make([]float64, 0, 4*perDay)
	for _, b := range quarters {
		values = append(values, b.Min, b.Max, b.First, b.Last)
	}
	return values
}

// appendValues appends the columns of values: the first one of each quarter as it differs from the last one of the
// quarter before, the others as they differ from one another within a quarter.
func appendValues(dst []byte, s scale, quarters []iot.Bucket) []byte {
	var firsts, below, above, lasts, decimals, bits [perDay]uint64
	before := int64(0)
	for i, b := range quarters {
		first, last, low, high := s.integer(b.First), s.integer(b.Last), s.integer(b.Min), s.integer(b.Max)
		firsts[i] = zigzag(first - before)
		below[i], above[i], lasts[i] = uint64(first-low), uint64(high-first), uint64(last-low)
		d, l := s.sum(b.Sum, b.Count, low, high)
		decimals[i], bits[i] = zigzag(d), zigzag(l)
		before = last
	}
	for _, column := range []*[perDay]uint64{&firsts, &below, &above, &lasts, &decimals, &bits} {
		dst = appendColumn(dst, column[:len(quarters)])
	}
	return dst
}

// appendTotal appends what quarters come to.
func (d *Day) appendTotal(dst []byte, s scale, quarters []iot.Bucket) []byte {
	total := iot.Bucket{Start: d.Start}
	for _, b := range quarters {
		Merge(&total, b)
	}
	dst = binary.AppendUvarint(dst, uint64(total.Count))
	dst = binary.AppendUvarint(dst, uint64(total.FirstAt-d.Start))
	dst = binary.AppendUvarint(dst, uint64(total.LastAt-d.Start))
	for _, v := range []float64{total.Min, total.Max, total.First, total.Last} {
		dst = binary.AppendVarint(dst, s.integer(v))
	}
	return binary.LittleEndian.AppendUint64(dst, math.Float64bits(total.Sum))
}
