package column_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"runtime"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/column"
)

// maxBlockBytes is what a Block may take: see Memory in the package's comment.
const maxBlockBytes = 96 << 20

// TestHostileBlocks has the blocks that take the most memory, and those that claim it.
func TestHostileBlocks(t *testing.T) {
	claim := func(rows, metrics, attributes int, lengths ...int) []byte {
		b := []byte{1, 0, 0, 0, 0, 1}
		for _, n := range append([]int{rows, metrics, attributes}, lengths...) {
			b = binary.AppendUvarint(b, uint64(n))
		}
		return b[:len(b):len(b)]
	}
	padding := make([]byte, 1<<16)
	// As many rows as there can be, with as many attributes, each a text of its own in every row.
	const attributes = column.MaxCells / column.MaxRows
	times := append([]byte{2, 2}, make([]byte, column.MaxRows)...) // ascending by 1
	text := binary.AppendUvarint(nil, column.MaxRows)
	text = append(text, bytes.Repeat([]byte{4}, column.MaxRows)...) // their lengths
	text = append(text, make([]byte, 4*column.MaxRows)...)
	text = append(text, bytes.Repeat([]byte{1}, 2*column.MaxRows)...) // a run each
	full := claim(column.MaxRows, 0, attributes, 2*attributes, len(times), 0, 0, 0, 0, 0, 0)
	for range attributes {
		full = binary.AppendUvarint(full, uint64(len(text)))
	}
	full = append(full, 8+attributes, 0)
	for i := range attributes {
		full = append(full, 2, byte('a'+i))
	}
	full = append(append(full, times...), bytes.Repeat(text, attributes)...)
	// A few bytes that would be 200 MB of values.
	const metrics = 100
	wide := claim(column.MaxRows, metrics, 0, 3*metrics, len(times))
	wide = append(wide, bytes.Repeat([]byte{4}, metrics)...) // the lengths of the columns
	wide = append(wide, 0, 0, 0, 0, 0, 0, 8+metrics, 0)
	for i := range metrics {
		wide = append(wide, 3, 'a', byte(i)) // names
	}
	wide = append(wide, times...)
	wide = append(wide, bytes.Repeat([]byte{0, 0, 0, 2}, metrics)...) // decimal, constant
	for name, tt := range map[string]struct {
		data []byte
		want error
	}{
		"more cells than there can be": {wide, column.ErrDamaged},
		"as much as there can be":      {full, nil},
		"many rows":                    {claim(1<<40, 0, 0), column.ErrDamaged},
		"one row too many":             {claim(column.MaxRows+1, 0, 0), column.ErrDamaged},
		"many metrics":                 {claim(1, 1<<40, 0), column.ErrDamaged},
		"many attributes":              {claim(1, 0, 1<<40), column.ErrDamaged},
		"many cells":                   {claim(column.MaxRows, 10, 10), column.ErrDamaged},
		"all members":                  {claim(1, column.MaxMembers, column.MaxMembers), column.ErrDamaged},
		"a long column":                {claim(column.MaxRows, 1, 0, 0, 1<<40), column.ErrDamaged},
		"a column that is not there":   {claim(column.MaxRows, 1, 0, 0, column.MaxColumnBytes, 0, 0, 0, 0, 0, 0, 0, 9, len(padding)), column.ErrDamaged},
	} {
		t.Run(name, func(t *testing.T) {
			if tt.want != nil && len(tt.data) < len(padding) {
				tt.data = append(tt.data, padding...)
			}
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			block, err := column.Decode(fixed(tt.data))
			if err == nil {
				err = block.All()
			}
			runtime.ReadMemStats(&after)
			t.Logf("%d kB were allocated", (after.TotalAlloc-before.TotalAlloc)>>10)
			if got := after.TotalAlloc - before.TotalAlloc; got > maxBlockBytes {
				t.Errorf("%d bytes were allocated", got)
			}
			if !errors.Is(err, tt.want) {
				t.Errorf("%v, want %v", err, tt.want)
			}
			runtime.KeepAlive(block)
		})
	}
}

// TestBlockSize compares what a block says of itself with the heap.
func TestBlockSize(t *testing.T) {
	for name, rows := range map[string][]column.Row{"ordinary": ordinary(3600, time.Second), "much in it": goldenHour()} {
		t.Run(name, func(t *testing.T) {
			data, err := column.Encode(nil, rows)
			if err != nil {
				t.Fatal(err)
			}
			check(t, rows) // makes zstd's decoder, which stays
			heap()         // what encoders had is gone after two collections
			before := heap()
			blocks := make([]*column.Block, 20) // so that they count, and nothing else does
			size := 0.
			for i := range blocks {
				if blocks[i], err = column.Decode(bytes.Clone(data)); err != nil {
					t.Fatal(err)
				}
				if err := blocks[i].All(); err != nil {
					t.Fatal(err)
				}
				size += float64(blocks[i].Size())
			}
			took := float64(heap() - before)
			runtime.KeepAlive(blocks)
			runtime.KeepAlive(rows)
			runtime.KeepAlive(data)
			if size < 0.8*took || size > 1.2*took {
				t.Errorf("blocks that take %.0f bytes say that they take %.0f", took, size)
			}
		})
	}
}

func heap() int64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}
