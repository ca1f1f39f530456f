package transfer

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/readingjson"
)

// Format is what a file of readings is written in.
type Format struct {
	Name      string // of the parameter, and the ending of files
	MediaType string
}

var (
	CSV     = Format{"csv", "text/csv"}
	NDJSON  = Format{"ndjson", "application/x-ndjson"}
	Parquet = Format{"parquet", "application/vnd.apache.parquet"}
)

// Formats are all that there are.
var Formats = []Format{CSV, NDJSON, Parquet}

// chunkBytes is about how much is written at a time.
const chunkBytes = 64 << 10

// Encoder writes readings to a file.
type Encoder interface {
	// Write adds a reading, which is not kept.
	Write(r *iot.Reading) error
	// Close writes what is left, and the end of the file.
	Close() error
}

// NewEncoder returns an Encoder of a file in format to w. The columns are those of metrics beside temperature and
// humidity; NDJSON has none. One that goes on with a file has no header.
func NewEncoder(w io.Writer, format Format, columns []string, goesOn bool) Encoder {
	switch format {
	case CSV:
		return newCSV(w, columns, goesOn)
	case Parquet:
		return newTable(w, columns)
	default:
		return &ndjson{chunk{w: w}}
	}
}

// chunk gathers what is written.
type chunk struct {
	w   io.Writer
	buf []byte
}

// flush writes what was gathered, where it is at least so many bytes.
func (c *chunk) flush(least int) error {
	if len(c.buf) < least {
		return nil
	}
	_, err := c.w.Write(c.buf)
	c.buf = c.buf[:0]
	return err
}

func (c *chunk) Close() error { return c.flush(1) }

// ndjson is an Encoder.
type ndjson struct{ chunk }

func (e *ndjson) Write(r *iot.Reading) error {
	e.buf = append(readingjson.Append(e.buf, *r), '\n')
	return e.flush(chunkBytes)
}

// Cursor returns where an export goes on behind r: its timestamp and device_id, as the rows of a file have them.
func Cursor(r iot.Cursor) string {
	b := readingjson.AppendTime(nil, r.At)
	return string(strconv.AppendInt(append(b, ','), int64(r.Device), 10))
}

// ParseCursor is the inverse of Cursor. A text that Cursor does not return is iot.ErrInvalid.
func ParseCursor(s string) (iot.Cursor, error) {
	timestamp, device, _ := strings.Cut(s, ",")
	at, err := time.Parse(time.RFC3339, timestamp)
	if err != nil || !at.Equal(iot.CeilMillis(at)) {
		return iot.Cursor{}, fmt.Errorf("cursor %.64q: %w", s, iot.ErrInvalid)
	}
	id, err := iot.ParseDeviceID(device)
	if err != nil {
		return iot.Cursor{}, fmt.Errorf("cursor %.64q: %w", s, err)
	}
	return iot.Cursor{At: at.UTC(), Device: id}, nil
}
