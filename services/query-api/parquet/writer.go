package parquet

import (
	"encoding/binary"
	"fmt"
	"io"
	"iter"
	"math"

	"github.com/klauspost/compress/zstd"
)

// Kind is what a column holds.
type Kind uint8

const (
	Timestamp Kind = iota // milliseconds since 1970, in UTC
	Int64
	Double
	String
	StringMap // of texts to texts
	DoubleMap // of texts to floats
)

func (k Kind) isMap() bool { return k == StringMap || k == DoubleMap }

// Column is a column of a table. A map may be empty, and is never null.
type Column struct {
	Name     string
	Kind     Kind
	Required bool // every row has a value
}

const (
	maxGroupRows  = 100_000
	maxGroupBytes = 8 << 20 // about; a row is added whole
)

const magic = "PAR1"

// Writer writes a file, row by row: the values of a row, in any order, then EndRow. It is not safe for concurrent use.
type Writer struct {
	w       io.Writer
	columns []Column
	leaves  [][]leaf // of each column; a map has two
	zstd    *zstd.Encoder
	offset  int64
	rows    int // of the row group
	bytes   int // about what they take
	total   int64
	groups  thrift // what describes the row groups that are written
	n       int    // of them
	crowded bool   // the dictionary of a leaf is
	err     error
}

// NewWriter returns a Writer of a file with columns to w.
func NewWriter(w io.Writer, columns []Column) *Writer {
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(1<<20))
	if err != nil {
		panic(err) // the options are known
	}
	f := &Writer{w: w, columns: columns, leaves: make([][]leaf, len(columns)), zstd: encoder}
	for i, c := range columns {
		switch c.Kind {
		case Timestamp:
			f.leaves[i] = []leaf{{path: []string{c.Name}, physical: typeInt64, deltas: true, levelled: !c.Required}}
		case Int64:
			f.leaves[i] = []leaf{{path: []string{c.Name}, physical: typeInt64, levelled: !c.Required}}
		case Double:
			f.leaves[i] = []leaf{{path: []string{c.Name}, physical: typeDouble, levelled: !c.Required}}
		case String:
			f.leaves[i] = []leaf{{path: []string{c.Name}, physical: typeByteArray, levelled: !c.Required}}
		default:
			value := typeByteArray
			if c.Kind == DoubleMap {
				value = typeDouble
			}
			f.leaves[i] = []leaf{
				{path: []string{c.Name, "key_value", "key"}, physical: typeByteArray, levelled: true, repeated: true},
				{path: []string{c.Name, "key_value", "value"}, physical: value, levelled: true, repeated: true},
			}
		}
	}
	f.write([]byte(magic))
	return f
}

// Int sets a Timestamp or Int64.
func (f *Writer) Int(column int, v int64) {
	f.number(&f.leaves[column][0], uint64(v))
}

// Double sets a Double.
func (f *Writer) Double(column int, v float64) {
	f.number(&f.leaves[column][0], math.Float64bits(v))
}

// String sets a String.
func (f *Writer) String(column int, s string) {
	f.text(&f.leaves[column][0], s)
}

// StringEntry adds to a StringMap.
func (f *Writer) StringEntry(column int, key, value string) {
	f.text(&f.leaves[column][0], key)
	f.text(&f.leaves[column][1], value)
}

// DoubleEntry adds to a DoubleMap.
func (f *Writer) DoubleEntry(column int, key string, value float64) {
	f.text(&f.leaves[column][0], key)
	f.number(&f.leaves[column][1], math.Float64bits(value))
}

func (f *Writer) number(l *leaf, v uint64) {
	f.bytes += l.number(f.rows, v)
	f.crowded = f.crowded || l.crowded()
}

func (f *Writer) text(l *leaf, s string) {
	f.bytes += l.text(f.rows, s)
	f.crowded = f.crowded || l.crowded()
}

// EndRow ends a row. What was not set in it is null.
func (f *Writer) EndRow() error {
	f.rows++
	if f.crowded {
		f.crowded = false
		for l := range f.all() {
			if l.crowded() {
				l.fill(f.rows)
				l.endPage(f.zstd)
			}
		}
	}
	if f.rows == maxGroupRows || f.bytes >= maxGroupBytes {
		f.endGroup()
	}
	return f.err
}

