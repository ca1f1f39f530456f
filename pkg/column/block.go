package column

import (
	"cmp"
	"errors"
	"math/bits"
	"reflect"
	"slices"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
)

var (
	// ErrDamaged means that a block is not as it was written.
	ErrDamaged = errors.New("a block of readings is not as it was written")
	// ErrVersion means that a block has a format that is not known.
	ErrVersion = errors.New("a block of readings was written by a later version of Telltale")
)

// Block is a decoded block. What its methods return is valid until it is reset, and not to be changed. It is for one
// goroutine at a time, until All has returned nil: then for any number.
type Block struct {
	device  iot.DeviceID
	times   []int64
	columns []span
	frames  []packedFrame
	room    []byte // of the frame that is read
	current int    // the frame in room, or -1
	all     bool   // all columns are decoded

	names                            []string
	metrics                          []metric
	received, stamped, moved, origin []int64
	key, said                        texts
	attributeNames                   []string
	attributes                       []texts
	integers                         []int64
}

// span is where a column is.
type span struct{ frame, from, to int }

type packedFrame struct {
	data   []byte
	size   int // of its columns
	packed int // the length of data where that is compressed, or 0
}

// metric is the column of a metric.
type metric struct {
	decoded bool
	values  []float64
	times   []int64  // of the values
	present []uint64 // a bit for each row that has a value; empty: all have
	ranks   []int32  // how many rows before those of each word of present have one
}

// The columns: names, times, metrics, then these, then attributes.
const (
	namesColumn = iota
	timesColumn
	firstMetric
)

const (
	receivedColumn = iota // of those behind the metrics
	stampedColumn
	movedColumn
	originColumn
	keyColumn
	saidColumn
	firstAttribute
)

// Decode returns the block that Encode appended as data, which it reads from later too.
func Decode(data []byte) (*Block, error) {
	b := new(Block)
	if err := b.Reset(data); err != nil {
		return nil, err
	}
	return b, nil
}

// Reset makes b the block of data, in the memory that it has.
func (b *Block) Reset(data []byte) error {
	body, err := open(data)
	if err != nil {
		return err
	}
	r := reader{rest: body}
	b.device = iot.DeviceID(r.unsigned())
	rows := r.upTo(MaxRows)
	metrics, attributes := r.upTo(maxMembers), r.upTo(maxMembers)
	if r.err != nil || rows == 0 || (metrics+attributes)*rows > maxCells {
		return ErrDamaged
	}
	b.all, b.current = false, -1
	if err := b.layout(&r, firstMetric+metrics+firstAttribute+attributes); err != nil {
		return err
	}
	b.times = resize(b.times, rows)
	b.metrics = resize(b.metrics, metrics)
	for i := range b.metrics {
		b.metrics[i].decoded = false
	}
	b.attributes = resize(b.attributes, attributes)
	b.names, b.attributeNames = resize(b.names, metrics), resize(b.attributeNames, attributes)
	if err := b.column(namesColumn, func(r *reader) {
		r.names(b.names)
		r.names(b.attributeNames)
	}); err != nil {
		return err
	}
	if err := b.column(timesColumn, func(r *reader) { r.ints(b.times) }); err != nil {
		return err
	}
	for i := 1; i < rows; i++ {
		if b.times[i] <= b.times[i-1] {
			return ErrDamaged
		}
	}
	return nil
}

// layout reads where the columns are.
func (b *Block) layout(r *reader, columns int) error {
	if columns > len(r.rest) {
		return ErrDamaged
	}
	b.columns, b.frames = resize(b.columns, columns), b.frames[:0]
	total := 0
	for i := range b.columns {
		length := r.upTo(maxColumnBytes - total)
		total += length
		b.columns[i] = span{to: length}
	}
	for column := 0; column < columns; {
		count, packed := r.upTo(columns-column), r.upTo(len(r.rest))
		if count == 0 {
			return ErrDamaged
		}
		size := 0
		for i := range b.columns[column : column+count] {
			c := &b.columns[column+i]
			*c = span{frame: len(b.frames), from: size, to: size + c.to}
			size = c.to
		}
		b.frames = append(b.frames, packedFrame{size: size, packed: packed})
		column += count
	}
	for i := range b.frames {
		f := &b.frames[i]
		f.data = r.bytes(cmp.Or(f.packed, f.size))
	}
	return r.end()
}

// column has read read the column at index.
func (b *Block) column(index int, read func(*reader)) error {
	c := b.columns[index]
	f := b.frames[c.frame]
	raw := f.data
	if f.packed > 0 {
		if b.current != c.frame {
			b.current = -1
			room, err := decompress(b.room, f.data, f.size)
			if err != nil {
				return err
			}
			b.room, b.current = room, c.frame
		}
		raw = b.room
	}
	r := reader{rest: raw[c.from:c.to]}
	read(&r)
	return r.end()
}

// Device returns whose readings they are.
func (b *Block) Device() iot.DeviceID { return b.device }

// Len returns the number of rows.
func (b *Block) Len() int { return len(b.times) }

// Times returns At of the rows, in ms since 1970: they ascend.
func (b *Block) Times() []int64 { return b.times }

// Find returns the row of a time, or where it would be, and whether there is one.
func (b *Block) Find(at int64) (row int, ok bool) { return slices.BinarySearch(b.times, at) }

// Metrics returns the names of the metrics, ascending.
func (b *Block) Metrics() []string { return b.names }

// Attributes returns the names of the attributes, ascending.
func (b *Block) Attributes() []string { return b.attributeNames }

