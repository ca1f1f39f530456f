// Package readingjson is the JSON form of a reading that clients see: in the answers of the HTTP API, and
// in Redis, where programs other than Telltale read it too.
//
//	{"device_id":7380597148161619,"temperature":21.5,"humidity":null,"timestamp":"2026-03-01T12:00:00.000Z",
//	 "metrics":{"pressure":1013},"attributes":{"firmware":"1.2"},"timestamp_source":"server",
//	 "device_key":"kitchen-1","device_timestamp":"31.12.1999",
//	 "times":{"pressure":"2026-03-01T11:59:00.000Z"}}
//
// The first four members are always there, in this order, null where the device did not send the value.
// The others are left out where there is nothing to say. Names are sorted, times have exactly three
// digits of milliseconds, so equal readings have equal bytes. The time of receipt is no part of the form; AppendReceived
// adds it.
//
// What devices send is another form, with many variants: package payload reads it.
package readingjson

import (
	"math"
	"strconv"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// Append appends r, which must be valid, to dst as a JSON object.
func Append(dst []byte, r iot.Reading) []byte {
	return append(appendMembers(dst, r), '}')
}

// AppendOnline is Append with a last member "status":"online", as clients see the latest reading of a
// device that counts as online.
func AppendOnline(dst []byte, r iot.Reading) []byte {
	return append(appendMembers(dst, r), `,"status":"online"}`...)
}

// AppendReceived is Append with a last member "received_at", when the reading came, as clients see one that just did.
func AppendReceived(dst []byte, r iot.Reading) []byte {
	dst = append(appendMembers(dst, r), `,"received_at":"`...)
	dst = AppendTime(dst, r.Received)
	return append(dst, `"}`...)
}

// appendMembers appends r without the closing brace.
func appendMembers(dst []byte, r iot.Reading) []byte {
	dst = append(dst, `{"device_id":`...)
	dst = strconv.AppendInt(dst, int64(r.Device), 10)
	dst = append(dst, `,"temperature":`...)
	dst = appendMetric(dst, r, iot.Temperature)
	dst = append(dst, `,"humidity":`...)
	dst = appendMetric(dst, r, iot.Humidity)
	dst = append(dst, `,"timestamp":"`...)
	dst = AppendTime(dst, r.At)
	dst = append(dst, '"')

	open := `,"metrics":{`
	for _, m := range r.Metrics {
		if m.Name == iot.Temperature || m.Name == iot.Humidity {
			continue
		}
		dst = append(dst, open...)
		dst = AppendString(dst, m.Name)
		dst = append(dst, ':')
		dst = AppendNumber(dst, m.Value)
		open = ","
	}
	if open == "," {
		dst = append(dst, '}')
	}

	if len(r.Attributes) > 0 {
		open = `,"attributes":{`
		for _, a := range r.Attributes {
			dst = append(dst, open...)
			dst = AppendString(dst, a.Name)
			dst = append(dst, ':')
			dst = AppendString(dst, a.Value)
			open = ","
		}
		dst = append(dst, '}')
	}

	if r.Stamped != iot.StampUnknown {
		dst = append(dst, `,"timestamp_source":"`...)
		dst = append(dst, r.Stamped.String()...)
		dst = append(dst, '"')
	}
	if r.Key != "" {
		dst = AppendString(append(dst, `,"device_key":`...), r.Key)
	}
	if r.Said != "" {
		dst = AppendString(append(dst, `,"device_timestamp":`...), r.Said)
	}
	if len(r.Times) > 0 {
		open = `,"times":{`
		for _, t := range r.Times {
			dst = append(dst, open...)
			dst = AppendString(dst, t.Name)
			dst = append(dst, ':', '"')
			dst = AppendTime(dst, t.At)
			dst = append(dst, '"')
			open = ","
		}
		dst = append(dst, '}')
	}
	return dst
}

func appendMetric(dst []byte, r iot.Reading, name string) []byte {
	v, ok := r.Metric(name)
	if !ok {
		return append(dst, "null"...)
	}
	return AppendNumber(dst, v)
}

// AppendNumber appends the shortest number that reads back as v, with an exponent where encoding/json has
// one. JSON has no NaN and no infinities, and no decoder lets them in; should a store hold one from
// elsewhere, null for that value is better than an answer that no client can parse.
func AppendNumber(dst []byte, v float64) []byte {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return append(dst, "null"...)
	}
	if abs := math.Abs(v); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		return strconv.AppendFloat(dst, v, 'e', -1, 64)
	}
	return strconv.AppendFloat(dst, v, 'f', -1, 64)
}

const hexDigits = "0123456789abcdef"

// AppendString appends s, which must be UTF-8, as a JSON string.
func AppendString[T string | []byte](dst []byte, s T) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, s[start:i]...)
		if c < ' ' {
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		} else {
			dst = append(dst, '\\', c)
		}
		start = i + 1
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

// AppendTime appends t as RFC 3339 in UTC with exactly three digits of milliseconds: the form of every
// time in the API. It has the same length for every year up to 9999, so texts compare like the times.
func AppendTime(dst []byte, t time.Time) []byte {
	t = t.UTC()
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	millis := t.Nanosecond() / 1e6
	dst = appendTwo(dst, year/100)
	dst = appendTwo(dst, year)
	dst = append(dst, '-')
	dst = appendTwo(dst, int(month))
	dst = append(dst, '-')
	dst = appendTwo(dst, day)
	dst = append(dst, 'T')
	dst = appendTwo(dst, hour)
	dst = append(dst, ':')
	dst = appendTwo(dst, minute)
	dst = append(dst, ':')
	dst = appendTwo(dst, second)
	dst = append(dst, '.', byte('0'+millis/100))
	dst = appendTwo(dst, millis)
	return append(dst, 'Z')
}

// appendTwo appends the last two decimal digits of n.
func appendTwo(dst []byte, n int) []byte {
	return append(dst, byte('0'+n/10%10), byte('0'+n%10))
}
