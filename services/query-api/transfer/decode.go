package transfer

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/payload"
	"github.com/telltale-iot/telltale/pkg/readingjson"
)

const (
	maxLine   = 1 << 20   // bytes of a line, as of a message of a device
	keptLine  = 64 << 10  // of one that is longer, for its dead letter
	endless   = 64 << 20  // of one that ends the file: it is none, and a few bytes of gzip may be any number of such
	partBytes = 512 << 10 // of lines that are decoded together, at least, and
	partLines = 2000      // at most: Kafka has one part before the next is read
)

// Refusal is why a file, or the rest of it, is not read.
type Refusal string

func (r Refusal) Error() string { return string(r) }

// ErrEndless is for a file that has not the lines that it should.
const ErrEndless = Refusal("a line of the file is longer than 64 MiB: the file ends before it")

// Decoder reads a file of readings.
type Decoder struct {
	May func(iot.DeviceID) bool // whether who sends the file may send for a device; nil: for all

	r     *bufio.Reader
	zone  *time.Location // of times that say none
	csv   *sheet         // nil: NDJSON
	again []byte         // lines that were read as the rest of a row that had no end
	line  int            // number of the last line that was read
	ended bool           // by ErrEndless
}

// Part is what some lines of a file are.
type Part struct {
	Decoded payload.Result // the Index of a rejection is the number of its line
	Lines   int            // that were read so far, in all
	Bytes   int            // of the part
}

// NewDecoder returns a Decoder of r. Without a format the first byte says which it is. Times that say no zone are in zone.
func NewDecoder(r io.Reader, format Format, zone *time.Location) (*Decoder, error) {
	d := &Decoder{r: bufio.NewReaderSize(r, chunkBytes), zone: zone}
	mark, err := d.r.Peek(3)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if string(mark) == "\ufeff" {
		_, _ = d.r.Discard(3)
	}
	if format == (Format{}) {
		if first, _ := d.r.Peek(1); string(first) != "{" {
			format = CSV
		}
	}
	if format == CSV {
		header, err := d.header()
		if err != nil {
			return nil, err
		}
		d.csv = header
	}
	return d, nil
}

// Next returns what the next lines are, as received then; io.EOF where there are none. Its readings are valid, and have the
// times that the file gives them: a line without one that can be used is rejected, since it would be another reading each
// time that the file is imported.
func (d *Decoder) Next(received time.Time) (p Part, err error) {
	var buf []byte
	kept := 0 // bytes of rejections that are not in buf
	for first := d.line; d.line-first < partLines && len(buf)+kept < partBytes; {
		start := len(buf)
		buf, err = d.readLine(buf)
		if err != nil {
			break
		}
		line, number := buf[start:], d.line
		if d.csv != nil {
			var fault iot.Rejection
			if buf, fault, err = d.readRow(buf, start); err != nil {
				break
			}
			if line = buf[start:]; fault.Reason != "" {
				p.Decoded.Rejected = append(p.Decoded.Rejected, fault)
				kept += len(fault.Bytes)
				continue
			}
		}
		if len(line) > maxLine {
			p.Decoded.Rejected = append(p.Decoded.Rejected, iot.Rejection{
				Reason: iot.ReasonTooLarge, Detail: fmt.Sprintf("a line of over %d bytes, of which this is the beginning", maxLine),
				Index: number, Bytes: bytes.Clone(line[:keptLine]),
			})
			kept += keptLine
			buf = buf[:start]
			continue
		}
		if line = bytes.TrimSpace(line); len(line) > 0 {
			d.decode(line, number, received, &p.Decoded)
		}
	}
	p.Lines, p.Bytes = d.line, len(buf)+kept
	if (errors.Is(err, io.EOF) || errors.Is(err, ErrEndless)) && (len(p.Decoded.Readings) > 0 || len(p.Decoded.Rejected) > 0) {
		err = nil // until the next call
	}
	return p, err
}

// readLine appends the next line, without its end; of one that is too long the beginning.
func (d *Decoder) readLine(buf []byte) ([]byte, error) {
	start, length := len(buf), 0
	if len(d.again) > 0 {
		line, rest, _ := bytes.Cut(d.again, []byte{'\n'})
		d.again = rest
		d.line++
		return append(buf, line...), nil
	}
	for {
		chunk, err := d.r.ReadSlice('\n')
		if length += len(chunk); d.ended || length > endless {
			d.ended = true
			return buf[:start], ErrEndless
		}
		if len(buf)-start <= maxLine {
			buf = append(buf, chunk...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF) && len(buf) > start:
		case err != nil:
			return buf[:start], err
		}
		d.line++
		return bytes.TrimSuffix(buf, []byte{'\n'}), nil
	}
}

// decode appends what a line is.
func (d *Decoder) decode(line []byte, number int, received time.Time, out *payload.Result) {
	rejected := len(out.Rejected)
	if r, err := readingjson.ParseWhole(line); err == nil {
		r.Received, r.Times = received, nil
		switch ahead := r.At.Sub(received); {
		case d.May != nil && !d.May(r.Device):
			rejection := event.NotAllowed(r)
			rejection.Bytes = line
			out.Rejected = append(out.Rejected, rejection)
		case ahead > iot.MaxAhead || r.At.UnixMilli() == 0:
			out.Rejected = append(out.Rejected, iot.Rejection{
				Reason: iot.ReasonRetainedWithoutTimestamp, Device: r.Device, Bytes: line,
			})
		case r.Stamped == iot.StampServer:
			r.Origin = r.ContentOrigin()
		case r.Stamped == iot.StampUnknown && !isExport(line):
			r.Stamped = iot.StampDevice
		}
		if len(out.Rejected) == rejected {
			out.Readings = append(out.Readings, r)
		}
	} else if line[0] == '[' {
		out.Rejected = append(out.Rejected, iot.Rejection{Reason: iot.ReasonNotAnObject, Detail: "a line is one reading, and no array", Bytes: line})
	} else {
		payload.Decode(payload.Message{Payload: line, Received: received, Retained: true, Zone: d.zone, May: d.May}, out)
	}
	for i := range out.Rejected[rejected:] {
		r := &out.Rejected[rejected+i]
		if r.Index = number; r.Reason == iot.ReasonRetainedWithoutTimestamp {
			r.Detail = "a line with no timestamp that can be used"
		}
	}
}

// isExport reports whether a line is written as package readingjson does. Then it lacks what it does not say; other
// programs' timestamps are from devices.
func isExport(line []byte) bool {
	rest, ok := bytes.CutPrefix(line, []byte(`{"device_id":`))
	return ok && strings.HasPrefix(string(bytes.TrimLeft(rest[:min(len(rest), 40)], "0123456789")), `,"temperature":`)
}
