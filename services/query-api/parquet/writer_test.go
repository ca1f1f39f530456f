package parquet

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"

	"github.com/telltale-iot/telltale/pkg/heaptest"
)

var testColumns = []Column{
	{"at", Timestamp, true}, {"id", Int64, true}, {"key", String, false}, {"value", Double, false}, {"more", DoubleMap, true}, {"texts", StringMap, true},
}

// counter counts what is written, and keeps the end of it.
type counter struct {
	n    int
	last []byte
}

func (c *counter) Write(p []byte) (int, error) {
	c.n += len(p)
	c.last = append(c.last, p[max(0, len(p)-8):]...)
	c.last = c.last[max(0, len(c.last)-8):]
	return len(p), nil
}

// TestMemory: that the files can be read is a test of `make examples`.
func TestMemory(t *testing.T) {
	for name, text := range map[string]func(i int) string{
		"few texts":  func(i int) string { return fmt.Sprint(i % 3) },
		"other ones": func(i int) string { return fmt.Sprint("text ", i) },
		"long ones":  func(i int) string { return fmt.Sprintf("%01000d", i) },
	} {
		t.Run(name, func(t *testing.T) {
			grown := heaptest.Watch(t)
			out := new(counter)
			w := NewWriter(out, testColumns)
			for i := range 120_000 {
				w.Int(0, int64(i)*1000)
				w.Int(1, int64(i%20))
				if i%2 == 0 {
					w.String(2, text(i))
					w.Double(3, float64(i))
				}
				for range i % 3 {
					w.StringEntry(5, "a", text(i))
				}
				if err := w.EndRow(); err != nil {
					t.Fatal(err)
				}
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			if size := int(binary.LittleEndian.Uint32(out.last)); string(out.last[4:]) != magic || size < 100 || size > 100_000 {
				t.Errorf("the file of %d bytes ends with %q", out.n, out.last)
			}
			if n := grown(); n > 32<<20 {
				t.Errorf("%d MiB", n>>20)
			} else {
				t.Logf("%d MiB for a file of %d MB", n>>20, out.n/1e6)
			}
		})
	}
}

var errFull = errors.New("the disk is full")

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestErrors(t *testing.T) {
	w := NewWriter(full{}, testColumns)
	w.Int(0, 1)
	w.Int(1, 1)
	if err := w.EndRow(); !errors.Is(err, errFull) {
		t.Error(err)
	}
	if err := w.Close(); !errors.Is(err, errFull) {
		t.Error(err)
	}
}

// TestSame: equal rows make equal files.
func TestSame(t *testing.T) {
	write := func() []byte {
		var b bytes.Buffer
		w := NewWriter(&b, testColumns)
		for i := range 20_000 {
			w.Int(0, int64(i))
			w.Int(1, int64(i))
			w.DoubleEntry(4, "x", float64(i))
			_ = w.EndRow()
		}
		_ = w.Close()
		return b.Bytes()
	}
	if a, b := write(), write(); !bytes.Equal(a, b) {
		t.Errorf("files of %d and %d bytes differ", len(a), len(b))
	}
}
