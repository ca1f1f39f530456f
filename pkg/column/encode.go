package column

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// Row is a reading as a store has it.
type Row struct {
	iot.Reading
	MovedFrom int64 // ms since 1970: the stamp of a server, where that millisecond was taken and At is another; else 0
}

// Bounds of a block: see Memory in the package's comment.
const (
	MaxRows        = 1 << 18
	maxMembers     = 1 << 14 // more than iot.MaxMergedMembers
	maxCells       = 1 << 21
	maxColumnBytes = 16 << 20 // more than twice iot.MaxContentBytes
)

// ErrTooLarge means that a block cannot have that many rows, or that much in them: the caller makes two of them. One row
// always fits.
var ErrTooLarge = errors.New("too much for one block")

// version is that of the format.
const version = 1

// headBytes are those of the version and the checksum.
const headBytes = 1 + 4

// minFrame is how many bytes of columns are worth a frame of their own, which takes some 15 bytes and 2 µs more than
// that they are in that of their neighbours.
const minFrame = 2048

var encoders = sync.Pool{New: func() any { return new(encoder) }}

// Encode appends the block of rows to dst. They are of one device and ascend by At, in whole milliseconds, and are
// valid in themselves; what is seen to be otherwise is iot.ErrInvalid.
func Encode(dst []byte, rows []Row) ([]byte, error) {
	e := encoders.Get().(*encoder)
	defer encoders.Put(e)
	defer e.reset()
	if err := e.collect(rows); err != nil {
		return dst, err
	}
	e.appendColumns(rows)
	if len(e.raw) > maxColumnBytes {
		return dst, ErrTooLarge
	}
	return e.appendBlock(dst, rows), nil
}

// encoder has what an Encode needs, for the next one.
type encoder struct {
	times, integers []int64
	exceptions      []int
	key, said       textBuilder
	metrics         builders[metricBuilder]
	attributes      builders[textBuilder]

	raw    []byte // the columns
	ends   []int  // of each, in raw
	packed []byte // the frames
	frames []frame
}

// frame is a number of columns that are compressed together.
type frame struct{ columns, packed int }

// builders are those of the columns of metrics, or of attributes.
type builders[B any] struct {
	columns []B
	names   []string
	index   map[string]int // by name
	before  []int          // the columns of the members of the row before
}

// find returns the column of the member at place k of a row. Where the row before had another one there, its order is
// to be checked.
func (b *builders[B]) find(k int, name string) (column int, other bool) {
	if k < len(b.before) && b.names[b.before[k]] == name {
		return b.before[k], false
	}
	column, ok := b.index[name]
	if !ok {
		if b.index == nil {
			b.index = make(map[string]int)
		}
		column = len(b.names)
		b.index[name] = column
		b.names = append(b.names, name)
		b.columns = slices.Grow(b.columns, 1)[:column+1] // what was there before is empty, and has room
	}
	b.before = append(b.before[:min(k, len(b.before))], column)
	return column, true
}

// sorted returns the columns in the order of their names.
func (b *builders[B]) sorted() []int {
	order := b.before[:0]
	for i := range b.names {
		order = append(order, i)
	}
	b.before = order
	slices.SortFunc(order, func(i, j int) int { return strings.Compare(b.names[i], b.names[j]) })
	return order
}

func (b *builders[B]) reset(column func(*B)) {
	for i := range b.columns {
		column(&b.columns[i])
	}
	clear(b.names)
	clear(b.index)
	b.columns, b.names, b.before = b.columns[:0], b.names[:0], b.before[:0]
}

// metricBuilder collects the values of a metric.
type metricBuilder struct {
	values []float64
	runs   []int // rows without and rows with a value by turns, up to rows
	rows   int
}

func (m *metricBuilder) add(row int, value float64) {
	m.values = append(m.values, value)
	if row == m.rows && row > 0 {
		m.runs[len(m.runs)-1]++
	} else {
		m.runs = append(m.runs, row-m.rows, 1)
	}
	m.rows = row + 1
}

func (m *metricBuilder) reset() { m.values, m.runs, m.rows = m.values[:0], m.runs[:0], 0 }

func (e *encoder) reset() {
	e.key.reset()
	e.said.reset()
	e.metrics.reset((*metricBuilder).reset)
	e.attributes.reset((*textBuilder).reset)
	e.times, e.integers, e.exceptions = e.times[:0], e.integers[:0], e.exceptions[:0]
	e.raw, e.ends, e.packed, e.frames = e.raw[:0], e.ends[:0], e.packed[:0], e.frames[:0]
}

