package event

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/payload"
)

const (
	headerContentType = "content-type"
	typeProtobuf      = "application/x-protobuf"
	typeJSON          = "application/json"
)

// readingHeaders are those of every record with a reading. They are shared: nobody changes them.
var readingHeaders = []kafka.Header{{Key: headerContentType, Value: []byte(typeProtobuf)}}

// Record returns r as a record for topic: keyed by device, protobuf, stamped with r.Received.
func Record(topic string, r iot.Reading) kafka.Record {
	size := sizeReading(&r)
	buf := make([]byte, 0, size+len("9007199254740991"))
	buf = appendReading(buf, &r)
	buf = strconv.AppendInt(buf, int64(r.Device), 10)
	return kafka.Record{
		Topic:     topic,
		Key:       buf[size:],
		Value:     buf[:size:size],
		Headers:   readingHeaders,
		Timestamp: r.Received,
	}
}

// Decode appends the readings that rec carries to out: one for a protobuf record, any number for the
// legacy JSON (no content type, or application/json). What can never become a reading is a rejection
// whose Bytes are rec's value or a part of it, and whose Device is at least the one of rec's key. A legacy
// reading without a usable timestamp takes the record's, so that decoding it again gives the same
// reading; so does a protobuf reading without a time of receipt. Records of producers so old that they
// have none count as received now.
//
// A record can become many times as much as it is: for those of others, use a Decoder.
func Decode(rec *kafka.Record, out []iot.Reading) ([]iot.Reading, []iot.Rejection) {
	var rejected []iot.Rejection
	var d Decoder
	for d.Start(rec); d.More(); {
		out, rejected = d.Next(out, rejected)
	}
	return out, rejected
}

// Decoder decodes a record in steps, so that what becomes of a long batch never has to exist all at once. The zero
// Decoder has no record. A Decoder is not safe for concurrent use.
type Decoder struct {
	rec       *kafka.Record
	mediaType string
	whole     bool            // rec has one part, which was not decoded yet
	legacy    payload.Decoder // of a record that has any number of parts
	stamped   map[iot.DeviceID]time.Duration
}

// Start begins with rec, which must not change until the last step.
func (d *Decoder) Start(rec *kafka.Record) {
	*d = Decoder{rec: rec, mediaType: mediaType(rec.Header(headerContentType))}
	if d.mediaType == typeJSON || d.mediaType == "" {
		d.legacy.Start(message(rec, rec.Value))
	} else {
		d.whole = true
	}
}

// StartAgain begins with the bytes of a dead letter, or others in their place, as they were when they arrived: with
// the device of its topic, and its time of receipt for readings that have none of their own. Doing so again gives
// the same readings, and several readings of a device from one message have different times.
func (d *Decoder) StartAgain(letter iot.DeadLetter) {
	rec := &kafka.Record{Value: letter.Bytes, Timestamp: letter.Received}
	if letter.ContentType != "" {
		rec.Headers = []kafka.Header{{Key: headerContentType, Value: []byte(letter.ContentType)}}
	}
	if d.Start(rec); letter.ContentType == "" {
		d.legacy.Start(payload.Message{
			DeviceID: letter.TopicDevice, Payload: letter.Bytes, Received: letter.Received, Retained: letter.Retained,
		})
	}
}

// More reports whether there are steps to come.
func (d *Decoder) More() bool { return d.whole || d.legacy.More() }

// Next takes a step, as payload.Decoder does: it appends what Decode would.
func (d *Decoder) Next(out []iot.Reading, rejected []iot.Rejection) ([]iot.Reading, []iot.Rejection) {
	readings, rejections := len(out), len(rejected)
	switch {
	case !d.whole:
		out, rejected = d.legacy.Next(out, rejected)
		d.spread(out[readings:])
	case d.mediaType == typeProtobuf:
		r, err := decodeReading(d.rec, out)
		if d.whole = false; err == nil {
			return append(out, r), rejected
		}
		rejected = append(rejected, reject(d.rec, iot.ReasonInvalidProtobuf, err.Error()))
	default:
		d.whole = false
		rejected = append(rejected, reject(d.rec, iot.ReasonUnknownContentType, fmt.Sprintf("%.64q", d.rec.Header(headerContentType))))
	}
	for i := range rejected[rejections:] {
		if r := &rejected[rejections+i]; r.Device == 0 {
			r.Device, _ = iot.ParseDeviceID(string(d.rec.Key)) // 0 where it is none
		}
	}
	return out, rejected
}

// mediaType returns a content type in lower case and without parameters.
func mediaType(contentType []byte) string {
	if string(contentType) == typeProtobuf { // nearly always, and then without allocation
		return typeProtobuf
	}
	name, _, _ := bytes.Cut(contentType, []byte(";"))
	return string(bytes.ToLower(bytes.TrimSpace(name)))
}

// message is a part of a legacy record's value, as if its device had just sent it.
func message(rec *kafka.Record, part []byte) payload.Message {
	return payload.Message{Payload: part, Received: received(rec)}
}

// received returns when rec was produced.
func received(rec *kafka.Record) time.Time {
	if rec.Timestamp.UnixMilli() < 0 || rec.Timestamp.Year() > 9999 { // -1 or Go's zero time; or what no store takes
		return time.Now()
	}
	return rec.Timestamp
}

// spread gives the readings of one message that have no time of their own, but that of its receipt, times that
// differ where their device is the same: by a millisecond, in their order.
func (d *Decoder) spread(readings []iot.Reading) {
	if d.stamped == nil && len(readings) < 2 && !d.legacy.More() {
		return
	}
	if d.stamped == nil {
		d.stamped = map[iot.DeviceID]time.Duration{}
	}
	for i := range readings {
		if r := &readings[i]; r.Stamped == iot.StampServer {
			r.At = r.At.Add(d.stamped[r.Device])
			d.stamped[r.Device] += time.Millisecond
		}
	}
}

func reject(rec *kafka.Record, reason iot.Reason, detail string) iot.Rejection {
	return iot.Rejection{Reason: reason, Detail: shorten(detail), Bytes: rec.Value}
}

// decodeReading decodes the protobuf in rec. Names that stand at the same place in the last of before are
// not allocated again: neighbours in a topic have much in common.
func decodeReading(rec *kafka.Record, before []iot.Reading) (iot.Reading, error) {
	var like []iot.Metric
	if len(before) > 0 {
		like = before[len(before)-1].Metrics
	}
	r, err := parseReading(rec.Value, like)
	switch {
	case err != nil:
		return r, err
	case r.At.UnixMilli() == 0:
		return r, errors.New("no timestamp_ms")
	case r.Received.UnixMilli() == 0:
		r.Received = time.UnixMilli(received(rec).UnixMilli()).UTC()
	}
	return r, r.Validate()
}
