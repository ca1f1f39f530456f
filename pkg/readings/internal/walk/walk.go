// Package walk puts a query over readings in the terms of an index on (timestamp, device), so that every
// store means the same by it.
package walk

import (
	"fmt"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// Range is what a query selects, in milliseconds since 1970: the readings with From <= at and
// (at, device) < (End, EndDevice).
type Range struct {
	From, End int64
	EndDevice iot.DeviceID // 0 where all of the millisecond End is outside
}

// What a cursor can name: the years 1 to 9999, which no reading of Telltale's is outside.
var (
	from = time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()
	end  = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()
)

// RangeOf returns the range of q, whatever its Device. It fails where q.Limit is out of bounds.
func RangeOf(q iot.ReadingQuery) (Range, error) {
	if q.Limit < 1 || q.Limit > iot.MaxPage {
		return Range{}, fmt.Errorf("limit %d: %w", q.Limit, iot.ErrInvalid)
	}
	r := Range{From: from, End: end}
	if !q.From.IsZero() {
		r.From = max(from, iot.CeilMillis(q.From).UnixMilli())
	}
	if !q.To.IsZero() {
		r.End = min(end, iot.CeilMillis(q.To).UnixMilli())
	}
	if at := q.After.At.UnixMilli(); !q.After.IsZero() && at < r.End {
		r.End, r.EndDevice = at, q.After.Device
	}
	return r, nil
}

// EndFor returns the end of r for a single device: its readings in r are those with From <= at < EndFor.
func (r Range) EndFor(device iot.DeviceID) int64 {
	if device < r.EndDevice {
		return r.End + 1
	}
	return r.End
}

// Page is a page that is being filled.
type Page struct {
	iot.Page
	limit, bytes int
}

// PageOf returns the empty page for q.
func PageOf(q iot.ReadingQuery) *Page {
	const usual = 100 // readings; more are rare
	return &Page{Page: iot.Page{Readings: make([]iot.Reading, 0, min(q.Limit, usual))}, limit: q.Limit}
}

// Add adds the next reading of the walk while there is room for it, and reports whether there may be more. If
// not, the walk goes on behind the reading that was added before.
func (p *Page) Add(r iot.Reading) bool {
	n := len(p.Readings)
	if p.bytes += r.ContentBytes(); n > 0 && (n == p.limit || p.bytes > iot.MaxPageBytes) {
		last := &p.Readings[n-1]
		p.Next = iot.Cursor{At: last.At, Device: last.Device}
		return false
	}
	p.Readings = append(p.Readings, r)
	return true
}
