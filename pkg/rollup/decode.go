package rollup

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"math/bits"
	"slices"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// The errors of a Reader, beside which there are none.
var (
	ErrDamaged = errors.New("a day's rollup is damaged")
	ErrLater   = errors.New("a day's rollup was written by a later version of Telltale")
)

// Total is what the values of a metric come to in a day.
type Total struct {
	Name   string
	Bucket iot.Bucket // its Start is the day's
}

// Reader reads an encoded Day. A Reader that is used for day after day takes hardly any memory.
type Reader struct {
	Start  int64   // of the day
	Totals []Total // of its metrics, ascending by name; those of days before are overwritten

	data    []byte // a copy, with spare bytes behind it
	columns []columns
	first   common // of the first metric
	rest    []byte // what follows these; nil: they were not read yet
	own     common // of another one
}

// columns is where those of a metric are.
type columns struct {
	scale scale
	data  []byte // and what follows, at least 8 bytes
}

// Reset has r read data, which it does not keep.
func (r *Reader) Reset(data []byte) error {
	r.Totals, r.columns, r.rest = r.Totals[:0], r.columns[:0], nil
	body := len(data) - 4
	switch {
	case body < 1 || crc32.Checksum(data[:body], castagnoli) != binary.LittleEndian.Uint32(data[body:]):
		return ErrDamaged
	case data[0] != version:
		return fmt.Errorf("%w: version %d", ErrLater, data[0])
	}
	r.data = append(append(r.data[:0], data[:body]...), 0, 0, 0, 0, 0, 0, 0, 0)
	if !r.header(body) {
		r.Totals = r.Totals[:0]
		return ErrDamaged
	}
	return nil
}

// header reads what is before the columns, in the first size bytes; it reports whether it can be.
func (r *Reader) header(size int) bool {
	h := header{data: r.data[1:size], ok: true}
	day := h.varint()
	r.Start = day * dayLong
	n := h.uvarint()
	if !h.ok || day != r.Start/dayLong || n > uint64(len(h.data)) {
		return false
	}
	var sizes []int
	if n > 0 {
		sizes = make([]int, 0, min(n, 16))
	}
	for range n {
		name := h.bytes(h.uvarint())
		var c columns
		if c.scale = scale(h.byte()); c.scale >= scales {
			return false
		}
		b := iot.Bucket{Start: r.Start, Count: int64(h.uvarint()), FirstAt: r.Start + int64(h.uvarint()), LastAt: r.Start + int64(h.uvarint())}
		for _, v := range []*float64{&b.Min, &b.Max, &b.First, &b.Last} {
			*v = c.scale.value(h.varint())
		}
		b.Sum = math.Float64frombits(h.uint64())
		sizes = append(sizes, int(h.uvarint()))
		if !h.ok {
			return false
		}
		r.columns = append(r.columns, c)
		r.addTotal(name, b)
	}
	at := size - len(h.data)
	for i, n := range sizes {
		if n < 0 || n > size-at {
			return false
		}
		r.columns[i].data = r.data[at:][:n+8]
		at += n
	}
	return at == size
}

// addTotal makes a string of name unless the metric of the day before had the same one.
func (r *Reader) addTotal(name []byte, b iot.Bucket) {
	n := len(r.Totals)
	if n < cap(r.Totals) {
		r.Totals = r.Totals[:n+1]
	} else {
		r.Totals = append(r.Totals, Total{})
	}
	t := &r.Totals[n]
	if t.Name != string(name) {
		t.Name = string(name)
	}
	t.Bucket = b
}

// Append appends the quarters of the metric r.Totals[i].
func (r *Reader) Append(dst []iot.Bucket, i int) ([]iot.Bucket, error) {
	if r.rest == nil {
		if r.rest = r.first.readFrom(r.columns[0].data, nil); r.rest == nil {
			return dst, ErrDamaged
		}
	}
	c, data := &r.first, r.rest
	if i > 0 {
		c = &r.own
		data = c.readFrom(r.columns[i].data, &r.first)
	}
	var values [6][perDay]uint64
	for k := range values {
		if data != nil {
			data = readColumn(values[k][:c.n], data)
		}
	}
	if data == nil || len(data) != 8 {
		return dst, ErrDamaged
	}
	dst = slices.Grow(dst, c.n)
	s, before := r.columns[i].scale, int64(0)
	for k := range c.n {
		first := before + unzigzag(values[0][k])
		low, high := first-int64(values[1][k]), first+int64(values[2][k])
		last := low + int64(values[3][k])
		before = last
		count, start := int64(c.counts[k]), r.Start+int64(c.at[k])*quarter
		dst = append(dst, iot.Bucket{
			Start: start, Count: count, FirstAt: start + int64(c.first[k]), LastAt: start + int64(c.last[k]),
			Min: s.value(low), Max: s.value(high), First: s.value(first), Last: s.value(last),
			Sum: s.sumOf(unzigzag(values[4][k]), unzigzag(values[5][k]), count, low, high),
		})
	}
	return dst, nil
}

// Decode returns the whole day.
func Decode(data []byte) (Day, error) {
	var r Reader
	if err := r.Reset(data); err != nil {
		return Day{}, err
	}
	d := Day{Start: r.Start, Metrics: make([]Metric, len(r.Totals))}
	for i, t := range r.Totals {
		quarters, err := r.Append(nil, i)
		if err != nil {
			return Day{}, err
		}
		d.Metrics[i] = Metric{Name: t.Name, Quarters: quarters}
	}
	return d, nil
}

// readFrom reads what data has of c, and takes the rest from first. It returns what follows; nil where data is none.
func (c *common) readFrom(data []byte, first *common) []byte {
	if len(data) < 1+8 {
		return nil
	}
	same := data[0]
	data = data[1:]
	if first == nil && same != 0 || same >= 1<<3 || same&sameQuarters == 0 && same != 0 {
		return nil
	}
	if same&sameQuarters != 0 {
		c.n, c.at = first.n, first.at
	} else {
		if len(data) < perDay/8+8 {
			return nil
		}
		c.n = 0
		for i, set := range data[:perDay/8] {
			for ; set != 0; set &= set - 1 {
				c.at[c.n] = uint8(i*8 + bits.TrailingZeros8(set))
				c.n++
			}
		}
		if data = data[perDay/8:]; c.n == 0 {
			return nil
		}
	}
	if same&sameCounts != 0 {
		c.counts = first.counts
	} else {
		data = readColumn(c.counts[:c.n], data)
	}
	if same&sameTimes != 0 {
		c.first, c.last = first.first, first.last
	} else if data != nil {
		if data = readColumn(c.first[:c.n], data); data != nil {
			data = readColumn(c.last[:c.n], data)
		}
	}
	return data
}

// header reads the parts of one, until they are not ok.
type header struct {
	data []byte
	ok   bool
}

func (h *header) uvarint() uint64 {
	u, n := binary.Uvarint(h.data)
	return take(h, u, n)
}

func (h *header) varint() int64 {
	i, n := binary.Varint(h.data)
	return take(h, i, n)
}

func take[T int64 | uint64](h *header, x T, n int) T {
	if n <= 0 {
		h.ok, h.data = false, nil
		return 0
	}
	h.data = h.data[n:]
	return x
}

func (h *header) bytes(n uint64) []byte {
	if n > uint64(len(h.data)) {
		h.ok, h.data = false, nil
		return nil
	}
	b := h.data[:n]
	h.data = h.data[n:]
	return b
}

func (h *header) byte() byte {
	if b := h.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (h *header) uint64() uint64 {
	if b := h.bytes(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}
