package column_test

import (
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/column"
	"github.com/telltale-iot/telltale/pkg/iot"
)

// FuzzDecode has bytes with a checksum that fits. They are damaged, or a block that can be encoded again.
func FuzzDecode(f *testing.F) {
	random := rand.New(rand.NewPCG(13, 14))
	for i := range 40 {
		data, err := column.Encode(nil, randomRows(random, 1+i))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
		f.Add(column.Stored(data))
	}
	for _, rows := range [][]column.Row{ordinary(30, time.Second), ordinary(600, time.Second), noisy(10)} {
		data, err := column.Encode(nil, rows)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
		f.Add(column.Stored(data))
	}
	var block column.Block // in memory that had other blocks before
	f.Fuzz(func(t *testing.T, data []byte) { decodeAnything(t, &block, data) })
}

// TestChanges changes each byte of a block, with a checksum that fits.
func TestChanges(t *testing.T) {
	data, err := column.Encode(nil, goldenHour()[603:607])
	if err != nil {
		t.Fatal(err)
	}
	var block column.Block
	stored := column.Stored(data)
	for i := 5; i < len(stored); i++ {
		for _, by := range []byte{0x01, 0x84} {
			changed := slices.Clone(stored)
			changed[i] ^= by
			decodeAnything(t, &block, changed)
		}
		decodeAnything(t, &block, slices.Clone(stored[:i]))
		decodeAnything(t, &block, slices.Delete(slices.Clone(stored), i, i+1))
		decodeAnything(t, &block, slices.Insert(slices.Clone(stored), i, 7))
	}
}

// decodeAnything decodes a block whose checksum and version it sets.
func decodeAnything(t *testing.T, block *column.Block, data []byte) {
	if len(data) < 6 {
		return
	}
	data[0] = 1
	data = data[:len(data):len(data)] // so that nothing behind it can be taken for a part of it
	if err := block.Reset(fixed(data)); err != nil {
		if !errors.Is(err, column.ErrDamaged) {
			t.Fatal(err)
		}
		return
	}
	for _, name := range block.Metrics() {
		times, values, err := block.Metric(name)
		if err != nil && !errors.Is(err, column.ErrDamaged) || len(times) != len(values) {
			t.Fatalf("%d values at %d times, %v", len(values), len(times), err)
		}
	}
	if err := block.All(); err != nil {
		if !errors.Is(err, column.ErrDamaged) {
			t.Fatal(err)
		}
		return
	}
	if block.Len() > 1000 { // the mutator finds constant columns of any length
		return
	}
	rows := make([]column.Row, block.Len())
	for i := range rows {
		if err := block.Row(i, &rows[i]); err != nil {
			t.Fatal(err)
		}
	}
	check(t, rows)
}

// FuzzParseSummary has bytes with a checksum that fits.
func FuzzParseSummary(f *testing.F) {
	random := rand.New(rand.NewPCG(15, 16))
	for i := range 20 {
		f.Add(column.AppendSummary(nil, randomRows(random, 1+i)))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) < 6 {
			return
		}
		data[0] = 1
		if _, err := column.ParseSummary(fixed(data)); err != nil && !errors.Is(err, column.ErrDamaged) {
			t.Fatal(err)
		}
	})
}

// FuzzRoundTrip makes readings of bytes: what they say is in them comes back, to the bit.
func FuzzRoundTrip(f *testing.F) {
	random := rand.New(rand.NewPCG(17, 18))
	for n := range 6 {
		seed := make([]byte, 20<<n)
		for i := range seed {
			seed[i] = byte(random.Uint32())
		}
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		rows := (&source{data[:min(len(data), 1000)]}).rows() // more of it would be slower, and no other
		block := check(t, rows)
		check(t, rows[len(rows)/2:])
		summary, err := column.ParseSummary(column.AppendSummary(nil, rows))
		if err != nil || summary.Count != len(rows) || !summary.To.Equal(rows[len(rows)-1].At) {
			t.Fatalf("summary %+v, %v", summary, err)
		}
		if len(rows) > 1 {
			for _, m := range summary.Metrics {
				b, err := column.Decode(block)
				if err != nil {
					t.Fatal(err)
				}
				_, values, err := b.Metric(m.Name)
				if err != nil || len(values) == 0 {
					t.Fatalf("%d values of %q, %v", len(values), m.Name, err)
				}
				for _, v := range values {
					if v < m.Min || v > m.Max {
						t.Fatalf("%v of %q is not between %v and %v", v, m.Name, m.Min, m.Max)
					}
				}
			}
		}
	})
}

