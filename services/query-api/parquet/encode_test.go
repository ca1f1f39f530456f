package parquet

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
)

// unpack is the inverse of appendPacked.
func unpack(data []byte, n, width int) []uint64 {
	values := make([]uint64, n)
	for i := range n * width {
		bit := uint64(data[i/8]>>(i%8)) & 1
		values[i/width] |= bit << (i % width)
	}
	return values
}

// readDeltas is the inverse of appendDeltas, by the description of DELTA_BINARY_PACKED.
func readDeltas(t *testing.T, data []byte) (values []int64) {
	uvarint := func() uint64 {
		v, n := binary.Uvarint(data)
		data = data[n:]
		return v
	}
	varint := func() int64 {
		v, n := binary.Varint(data)
		data = data[n:]
		return v
	}
	block, minis, total := uvarint(), uvarint(), int(uvarint())
	if block != 128 || minis != 4 {
		t.Fatalf("blocks of %d in %d parts", block, minis)
	}
	last := varint()
	if total > 0 {
		values = append(values, last)
	}
	for len(values) < total {
		least := varint()
		widths := data[:4]
		data = data[4:]
		for _, width := range widths {
			if len(values) == total {
				break
			}
			deltas := unpack(data, 32, int(width))
			data = data[4*int(width):]
			for _, delta := range deltas[:min(32, total-len(values))] {
				last += least + int64(delta)
				values = append(values, last)
			}
		}
	}
	if len(data) > 0 {
		t.Errorf("%d bytes are left", len(data))
	}
	return values
}

func TestDeltas(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, spread := range []int64{1, 2, 1000, 1 << 40, 1 << 62} {
		for _, n := range []int{0, 1, 2, 32, 33, 128, 129, 130, 161, 1000} {
			values := make([]int64, n)
			for i := range values {
				values[i] = r.Int64N(spread) - spread/2
			}
			if got := readDeltas(t, appendDeltas(nil, values)); !slices.Equal(got, values) {
				t.Errorf("%d values in %d came back as %v, want %v", n, spread, got, values)
			}
		}
	}
}

func TestPacked(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for width := 1; width <= 64; width++ {
		values := make([]uint64, 19)
		for i := range values {
			values[i] = r.Uint64() >> (64 - width)
		}
		data := appendPacked(nil, values, width, 8)
		if got := unpack(data, 24, width); len(data) != 3*width || !slices.Equal(got[:19], values) || slices.Max(got[19:]) > 0 {
			t.Errorf("%d bits: %x, want %x", width, got, values)
		}
	}
}
