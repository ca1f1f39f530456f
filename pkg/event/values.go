package event

import (
	"strconv"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/payload"
	"github.com/telltale-iot/telltale/pkg/readingjson"
)

// Values returns r, which arrived at received, as the bytes of a dead letter and their content type: JSON in the form
// that package payload reads, for people to look at, to correct and to replay. It returns false where decoding that would
// not give the same reading again: r was stamped by a server, or has what only a producer other than the bridge sends.
func Values(r iot.Reading, received time.Time) (b []byte, contentType string, ok bool) {
	if r.Stamped == iot.StampServer {
		return nil, "", false
	}
	b = appendValues(nil, r)
	var out payload.Result
	payload.Decode(payload.Message{Payload: b, Received: received}, &out)
	if len(out.Readings) != 1 {
		return b, typeJSON, false
	}
	got := out.Readings[0]
	return b, typeJSON, got.Device == r.Device && got.Key == r.Key && got.At.Equal(r.At) && got.SameContent(r)
}

func appendValues(dst []byte, r iot.Reading) []byte {
	dst = append(dst, `{"device_id":`...)
	if r.Key != "" {
		dst = readingjson.AppendString(dst, r.Key)
	} else {
		dst = strconv.AppendInt(dst, int64(r.Device), 10)
	}
	dst = append(dst, `,"timestamp":"`...)
	dst = append(readingjson.AppendTime(dst, r.At), '"')
	for _, m := range r.Metrics {
		dst = readingjson.AppendString(append(dst, ','), m.Name)
		dst = readingjson.AppendNumber(append(dst, ':'), m.Value)
	}
	for _, a := range r.Attributes {
		dst = readingjson.AppendString(append(dst, ','), a.Name)
		dst = readingjson.AppendString(append(dst, ':'), a.Value)
	}
	return append(dst, '}')
}