// source decides by the bytes of a fuzzer's input; behind its end all are 0.
type source struct{ data []byte }

func (s *source) byte() byte {
	if len(s.data) == 0 {
		return 0
	}
	b := s.data[0]
	s.data = s.data[1:]
	return b
}

func (s *source) uint64() (v uint64) {
	var b [8]byte
	s.data = s.data[copy(b[:], s.data):]
	return binary.LittleEndian.Uint64(b[:])
}

// integer returns one of few bits or of many.
func (s *source) integer() int64 {
	switch b := s.byte(); {
	case b < 200:
		return int64(b) - 100
	case b < 240:
		return int64(s.byte())<<8 | int64(s.byte())
	default:
		return int64(s.uint64())
	}
}

func (s *source) value() float64 {
	switch b := s.byte(); {
	case b < 100:
		return float64(b) / 10
	case b < 160:
		return float64(int16(s.uint64())) / math.Pow10(int(b%20))
	case b < 200:
		return float64(float32(int16(s.uint64())) / float32(math.Pow10(int(b%8))))
	case b < 220:
		return awkward[int(b)%len(awkward)]
	default:
		return finite(s.uint64())
	}
}

// text returns one of few texts, or any bytes.
func (s *source) text() string {
	texts := [...]string{"", "lab", "a.b", "😀", "$set", "temperature"}
	b := int(s.byte())
	if b < 200 {
		return texts[b%len(texts)]
	}
	n := min(b-200, len(s.data))
	text := string(s.data[:n])
	s.data = s.data[n:]
	return text
}

func (s *source) rows() []column.Row {
	at := s.integer() / 4 // so that none of them is out of range
	device := iot.DeviceID(uint64(s.integer()))
	rows := make([]column.Row, 0, 64)
	var names []string
	flags := s.byte()
	for len(rows) == 0 || len(s.data) > 0 && len(rows) < 5000 {
		if len(rows) > 0 {
			at += 1 + s.integer()&math.MaxUint32
		}
		r := column.Row{Reading: iot.Reading{Device: device, At: time.UnixMilli(at).UTC(), Received: time.UnixMilli(at + s.integer()).UTC()}}
		if flags&1 != 0 {
			r.Stamped = iot.Stamp(s.byte())
		}
		if flags&2 != 0 {
			r.Key, r.Said = s.text(), s.text()
		}
		if flags&4 != 0 {
			r.Origin, r.MovedFrom = uint64(s.integer()), at-s.integer()
		}
		if flags&8 != 0 && s.byte() < 16 || len(names) == 0 { // other names from now on
			names = names[:0]
			for range 1 + s.byte()%80 {
				if name := s.text() + s.text(); name != "" && (len(names) == 0 || name > names[len(names)-1]) {
					names = append(names, name)
				}
			}
			if len(names) == 0 {
				names = append(names, "temperature")
			}
		}
		for _, name := range names {
			if flags&16 == 0 || s.byte() < 128 {
				r.Metrics = append(r.Metrics, iot.Metric{Name: name, Value: s.value()})
			}
			if flags&32 != 0 && s.byte() < 128 {
				r.Attributes = append(r.Attributes, iot.Attribute{Name: name, Value: s.text()})
			}
		}
		rows = append(rows, r)
	}
	return rows
}