// collect checks rows, and sorts what is in them by columns.
func (e *encoder) collect(rows []Row) error {
	switch {
	case len(rows) == 0:
		return fmt.Errorf("a block without rows: %w", iot.ErrInvalid)
	case len(rows) > MaxRows:
		return ErrTooLarge
	}
	for i := range rows {
		r := &rows[i]
		at := r.At.UnixMilli()
		switch {
		case r.Device != rows[0].Device:
			return fmt.Errorf("devices %d and %d in one block: %w", rows[0].Device, r.Device, iot.ErrInvalid)
		case i > 0 && at <= e.times[i-1]:
			return fmt.Errorf("time %v is not after the one before it: %w", r.At, iot.ErrInvalid)
		case r.At.Nanosecond()%int(time.Millisecond) != 0 || r.Received.Nanosecond()%int(time.Millisecond) != 0:
			return fmt.Errorf("times %v and %v are not whole milliseconds: %w", r.At, r.Received, iot.ErrInvalid)
		}
		e.times = append(e.times, at)
		if r.Key != "" {
			e.key.add(i, r.Key)
		}
		if r.Said != "" {
			e.said.add(i, r.Said)
		}
		for k := range r.Metrics {
			m := &r.Metrics[k]
			column, other := e.metrics.find(k, m.Name)
			if other && (m.Name == "" || k > 0 && m.Name <= r.Metrics[k-1].Name) {
				return fmt.Errorf("metric %q is empty or out of order: %w", m.Name, iot.ErrInvalid)
			}
			e.metrics.columns[column].add(i, m.Value)
		}
		for k := range r.Attributes {
			a := &r.Attributes[k]
			column, other := e.attributes.find(k, a.Name)
			if other && (a.Name == "" || k > 0 && a.Name <= r.Attributes[k-1].Name) {
				return fmt.Errorf("attribute %q is empty or out of order: %w", a.Name, iot.ErrInvalid)
			}
			e.attributes.columns[column].add(i, a.Value)
		}
		if members := len(e.metrics.names) + len(e.attributes.names); members > maxMembers || members*len(rows) > maxCells {
			return ErrTooLarge
		}
	}
	return nil
}

// appendColumns appends the columns to raw.
func (e *encoder) appendColumns(rows []Row) {
	metrics, attributes := e.metrics.sorted(), e.attributes.sorted()
	for _, column := range metrics {
		e.raw = appendName(e.raw, e.metrics.names[column])
	}
	for _, column := range attributes {
		e.raw = appendName(e.raw, e.attributes.names[column])
	}
	e.endColumn()
	e.raw = appendInts(e.raw, e.times)
	e.endColumn()
	for _, column := range metrics {
		e.appendMetric(&e.metrics.columns[column], len(rows))
		e.endColumn()
	}
	e.appendEach(rows, func(r *Row, at int64) int64 { return r.Received.UnixMilli() - at })
	e.appendEach(rows, func(r *Row, _ int64) int64 { return int64(r.Stamped) })
	e.appendEach(rows, func(r *Row, at int64) int64 { return relative(r.MovedFrom, at) })
	e.appendEach(rows, func(r *Row, at int64) int64 { return relative(int64(r.Origin), stamp(r.MovedFrom, at)) })
	for _, column := range [...]*textBuilder{&e.key, &e.said} {
		e.raw = column.append(e.raw, len(rows))
		e.endColumn()
	}
	for _, column := range attributes {
		e.raw = e.attributes.columns[column].append(e.raw, len(rows))
		e.endColumn()
	}
}

func (e *encoder) endColumn() { e.ends = append(e.ends, len(e.raw)) }

func (e *encoder) appendEach(rows []Row, value func(r *Row, at int64) int64) {
	e.integers = slices.Grow(e.integers[:0], len(rows))[:len(rows)]
	for i := range rows {
		e.integers[i] = value(&rows[i], e.times[i])
	}
	e.raw = appendInts(e.raw, e.integers)
	e.endColumn()
}

// relative returns v as its difference to base, except that 0 is 0. That base would be 0 then, so it is base. Given a
// difference it returns its v.
func relative(v, base int64) int64 {
	switch v {
	case 0:
		return 0
	case base:
		return base
	default:
		return base - v
	}
}

// stamp returns the time at which a server may have stamped a reading.
func stamp(movedFrom, at int64) int64 {
	if movedFrom != 0 {
		return movedFrom
	}
	return at
}

func (e *encoder) appendMetric(m *metricBuilder, rows int) {
	flags := len(e.raw)
	e.raw = append(e.raw, 0)
	if len(m.values) < rows {
		e.raw[flags] |= flagSparse
		if m.rows < rows {
			m.runs = append(m.runs, rows-m.rows)
		}
		for _, length := range m.runs {
			e.raw = binary.AppendUvarint(e.raw, uint64(length))
		}
	}
	raw, more := e.appendValues(e.raw, m.values)
	raw[flags] |= more
	e.raw = raw
}

// appendBlock appends the block of the columns to dst.
func (e *encoder) appendBlock(dst []byte, rows []Row) []byte {
	for column, begin := 0, 0; column < len(e.ends); {
		f := frame{}
		end := begin
		for ; column < len(e.ends) && end-begin < minFrame; column++ {
			end = e.ends[column]
			f.columns++
		}
		if len(e.raw)-end < minFrame { // the rest is not worth one
			f.columns += len(e.ends) - column
			column, end = len(e.ends), len(e.raw)
		}
		packed := len(e.packed)
		var compressed bool
		if e.packed, compressed = compress(e.packed, e.raw[begin:end]); compressed {
			f.packed = len(e.packed) - packed
		}
		e.frames = append(e.frames, f)
		begin = end
	}
	start := len(dst)
	dst = append(dst, version, 0, 0, 0, 0)
	dst = binary.AppendUvarint(dst, uint64(rows[0].Device))
	for _, n := range [...]int{len(rows), len(e.metrics.names), len(e.attributes.names)} {
		dst = binary.AppendUvarint(dst, uint64(n))
	}
	begin := 0
	for _, end := range e.ends {
		dst = binary.AppendUvarint(dst, uint64(end-begin))
		begin = end
	}
	for _, f := range e.frames {
		dst = binary.AppendUvarint(dst, uint64(f.columns))
		dst = binary.AppendUvarint(dst, uint64(f.packed))
	}
	dst = append(dst, e.packed...)
	seal(dst[start:])
	return dst
}
