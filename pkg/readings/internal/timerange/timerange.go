// Package timerange puts a query over readings in the terms of an index on (timestamp, device), so that every
// store means the same by it.
package timerange

import (
	"slices"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// Range is what a query selects, in milliseconds since 1970: the readings with (From, FromDevice) < (at, device) and
// (at, device) < (End, EndDevice).
type Range struct {
	From, End  int64
	FromDevice iot.DeviceID // 0 where all of the millisecond From is inside
	EndDevice  iot.DeviceID // 0 where all of the millisecond End is outside
}

// What a cursor can name: the years 1 to 9999, which no reading of Telltale's is outside.
var (
	from = time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()
	end  = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()
)

// Of returns the range of q, whatever its Devices.
func Of(q iot.ScanQuery) Range {
	r := Range{From: from, End: end}
	if !q.From.IsZero() {
		r.From = max(from, iot.CeilMillis(q.From).UnixMilli())
	}
	if !q.To.IsZero() {
		r.End = min(end, iot.CeilMillis(q.To).UnixMilli())
	}
	switch at := q.After.At.UnixMilli(); {
	case q.After.IsZero():
	case q.Newest && at < r.End:
		r.End, r.EndDevice = at, q.After.Device
	case !q.Newest && at >= r.From:
		r.From, r.FromDevice = at, q.After.Device
	}
	return r
}

// OfPage returns the range of q, whatever its Devices.
func OfPage(q iot.ReadingQuery) Range {
	return Of(iot.ScanQuery{From: q.From, To: q.To, After: q.After, Newest: true})
}

// Devices returns the devices of a query ascending, each once; nil, which is all, for nil.
func Devices(devices []iot.DeviceID) []iot.DeviceID {
	devices = slices.Clone(devices)
	slices.Sort(devices)
	return slices.Compact(devices)
}

// FromFor returns the beginning of r for a single device: its readings in r are those with FromFor <= at < EndFor.
func (r Range) FromFor(device iot.DeviceID) int64 {
	if device <= r.FromDevice {
		return r.From + 1
	}
	return r.From
}

// EndFor returns the end of r for a single device: its readings in r are those with FromFor <= at < EndFor.
func (r Range) EndFor(device iot.DeviceID) int64 {
	if device < r.EndDevice {
		return r.End + 1
	}
	return r.End
}
