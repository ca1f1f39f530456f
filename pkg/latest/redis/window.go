package redis

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/latest/internal/window"
	"github.com/telltale-iot/telltale/pkg/readingjson"
)

// The text of a window is a header, the value that it comes to, and its readings, a line each, readings as package
// readingjson writes them. Times are ms since 1970:
//
//	f3b9 1772366400000                            something unique, the newest arrival
//	{"device_id":42,"temperature":…               the value
//	1772366400000 {"device_id":42,"temperature":… the arrival of a reading, the reading
//	1772366390000 {"device_id":42,"temperature":…
//
// Where it is just the reading that arrived last, as with most devices, that is the value, and the header has what the
// script needs to know when the next one comes:
//
//	f3b9 1772366400000 1772366399000 91c2         also the time of the reading, a number for the names in it
//	{"device_id":42,"temperature":…

// appendWindow appends w with a header that no other window has had.
func appendWindow(dst []byte, w *window.Window) []byte {
	dst = strconv.AppendUint(dst, rand.Uint64(), 16)
	dst = strconv.AppendInt(append(dst, ' '), w.Newest.UnixMilli(), 10)
	one := len(w.Readings) == 1 && w.Readings[0].Received.Equal(w.Newest)
	if one {
		dst = strconv.AppendInt(append(dst, ' '), w.Readings[0].At.UnixMilli(), 10)
		dst = strconv.AppendUint(append(dst, ' '), hashNames(&w.Readings[0]), 16)
	}
	dst = readingjson.Append(append(dst, '\n'), w.Latest())
	for i := 0; i < len(w.Readings) && !one; i++ {
		dst = strconv.AppendInt(append(dst, '\n'), w.Readings[i].Received.UnixMilli(), 10)
		dst = readingjson.Append(append(dst, ' '), w.Readings[i])
	}
	return dst
}

// hashNames returns a number for the names of r's metrics and attributes (FNV-1a).
func hashNames(r *iot.Reading) uint64 {
	h := uint64(14695981039346656037)
	add := func(name string, end byte) {
		for i := range len(name) {
			h = (h ^ uint64(name[i])) * 1099511628211
		}
		h = (h ^ uint64(end)) * 1099511628211
	}
	for _, m := range r.Metrics {
		add(m.Name, 0) // no name has such bytes
	}
	for _, a := range r.Attributes {
		add(a.Name, 0xff)
	}
	return h
}

// parseWindow returns the window that text says, and the value in it. What Telltale did not write is no window.
func parseWindow(text []byte) (w window.Window, value []byte) {
	header, rest, _ := bytes.Cut(text, []byte("\n"))
	value, rest, several := bytes.Cut(rest, []byte("\n"))
	fields := bytes.Fields(header)
	if len(fields) < 2 {
		return window.Window{}, nil
	}
	newest, err := parseMillis(fields[1])
	if err != nil {
		return window.Window{}, nil
	}
	w.Newest = newest
	if !several {
		rest = slices.Concat(fields[1], []byte(" "), value)
	}
	w.Readings = make([]iot.Reading, 0, 2+bytes.Count(rest, []byte("\n"))) // and one that is added
	for line := range bytes.Lines(rest) {
		received, reading, _ := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte(" "))
		r, err := readingjson.Parse(reading)
		if err != nil {
			return window.Window{}, nil
		}
		if r.Received, err = parseMillis(received); err != nil {
			return window.Window{}, nil
		}
		w.Readings = append(w.Readings, r)
	}
	if len(w.Readings) == 0 {
		return window.Window{}, nil
	}
	return w, value
}

func parseMillis(text []byte) (time.Time, error) {
	ms, err := strconv.ParseInt(string(text), 10, 64)
	return time.UnixMilli(ms).UTC(), err
}

// adopt adds value to w, where that is not what w comes to: a cache-updater that knows no windows has left it, or the
// window was lost. Members that are older than the rest of it are left out.
func adopt(w *window.Window, value []byte, arrived, now time.Time, ttl time.Duration) {
	r, err := readingjson.Parse(value)
	if err != nil || r.At.Sub(now) > iot.MaxAhead {
		return
	}
	older := func(name string) bool {
		return slices.ContainsFunc(r.Times, func(t iot.MemberTime) bool { return t.Name == name })
	}
	r.Metrics = slices.DeleteFunc(r.Metrics, func(m iot.Metric) bool { return older(m.Name) })
	r.Attributes = slices.DeleteFunc(r.Attributes, func(a iot.Attribute) bool { return older(a.Name) })
	r.Times, r.Received = nil, arrived
	if len(r.Metrics) > 0 {
		w.Add(r, ttl)
	}
}
