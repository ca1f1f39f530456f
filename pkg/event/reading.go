package event

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/mapping"
	"github.com/telltale-iot/telltale/pkg/payload"
)

const (
	headerContentType = "content-type"
	typeProtobuf      = "application/x-protobuf"
	typeJSON          = "application/json"
)

// readingHeaders are those of every record with a reading. They are shared: nobody changes them.
var readingHeaders = []kafka.Header{{Key: headerContentType, Value: []byte(typeProtobuf)}}

// Source is where a reading came from, as its record tells people. Nothing else goes by it.
type Source struct{ topic, client string } // of maxSource bytes at most, UTF-8

// maxSource bounds each text of a Source: every record of a batch has them.
const maxSource = 256

// NewSource returns what a record can tell of the MQTT topic that a message was published to, and of the client that
// published it, "" where nobody knows: a text that is too long, or no text at all, is left out.
func NewSource(topic, client string) (s Source) {
	if len(topic) <= maxSource && utf8.ValidString(topic) {
		s.topic = topic
	}
	if len(client) <= maxSource && utf8.ValidString(client) {
		s.client = client
	}
	return s
}

// Len is how many bytes s has: 2*maxSource at most.
func (s Source) Len() int { return len(s.topic) + len(s.client) }

// Record returns r as a record for topic: keyed by device, protobuf. Its time is that at which it is produced,
// or comes to Kafka: that is when it counts as received, whatever r.Received says.
func Record(topic string, r iot.Reading) kafka.Record { return RecordFrom(topic, r, Source{}) }

// RecordFrom is Record for a reading of which it is known where it came from.
func RecordFrom(topic string, r iot.Reading, from Source) kafka.Record {
	size := sizeReading(&r, from)
	buf := make([]byte, 0, size+len("9007199254740991"))
	buf = appendReading(buf, &r, from)
	buf = strconv.AppendInt(buf, int64(r.Device), 10)
	return kafka.Record{
		Topic:   topic,
		Key:     buf[size:],
		Value:   buf[:size:size],
		Headers: readingHeaders,
	}
}

// RecordAgain is RecordFrom for a reading that arrived before, and counts as received then.
func RecordAgain(topic string, r iot.Reading, from Source) kafka.Record {
	rec := RecordFrom(topic, r, from)
	rec.Headers = append(slices.Clip(rec.Headers), kafka.Header{
		Key: headerReceived, Value: r.Received.UTC().AppendFormat(nil, timeFormat),
	})
	return rec
}

// RecordOfCopy is RecordFrom for a reading that its device has not just sent: from a file, or a broker's retained message.
// When it arrived at first nobody knows, so it counts as received when it was measured.
func RecordOfCopy(topic string, r iot.Reading, from Source) kafka.Record {
	if r.At.Before(r.Received) {
		r.Received = r.At
	}
	return RecordAgain(topic, r, from)
}

// Decode appends the readings that rec carries to out: one for a protobuf record, any number for the
// legacy JSON (no content type, or application/json). What can never become a reading is a rejection
// whose Bytes are rec's value or a part of it, and whose Device is at least the one of rec's key. Decoding a
// record again gives the same readings.
//
// A reading counts as received when its record came to Kafka, by Kafka's clock, or before that where the record
// has a header that says so, and then the readings are Again. Whatever has no usable timestamp takes that one, and so does what is dated more than
// iot.MaxAhead after it, whoever set the timestamp: no clock of a producer makes a reading of tomorrow. What a
// server stamped without an origin has one that is made of the record's place. Where a device's key is not that of
// its id the record is rejected.
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
	whole     bool             // rec has one part, which was not decoded yet
	legacy    payload.Decoder  // of a record that has any number of parts
	mapped    *mapping.Decoder // in its place, of a dead letter that there is a rule for; else nil
	decoded   *payload.Result  // of a step of either; nil before the first
	stamped   map[iot.DeviceID]time.Duration
	origin    uint64 // the latest that was made; 0: none
}

// Start begins with rec, which must not change until the last step.
func (d *Decoder) Start(rec *kafka.Record) {
	*d = Decoder{rec: rec, mediaType: mediaType(rec.Header(headerContentType)), decoded: d.decoded}
	if d.mediaType == typeJSON || d.mediaType == "" {
		d.legacy.Start(message(rec, rec.Value))
	} else {
		d.whole = true
	}
}

// StartReplay begins to decode the bytes of a dead letter, or a correction of them, as if they arrived once more on the
// day that they did. Without a content type they are what a device sent, and are decoded by the first of rules, which may
// be nil, that is for the topic; where none is, in Telltale's own form with the device that the topic named. Readings
// without a timestamp take the time of receipt. The same bytes and rules give the same readings each time.
func (d *Decoder) StartReplay(deadLetter iot.DeadLetter, rules *mapping.Set) {
	rec := &kafka.Record{Value: deadLetter.Bytes, Timestamp: deadLetter.Received}
	if deadLetter.ContentType != "" {
		rec.Headers = []kafka.Header{{Key: headerContentType, Value: []byte(deadLetter.ContentType)}}
	}
	d.Start(rec)
	d.origin = hash(deadLetter.ID[:], deadLetter.Bytes)
	if deadLetter.ContentType != "" {
		return
	}
	var zone *time.Location
	if rules != nil {
		zone = rules.Zone()
		if route, ok := rules.Match(deadLetter.Source); ok {
			d.mapped = new(mapping.Decoder)
			d.mapped.Start(route, mapping.Message{Payload: deadLetter.Bytes, Received: deadLetter.Received, Retained: deadLetter.Retained})
			return
		}
	}
	d.legacy.Start(payload.Message{
		DeviceID: deadLetter.TopicDevice, Payload: deadLetter.Bytes, Received: deadLetter.Received, Zone: zone, Retained: deadLetter.Retained,
	})
}

