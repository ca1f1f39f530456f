package transfer

import (
	"io"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// repeated reads text as often as n says.
type repeated struct {
	text string
	n    int
	r    *strings.Reader
}

func (r *repeated) Read(p []byte) (int, error) {
	for {
		if r.r != nil {
			if n, err := r.r.Read(p); err == nil {
				return n, nil
			}
		}
		if r.n == 0 {
			return 0, io.EOF
		}
		r.n--
		r.r = strings.NewReader(r.text)
	}
}

func heldBy(t *testing.T, body io.Reader) {
	t.Helper()
	d, err := NewDecoder(io.MultiReader(strings.NewReader("device_id,timestamp\n"), body), CSV, time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	p, err := d.Next(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	held := (int64(after.HeapAlloc) - int64(before.HeapAlloc)) >> 20
	if held > 16 {
		t.Errorf("a part with %d rejections holds %d MiB", len(p.Decoded.Rejected), held)
	}
	runtime.KeepAlive(p)
}

// TestPartIsBounded: what is kept of lines that are rejected counts for the bytes of a part, too.
func TestPartIsBounded(t *testing.T) {
	t.Run("rows with the wrong number of cells", func(t *testing.T) {
		heldBy(t, &repeated{text: strings.Repeat("a", 1<<20-2) + "\n", n: 300})
	})
	t.Run("lines that are too long", func(t *testing.T) {
		heldBy(t, &repeated{text: strings.Repeat("a", 1<<20+1) + "\n", n: 600})
	})
}

// processorTime is what the process has used of it. How busy others keep the machine makes no difference.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// TestQuotesThatNeverEnd: a row that never ends costs little, though all but its first line is read once more.
func TestQuotesThatNeverEnd(t *testing.T) {
	const text = "a\",\"b\n"
	d, err := NewDecoder(io.MultiReader(strings.NewReader("device_id,timestamp\n"), &repeated{text: text, n: 1e6}), CSV, time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	began := processorTime(t)
	if p, err := d.Next(time.Now()); err != nil || len(p.Decoded.Rejected) != partLines {
		t.Fatal(len(p.Decoded.Rejected), err)
	}
	if took := processorTime(t) - began; took > 10*time.Second { // some 0.1 s; it was 9 minutes where each line had the row split anew
		t.Errorf("%d lines took %v", partLines, took)
	}
}
