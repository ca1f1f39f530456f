package parquet

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/klauspost/compress/zstd"
)

// Numbers that Parquet's own description has.
const (
	typeInt64     = 2
	typeDouble    = 5
	typeByteArray = 6

	encodingPlain      = 0
	encodingRLE        = 3
	encodingDelta      = 5
	encodingDictionary = 8

	codecZstd = 6

	pageData       = 0
	pageDictionary = 2
)

const (
	// maxDistinct is how many values a dictionary has. More take more bits in each row than they save in a column of
	// measured values.
	maxDistinct = 1 << 14
	// distinctCost is about what a value of a dictionary takes beside its text, in the map and its slice.
	distinctCost = 64
)

// leaf is a leaf column of the row group being written.
type leaf struct {
	path     []string
	physical int  // typeInt64, typeDouble or typeByteArray
	deltas   bool // it has no dictionary
	levelled bool // there are rows without a value
	repeated bool // and such with several

	levels   int // of the page being written
	def, rep levels
	ints     []int64 // where deltas
	numbers  map[uint64]uint32
	texts    map[string]uint32
	distinct []byte // the values of the dictionary, PLAIN
	count    int    // of them
	indexes  []uint32
	full     bool   // the dictionary is
	plain    []byte // the values of the page being written, from then on

	rows     int // of the row group that are in it
	total    int // levels of all pages
	nulls    int
	min, max int64 // where physical is typeInt64
	pages    []byte
	raw      int // bytes of pages, before they were compressed
}

// reset makes l ready for another row group.
func (l *leaf) reset() {
	*l = leaf{path: l.path, physical: l.physical, deltas: l.deltas, levelled: l.levelled, repeated: l.repeated, indexes: l.indexes[:0], ints: l.ints[:0]}
}

// fill makes l have rows rows, the last of them without a value.
func (l *leaf) fill(rows int) {
	n := rows - l.rows
	if n <= 0 {
		return
	}
	l.def.add(0, n)
	if l.repeated {
		l.rep.add(0, n)
	}
	l.levels += n
	l.nulls += n
	l.rows = rows
}

// begin begins the value of row number row or, where it has one already, another one.
func (l *leaf) begin(row int) {
	l.fill(row)
	if l.levelled {
		l.def.add(1, 1)
	}
	if l.repeated {
		l.rep.add(byte(l.rows-row), 1)
	}
	l.rows = row + 1
	l.levels++
}

// number adds an integer, or the bits of a float. It returns about how many bytes that took.
func (l *leaf) number(row int, v uint64) int {
	l.begin(row)
	if l.physical == typeInt64 {
		if signed := int64(v); l.total == 0 && l.levels-l.nulls == 1 {
			l.min, l.max = signed, signed
		} else {
			l.min, l.max = min(l.min, signed), max(l.max, signed)
		}
	}
	if l.deltas {
		l.ints = append(l.ints, int64(v))
		return 8
	}
	if l.full {
		l.plain = binary.LittleEndian.AppendUint64(l.plain, v)
		return 8
	}
	index, ok := l.numbers[v]
	if ok {
		l.indexes = append(l.indexes, index)
		return 4
	}
	if l.numbers == nil {
		l.numbers = map[uint64]uint32{}
	}
	l.numbers[v] = uint32(l.count)
	l.distinct = binary.LittleEndian.AppendUint64(l.distinct, v)
	l.add()
	return 12 + distinctCost
}

// text adds a text. It returns about how many bytes that took.
func (l *leaf) text(row int, s string) int {
	l.begin(row)
	if l.full {
		l.plain = appendText(l.plain, s)
		return len(s) + 4
	}
	index, ok := l.texts[s]
	if ok {
		l.indexes = append(l.indexes, index)
		return 4
	}
	if l.texts == nil {
		l.texts = map[string]uint32{}
	}
	l.texts[s] = uint32(l.count)
	l.distinct = appendText(l.distinct, s)
	l.add()
	return 2*len(s) + distinctCost
}