// Metric returns the values of a metric and their times, ascending; none where no row has it.
func (b *Block) Metric(name string) (times []int64, values []float64, err error) {
	i, ok := slices.BinarySearch(b.names, name)
	if !ok {
		return nil, nil, nil
	}
	if err := b.metric(i); err != nil {
		return nil, nil, err
	}
	m := &b.metrics[i]
	if len(m.present) == 0 {
		return b.times, m.values, nil
	}
	return m.times, m.values, nil
}

// metric decodes the metric at index.
func (b *Block) metric(index int) error {
	m := &b.metrics[index]
	if m.decoded {
		return nil
	}
	err := b.column(firstMetric+index, func(r *reader) {
		flags := r.byte()
		count := len(b.times)
		m.present, m.ranks = m.present[:0], m.ranks[:0]
		if flags&flagSparse != 0 {
			m.present = resize(m.present, (count+63)/64)
			clear(m.present)
			count = r.present(m.present, count)
		}
		m.values, b.integers = resize(m.values, count), resize(b.integers, count)
		r.values(m.values, flags, b.integers)
	})
	if err != nil {
		return err
	}
	if len(m.present) > 0 {
		m.times = resize(m.times, len(m.values))[:0]
		for word, set := range m.present {
			m.ranks = append(m.ranks, int32(len(m.times)))
			for ; set != 0; set &= set - 1 {
				m.times = append(m.times, b.times[word*64+bits.TrailingZeros64(set)])
			}
		}
	}
	m.decoded = true
	return nil
}

// present reads which of the rows have a value, and returns how many.
func (r *reader) present(bitmap []uint64, rows int) (count int) {
	for row := 0; row < rows && r.err == nil; {
		row += r.upTo(rows - row)
		if row == rows {
			break
		}
		length := r.upTo(rows - row)
		if length == 0 {
			r.fail()
		}
		count += length
		for range length {
			bitmap[row/64] |= 1 << (row % 64)
			row++
		}
	}
	return count
}

// value returns the value of a row, if it has one.
func (m *metric) value(row int) (float64, bool) {
	if len(m.present) == 0 {
		return m.values[row], true
	}
	word, bit := m.present[row/64], uint64(1)<<(row%64)
	if word&bit == 0 {
		return 0, false
	}
	return m.values[int(m.ranks[row/64])+bits.OnesCount64(word&(bit-1))], true
}

// All decodes all columns, so that Row returns nil, and b can be read by several goroutines at a time.
func (b *Block) All() error {
	if b.all {
		return nil
	}
	for i := range b.metrics {
		if err := b.metric(i); err != nil {
			return err
		}
	}
	behind := firstMetric + len(b.metrics)
	for i, column := range [...]*[]int64{&b.received, &b.stamped, &b.moved, &b.origin} {
		*column = resize(*column, len(b.times))
		if err := b.column(behind+receivedColumn+i, func(r *reader) { r.ints(*column) }); err != nil {
			return err
		}
	}
	for i, column := range [...]*texts{&b.key, &b.said} {
		if err := b.column(behind+keyColumn+i, func(r *reader) { r.texts(column, len(b.times)) }); err != nil {
			return err
		}
	}
	for i := range b.attributes {
		if err := b.column(behind+firstAttribute+i, func(r *reader) { r.texts(&b.attributes[i], len(b.times)) }); err != nil {
			return err
		}
	}
	b.all = true
	return nil
}

// Size returns how many bytes b takes by now, with the data that it is of.
func (b *Block) Size() int {
	size := sizeOf(b.times) + sizeOf(b.columns) + sizeOf(b.frames) + sizeOf(b.room) + sizeOf(b.names) + sizeOf(b.metrics) +
		sizeOf(b.received) + sizeOf(b.stamped) + sizeOf(b.moved) + sizeOf(b.origin) + sizeOf(b.attributeNames) +
		sizeOf(b.attributes) + sizeOf(b.integers) + b.key.size() + b.said.size()
	for _, f := range b.frames {
		size += len(f.data)
	}
	for _, name := range slices.Concat(b.names, b.attributeNames) {
		size += len(name)
	}
	for i := range b.metrics {
		m := &b.metrics[i]
		size += sizeOf(m.values) + sizeOf(m.times) + sizeOf(m.present) + sizeOf(m.ranks)
	}
	for i := range b.attributes {
		size += b.attributes[i].size()
	}
	return size
}

func sizeOf[T any](s []T) int { return cap(s) * int(reflect.TypeFor[T]().Size()) }

// Row sets r to the row at index i, in the memory that its slices have.
func (b *Block) Row(i int, r *Row) error {
	if err := b.All(); err != nil {
		return err
	}
	at := b.times[i]
	moved := relative(b.moved[i], at)
	metrics, attributes := r.Metrics[:0], r.Attributes[:0]
	for k := range b.metrics {
		if value, ok := b.metrics[k].value(i); ok {
			metrics = append(metrics, iot.Metric{Name: b.names[k], Value: value})
		}
	}
	for k := range b.attributes {
		if value, ok := b.attributes[k].at(i); ok {
			attributes = append(attributes, iot.Attribute{Name: b.attributeNames[k], Value: value})
		}
	}
	key, _ := b.key.at(i)
	said, _ := b.said.at(i)
	*r = Row{
		Reading: iot.Reading{
			Device: b.device, Key: key,
			At: time.UnixMilli(at).UTC(), Received: time.UnixMilli(b.received[i] + at).UTC(),
			Stamped: iot.Stamp(b.stamped[i]), Said: said,
			Origin:  uint64(relative(b.origin[i], stamp(moved, at))),
			Metrics: metrics, Attributes: attributes,
		},
		MovedFrom: moved,
	}
	return nil
}

// resize returns a slice of n elements, s where that has room. What is in them is left.
func resize[T any](s []T, n int) []T {
	if n <= cap(s) {
		return s[:n]
	}
	grown := make([]T, n)
	copy(grown, s[:cap(s)])
	return grown
}
