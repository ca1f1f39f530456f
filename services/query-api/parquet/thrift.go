package parquet

import "encoding/binary"

// thrift writes Thrift's compact protocol, in which Parquet describes itself.
type thrift struct {
	b    []byte
	last []int // the number of the last field in each struct that is open
}

// Types of fields and elements.
const (
	thriftTrue   = 1
	thriftI16    = 4
	thriftI32    = 5
	thriftI64    = 6
	thriftBinary = 8
	thriftList   = 9
	thriftStruct = 12
)

// begin begins a struct that is no field: the outermost one, or an element of a list.
func (t *thrift) begin() { t.last = append(t.last, 0) }

func (t *thrift) end() {
	t.b = append(t.b, 0)
	t.last = t.last[:len(t.last)-1]
}

// field begins field number n, which is greater than the last one, by 15 at most.
func (t *thrift) field(n, kind int) {
	last := &t.last[len(t.last)-1]
	t.b = append(t.b, byte((n-*last)<<4|kind))
	*last = n
}

func (t *thrift) int(n, kind int, v int64) {
	t.field(n, kind)
	t.b = binary.AppendVarint(t.b, v)
}

func (t *thrift) i32(n int, v int)   { t.int(n, thriftI32, int64(v)) }
func (t *thrift) i64(n int, v int64) { t.int(n, thriftI64, v) }

func (t *thrift) text(n int, s string) {
	t.field(n, thriftBinary)
	t.element(s)
}

// element appends a text that is an element of a list.
func (t *thrift) element(s string) {
	t.b = append(binary.AppendUvarint(t.b, uint64(len(s))), s...)
}

// list begins a list of size elements.
func (t *thrift) list(n, kind, size int) {
	t.field(n, thriftList)
	if size < 15 {
		t.b = append(t.b, byte(size<<4|kind))
		return
	}
	t.b = binary.AppendUvarint(append(t.b, byte(0xf0|kind)), uint64(size))
}

// structure writes a field that is a struct.
func (t *thrift) structure(n int, fields func()) {
	t.field(n, thriftStruct)
	t.begin()
	fields()
	t.end()
}