func appendText(dst []byte, s string) []byte {
	return append(binary.LittleEndian.AppendUint32(dst, uint32(len(s))), s...)
}

// add adds the value that is new in the dictionary.
func (l *leaf) add() {
	l.indexes = append(l.indexes, uint32(l.count))
	l.count++
}

// crowded reports whether the dictionary has no room for the values of another row.
func (l *leaf) crowded() bool { return !l.full && l.count >= maxDistinct }

// endPage ends the page being written. The next one has what is not in the dictionary any more.
func (l *leaf) endPage(z *zstd.Encoder) {
	if l.levels == 0 {
		return
	}
	var body []byte
	if l.repeated {
		body = l.rep.appendTo(body)
	}
	if l.levelled {
		body = l.def.appendTo(body)
	}
	var encoding int
	switch {
	case l.deltas:
		encoding, body = encodingDelta, appendDeltas(body, l.ints)
	case l.full, l.count == 0: // or there are no values
		encoding, body = encodingPlain, append(body, l.plain...)
	default:
		encoding, body = encodingDictionary, appendIndexes(body, l.indexes, l.count)
	}
	n := l.levels
	l.page(z, pageData, body, func(t *thrift) {
		t.structure(5, func() {
			t.i32(1, n)
			t.i32(2, encoding)
			t.i32(3, encodingRLE)
			t.i32(4, encodingRLE)
		})
	})
	l.total += n
	l.levels, l.indexes, l.plain, l.full = 0, l.indexes[:0], l.plain[:0], true
}

// page appends a page, with what its header says beside its length.
func (l *leaf) page(z *zstd.Encoder, kind int, body []byte, header func(*thrift)) {
	compressed := z.EncodeAll(body, nil)
	var t thrift
	t.begin()
	t.i32(1, kind)
	t.i32(2, len(body))
	t.i32(3, len(compressed))
	t.i32(4, int(int32(crc32.ChecksumIEEE(compressed))))
	header(&t)
	t.end()
	l.pages = append(append(l.pages, t.b...), compressed...)
	l.raw += len(t.b) + len(body)
}

// end returns the chunk of l in its row group of rows rows, which begins at offset, and appends what describes it to t.
func (l *leaf) end(z *zstd.Encoder, rows int, offset int64, t *thrift) []byte {
	l.fill(rows)
	l.endPage(z)
	data := l.pages
	var dictionary []byte
	if l.count > 0 {
		l.pages = nil
		l.page(z, pageDictionary, l.distinct, func(t *thrift) {
			t.structure(7, func() {
				t.i32(1, l.count)
				t.i32(2, encodingPlain)
			})
		})
		dictionary = l.pages
	}
	encodings := []int{encodingPlain, encodingRLE, encodingDictionary}
	if l.deltas {
		encodings = []int{encodingRLE, encodingDelta}
	}

	t.begin()
	t.i64(2, 0) // the description stands only in the metadata
	t.structure(3, func() {
		t.i32(1, l.physical)
		t.list(2, thriftI32, len(encodings))
		for _, e := range encodings {
			t.b = binary.AppendVarint(t.b, int64(e))
		}
		t.list(3, thriftBinary, len(l.path))
		for _, name := range l.path {
			t.element(name)
		}
		t.i32(4, codecZstd)
		t.i64(5, int64(l.total))
		t.i64(6, int64(l.raw))
		t.i64(7, int64(len(dictionary)+len(data)))
		t.i64(9, offset+int64(len(dictionary)))
		if l.count > 0 {
			t.i64(11, offset)
		}
		t.structure(12, func() {
			t.i64(3, int64(l.nulls))
			if l.physical == typeInt64 && l.total > l.nulls {
				t.text(5, string(binary.LittleEndian.AppendUint64(nil, uint64(l.max))))
				t.text(6, string(binary.LittleEndian.AppendUint64(nil, uint64(l.min))))
			}
		})
	})
	t.end()
	return append(dictionary, data...)
}
