package transfer

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

// repeating repeats its bytes for ever.
type repeating []byte

func (r repeating) Read(p []byte) (n int, err error) {
	for n < len(p) {
		n += copy(p[n:], r)
	}
	return n, nil
}

func TestEndlessLine(t *testing.T) {
	const reading = `{"device_id":1,"x":1,"timestamp":"2026-03-01T12:00:00Z"}` + "\n"
	body := io.LimitReader(repeating(bytes.Repeat([]byte{'x'}, 1<<16)), 1<<30)
	d, err := NewDecoder(io.MultiReader(strings.NewReader(reading), body), NDJSON, time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	if p, err := d.Next(time.Now()); err != nil || len(p.Decoded.Readings) != 1 {
		t.Errorf("%d readings before it, %v", len(p.Decoded.Readings), err)
	}
	if p, err := d.Next(time.Now()); !errors.Is(err, ErrEndless) {
		t.Errorf("%d rejected, %v", len(p.Decoded.Rejected), err)
	}
	if left := body.(*io.LimitedReader).N; left < 1<<30-2*endless {
		t.Errorf("%d MiB were read", (1<<30-left)>>20)
	}
}