// all returns the leaves in the order of the schema.
func (f *Writer) all() iter.Seq[*leaf] {
	return func(yield func(*leaf) bool) {
		for _, column := range f.leaves {
			for i := range column {
				if !yield(&column[i]) {
					return
				}
			}
		}
	}
}

// endGroup writes the row group.
func (f *Writer) endGroup() {
	begin, raw, leaves := f.offset, int64(0), 0
	for _, column := range f.leaves {
		leaves += len(column)
	}
	t := &f.groups
	t.begin()
	t.list(1, thriftStruct, leaves)
	for l := range f.all() {
		f.write(l.end(f.zstd, f.rows, f.offset, t))
		raw += int64(l.raw)
		l.reset()
	}
	t.i64(2, raw)
	t.i64(3, int64(f.rows))
	t.i64(5, begin)
	t.i64(6, f.offset-begin)
	t.int(7, thriftI16, int64(min(f.n, math.MaxInt16)))
	t.end()
	f.total += int64(f.rows)
	f.n++
	f.rows, f.bytes = 0, 0
}

// Close ends the file. It does not close the io.Writer.
func (f *Writer) Close() error {
	if f.rows > 0 {
		f.endGroup()
	}
	metadata := f.metadata()
	f.write(metadata)
	f.write(append(binary.LittleEndian.AppendUint32(nil, uint32(len(metadata))), magic...))
	return f.err
}

func (f *Writer) write(b []byte) {
	if f.err != nil {
		return
	}
	n, err := f.w.Write(b)
	f.offset += int64(n)
	if err != nil {
		f.err = fmt.Errorf("write parquet: %w", err)
	}
}

// metadata returns what describes the file.
func (f *Writer) metadata() []byte {
	var t thrift
	t.begin()
	t.i32(1, 2) // version 2 of the format
	elements, leaves := 1, 0
	for _, column := range f.leaves {
		if leaves += len(column); len(column) > 1 {
			elements += 2
		}
	}
	t.list(2, thriftStruct, elements+leaves)
	element(&t, "readings", func() { t.i32(5, len(f.columns)) })
	for i := range f.columns {
		f.schema(&t, i)
	}
	t.i64(3, f.total)
	t.list(4, thriftStruct, f.n)
	t.b = append(t.b, f.groups.b...)
	t.text(6, "telltale")
	t.list(7, thriftStruct, leaves) // the order of the values in statistics: the usual one
	for range leaves {
		t.begin()
		t.structure(1, func() {})
		t.end()
	}
	t.end()
	return t.b
}

// Repetition types, converted types, and logical types.
const (
	required = 0
	optional = 1
	repeated = 2

	convertedUTF8            = 0
	convertedMap             = 1
	convertedTimestampMillis = 9

	logicalString    = 1
	logicalMap       = 2
	logicalTimestamp = 8
)

// element appends an element of the schema, with what it has beside its name.
func element(t *thrift, name string, rest func()) {
	t.begin()
	t.text(4, name)
	rest()
	t.end()
}

// schema appends column i and what is in it.
func (f *Writer) schema(t *thrift, i int) {
	c := f.columns[i]
	if !c.Kind.isMap() {
		repetition := optional
		if c.Required {
			repetition = required
		}
		leafElement(t, c.Name, f.leaves[i][0].physical, repetition, c.Kind == Timestamp)
		return
	}
	t.begin()
	t.i32(3, required)
	t.text(4, c.Name)
	t.i32(5, 1)
	t.i32(6, convertedMap)
	t.structure(10, func() { t.structure(logicalMap, func() {}) })
	t.end()
	t.begin()
	t.i32(3, repeated)
	t.text(4, "key_value")
	t.i32(5, 2)
	t.end()
	for _, l := range f.leaves[i] {
		leafElement(t, l.path[2], l.physical, required, false)
	}
}

func leafElement(t *thrift, name string, physical, repetition int, isTime bool) {
	t.begin()
	t.i32(1, physical)
	t.i32(3, repetition)
	t.text(4, name)
	switch {
	case isTime:
		t.i32(6, convertedTimestampMillis)
		t.structure(10, func() {
			t.structure(logicalTimestamp, func() {
				t.field(1, thriftTrue) // in UTC
				t.structure(2, func() { t.structure(1, func() {}) })
			})
		})
	case physical == typeByteArray:
		t.i32(6, convertedUTF8)
		t.structure(10, func() { t.structure(logicalString, func() {}) })
	}
	t.end()
}
