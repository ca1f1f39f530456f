package transfer

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
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

func TestHeader(t *testing.T) {
	for name, c := range map[string]struct {
		file string
		want error
	}{
		"known columns, each named once": {"time,device" + strings.Repeat(",time", maxCells-2), nil},
		"too many columns":               {"time,device" + strings.Repeat(",time", maxCells-1), ErrTooWide},
		"a quotation without an end":     {`"` + strings.Repeat("\n", maxLine-2), ErrNoTable},
		"a line break in a name":         {"time,device,\"a\nb\"", nil},
	} {
		if _, err := NewDecoder(strings.NewReader(c.file), CSV, time.UTC); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	d := &Decoder{r: bufio.NewReader(strings.NewReader(`"` + strings.Repeat("\n", maxLine-2)))}
	if _, err := d.header(); !errors.Is(err, ErrNoTable) || d.line > maxRow+1 {
		t.Errorf("%d lines were tried as a header, %v", d.line, err)
	}
}

func TestDecimalCommas(t *testing.T) {
	for file, want := range map[string]string{
		"time;device;temperature;room\n2026-03-01T12:00:00Z;1;-21,5;a,b\n":                                         "[{temperature -21.5}] [{room a,b}]",
		"timestamp;device_id;temperature;humidity;co2;timestamp_source\n2026-03-01T12:00:00Z;1;21,5;;4,5;device\n": "[{co2 4.5} {temperature 21.5}] []",
		"time;device;temperature\n2026-03-01T12:00:00Z;1;21.5\n":                                                   "[{temperature 21.5}] []",
		"time,device,list,x\n2026-03-01T12:00:00Z,1,\"1,5\",2\n":                                                   "[{x 2}] [{list 1,5}]",
	} {
		d, err := NewDecoder(strings.NewReader(file), CSV, time.UTC)
		if err != nil {
			t.Fatal(err)
		}
		p, err := d.Next(time.Now())
		if err != nil || len(p.Decoded.Readings) != 1 {
			t.Errorf("%s: %+v, %v", file, p.Decoded, err)
			continue
		}
		if r := p.Decoded.Readings[0]; fmt.Sprint(r.Metrics, r.Attributes) != want {
			t.Errorf("%s: %v %v, want %s", file, r.Metrics, r.Attributes, want)
		}
	}
}