// Correct returns deadLetter with other bytes in the place of its own, to be replayed: JSON as devices send it to its
// topic or, where it is of a Kafka record, in the form that Values returns.
func Correct(deadLetter iot.DeadLetter, bytes []byte) iot.DeadLetter {
	if deadLetter.Bytes = bytes; deadLetter.ContentType != "" {
		deadLetter.ContentType = typeJSON
	}
	return deadLetter
}

// More reports whether there are steps to come.
func (d *Decoder) More() bool { return d.whole || d.moreParts() }

func (d *Decoder) moreParts() bool {
	if d.mapped != nil {
		return d.mapped.More()
	}
	return d.legacy.More()
}

// Next takes a step, as payload.Decoder does: it appends what Decode would.
func (d *Decoder) Next(out []iot.Reading, rejected []iot.Rejection) ([]iot.Reading, []iot.Rejection) {
	readings, rejections := len(out), len(rejected)
	switch {
	case !d.whole:
		out, rejected = d.nextParts(out, rejected)
		d.spread(out[readings:])
		for i := range out[readings:] {
			r := &out[readings+i]
			r.Again = again(d.rec)
			if r.Stamped == iot.StampServer {
				r.Origin = d.nextOrigin()
			}
		}
	case d.mediaType == typeProtobuf:
		r, err := d.decodeReading(out)
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

// nextParts takes a step of mapped or legacy. Members that readings are kept without are nobody's here: no device waits
// for a word.
func (d *Decoder) nextParts(out []iot.Reading, rejected []iot.Rejection) ([]iot.Reading, []iot.Rejection) {
	if d.decoded == nil {
		d.decoded = new(payload.Result)
	}
	*d.decoded = payload.Result{Readings: out, Rejected: rejected, Omitted: d.decoded.Omitted[:0]}
	if d.mapped != nil {
		d.mapped.Next(d.decoded)
	} else {
		d.legacy.Next(d.decoded)
	}
	out, rejected = d.decoded.Readings, d.decoded.Rejected
	d.decoded.Readings, d.decoded.Rejected = nil, nil
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
	return payload.Message{Payload: part, Received: arrival(rec)}
}

// arrival returns when what rec holds was received. Records of producers so old that they have no time count as
// received now.
func arrival(rec *kafka.Record) time.Time {
	at := rec.Timestamp
	if !hasTime(rec) {
		at = time.Now()
	}
	if header := rec.Header(headerReceived); header != nil { // hardly ever, and to find that nothing is no time takes memory
		said, err := time.Parse(time.RFC3339, string(header))
		if err == nil && said.UnixMilli() >= 0 && said.Before(at) {
			at = said
		}
	}
	return time.UnixMilli(at.UnixMilli()).UTC()
}

// again reports whether what rec holds arrived before, as RecordAgain says.
func again(rec *kafka.Record) bool { return rec.Header(headerReceived) != nil }

// hasTime reports whether rec has a time at all, and one that stores take: not -1, nor Go's zero time.
func hasTime(rec *kafka.Record) bool {
	return rec.Timestamp.UnixMilli() >= 0 && rec.Timestamp.Year() <= 9999
}

// nextOrigin returns another origin, the same ones each time that the record or dead letter is decoded.
func (d *Decoder) nextOrigin() uint64 {
	if d.origin == 0 {
		place := binary.BigEndian.AppendUint32(nil, uint32(d.rec.Partition))
		d.origin = hash([]byte(d.rec.Topic), binary.BigEndian.AppendUint64(place, uint64(d.rec.Offset)))
	}
	d.origin++
	return d.origin
}

// hash returns the beginning of a SHA-256.
func hash(parts ...[]byte) uint64 {
	h := sha256.New()
	for _, b := range parts {
		_, _ = h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(b)))) // a hash never fails
		_, _ = h.Write(b)
	}
	return binary.BigEndian.Uint64(h.Sum(nil))
}

// spread makes the times of readings of one device differ that have none but that of the message's receipt: by a
// millisecond each, in their order.
func (d *Decoder) spread(readings []iot.Reading) {
	if d.stamped == nil && len(readings) < 2 && !d.moreParts() {
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

// decodeReading decodes the protobuf in the record. Names that stand at the same place in the last of before, and
// its key, are not allocated again: neighbours in a topic have much in common.
func (d *Decoder) decodeReading(before []iot.Reading) (iot.Reading, error) {
	like := new(iot.Reading)
	if len(before) > 0 {
		like = &before[len(before)-1]
	}
	r, err := parseReading(d.rec.Value, like)
	if err != nil {
		return r, err
	}
	if r.At.UnixMilli() == 0 {
		return r, errors.New("no timestamp_ms")
	}
	if hasTime(d.rec) || r.Received.UnixMilli() == 0 {
		r.Received = arrival(d.rec)
	}
	r.Again = again(d.rec)
	if r.At.Sub(r.Received) > iot.MaxAhead {
		if r.Said == "" && r.Stamped != iot.StampServer {
			r.Said = r.At.Format(timeFormat)
		}
		r.At, r.Stamped, r.Origin = r.Received, iot.StampServer, 0
	}
	if r.Stamped == iot.StampServer && r.Origin == 0 {
		r.Origin = d.nextOrigin()
	}
	return r, r.Validate()
}
