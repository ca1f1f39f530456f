package event

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/kafka/producer"
)

// DeadLetter is a dead letter on its way to the dead-letter topic.
type DeadLetter struct {
	iot.DeadLetter
	Key []byte // of the Kafka record that is rejected; empty where it has none, or is none
}

// The headers of a dead letter. The last five are there only where they say something; so is that of the
// content type.
const (
	headerReason      = "reason"
	headerDetail      = "detail"
	headerSource      = "source"
	headerReceived    = "received_at"
	headerClient      = "client_id"       // of the MQTT client that sent it
	headerPrincipal   = "principal"       // the user name by which its sender got in
	headerDevice      = "device_id"       // whose it is, where the key does not say so
	headerTopicDevice = "topic_device_id" // what stands for the device id in the MQTT topic
	headerRetained    = "retained"        // "true" of a retained MQTT message
)

// timeFormat is RFC 3339 to the millisecond.
const timeFormat = "2006-01-02T15:04:05.000Z07:00"

// Record returns d as a record for topic, keyed as the rejected record was, or by device where that is
// known. It has no timestamp of its own but the producer's: the dead letter is kept from now on, however old what
// it holds.
func (d DeadLetter) Record(topic string) kafka.Record {
	rec := kafka.Record{
		Topic: topic,
		Key:   d.Key,
		Value: d.Bytes,
		Headers: []kafka.Header{
			{Key: headerReason, Value: []byte(d.Reason)},
			{Key: headerDetail, Value: []byte(d.Detail)},
			{Key: headerSource, Value: []byte(d.Source)},
			{Key: headerReceived, Value: d.Received.UTC().AppendFormat(nil, timeFormat)},
		},
	}
	add := func(name, value string) {
		if value != "" {
			rec.Headers = append(rec.Headers, kafka.Header{Key: name, Value: []byte(value)})
		}
	}
	add(headerClient, d.Client)
	add(headerPrincipal, d.Principal)
	if d.Device != 0 {
		switch id := d.Device.String(); {
		case len(rec.Key) == 0:
			rec.Key = []byte(id)
		case string(rec.Key) != id:
			add(headerDevice, id)
		}
	}
	add(headerTopicDevice, d.TopicDevice)
	if d.Retained {
		add(headerRetained, "true")
	}
	add(headerContentType, d.ContentType)
	return rec
}

// ReadDeadLetter returns the dead letter that rec, from the dead-letter topic, carries. What other programs
// may have put there is taken too, as far as it goes: a record without headers is a dead letter without a
// reason. Its Bytes are rec's.
func ReadDeadLetter(rec *kafka.Record) iot.DeadLetter {
	text := func(name string, most int) string {
		value := rec.Header(name)
		return strings.ToValidUTF8(string(value[:min(len(value), most)]), "")
	}
	device := cmp.Or(string(rec.Header(headerDevice)), string(rec.Key))
	id, _ := iot.ParseDeviceID(device) // 0 where it is none
	return iot.DeadLetter{
		Rejection:   iot.Rejection{Reason: iot.Reason(text(headerReason, 64)), Detail: text(headerDetail, maxDetail), Device: id, Bytes: rec.Value},
		ID:          deadLetterID(rec),
		Source:      text(headerSource, 1<<16),
		Client:      text(headerClient, 1<<16),
		Principal:   text(headerPrincipal, 1<<16),
		Received:    arrival(rec),
		TopicDevice: text(headerTopicDevice, 1<<16),
		Retained:    string(rec.Header(headerRetained)) == "true",
		ContentType: text(headerContentType, maxType),
	}
}

// deadLetterID is a hash of the offset of rec and of its content: a topic that was deleted and created anew begins
// with the same offsets.
func deadLetterID(rec *kafka.Record) iot.DeadLetterID {
	h := sha256.New()
	number := func(n int64) { _, _ = h.Write(binary.BigEndian.AppendUint64(nil, uint64(n))) } // a hash never fails
	bytes := func(b []byte) {
		number(int64(len(b)))
		_, _ = h.Write(b)
	}
	bytes([]byte(rec.Topic))
	number(int64(rec.Partition))
	number(rec.Offset)
	number(rec.Timestamp.UnixMilli())
	bytes(rec.Key)
	bytes(rec.Value)
	for _, header := range rec.Headers {
		bytes([]byte(header.Key))
		bytes(header.Value)
	}
	return iot.DeadLetterID(h.Sum(nil))
}

const (
	headBytes = 64 << 10 // how much Head leaves of a dead letter: enough to see what it was
	maxKey    = 4 << 10  // bytes of a key, in a head; a device's has 16 at most
	maxType   = 256      // bytes of a content type
)

// Head returns d with only the beginning of its bytes, and a detail that says so: what is left to keep of
// a dead letter that is too large. A key of kilobytes is left out.
func (d DeadLetter) Head() DeadLetter {
	if len(d.Bytes) > headBytes {
		d.Detail = shorten(fmt.Sprintf("the first %d of %d bytes: %s", headBytes, len(d.Bytes), d.Detail))
		d.Bytes = d.Bytes[:headBytes]
	}
	if len(d.Key) > maxKey {
		d.Key = nil
	}
	d.ContentType = strings.ToValidUTF8(d.ContentType[:min(len(d.ContentType), maxType)], "")
	return d
}

// Produce sends d to topic, as producer.Producer.Produce does: when it is too large for the topic its head, and
// if need be only the reason.
func (d DeadLetter) Produce(p *producer.Producer, topic string, done func(error)) {
	p.Produce(d.Record(topic), func(err error) {
		if !errors.Is(err, producer.ErrTooLarge) {
			done(err)
			return
		}
		less := d.Head()
		if less.size() == d.size() { // a head already
			less.Bytes = nil
		}
		if less.size() == d.size() {
			done(err)
			return
		}
		less.Produce(p, topic, done)
	})
}

// SendDeadLetters makes batch durable in topic. After an error any part may be there, and the caller repeats the whole
// batch.
func SendDeadLetters(ctx context.Context, p *producer.Producer, topic string, batch []DeadLetter) error {
	answers := make(chan error, len(batch))
	for _, d := range batch {
		d.Produce(p, topic, func(err error) { answers <- err })
	}
	var first error
	for range batch {
		select {
		case err := <-answers:
			first = cmp.Or(first, err)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return first
}

// size is the bytes of d that Head may cut.
func (d DeadLetter) size() int { return len(d.Bytes) + len(d.Key) + len(d.ContentType) }

// maxDetail is what iot.Rejection allows for a detail.
const maxDetail = 200

// shorten cuts a detail to the 200 bytes that it may have.
func shorten(detail string) string {
	return strings.ToValidUTF8(detail[:min(len(detail), maxDetail)], "")
}
