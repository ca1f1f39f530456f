// Package timerange puts a query over readings in the terms of an index on (timestamp, device), so that every
// store means the same by it.
package timerange

import (
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

// Of returns the range of q, whatever its Device.
func Of(q iot.ReadingQuery) Range {
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
	return r
}

// EndFor returns the end of r for a single device: its readings in r are those with From <= at < EndFor.
func (r Range) EndFor(device iot.DeviceID) int64 {
	if device < r.EndDevice {
		return r.End + 1
	}
	return r.End
}
