package event

import (
	"fmt"
	"strings"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka"
)

// DeadLetter is a rejection on its way to the dead-letter topic.
type DeadLetter struct {
	iot.Rejection
	Source   string    // an MQTT topic, or topic/partition/offset of a Kafka record
	Received time.Time // when the rejected bytes arrived
}

// timeFormat is RFC 3339 to the millisecond.
const timeFormat = "2006-01-02T15:04:05.000Z07:00"

// Record returns d as a record for topic, keyed by device where that is known. It has no timestamp of its
// own but the producer's: the letter is kept from now on, however old what it holds.
func (d DeadLetter) Record(topic string) kafka.Record {
	rec := kafka.Record{
		Topic: topic,
		Value: d.Bytes,
		Headers: []kafka.Header{
			{Key: "reason", Value: []byte(d.Reason)},
			{Key: "detail", Value: []byte(d.Detail)},
			{Key: "source", Value: []byte(d.Source)},
			{Key: "received_at", Value: d.Received.UTC().AppendFormat(nil, timeFormat)},
		},
	}
	if d.Device != 0 {
		rec.Key = []byte(d.Device.String())
	}
	return rec
}

// headBytes is how much Head leaves of a letter: enough to see what it was.
const headBytes = 64 << 10

// Head returns d with only the beginning of its bytes, and a detail that says so: what is left to keep of
// a letter that is too large for Kafka.
func (d DeadLetter) Head() DeadLetter {
	if len(d.Bytes) > headBytes {
		d.Detail = shorten(fmt.Sprintf("the first %d of %d bytes: %s", headBytes, len(d.Bytes), d.Detail))
		d.Bytes = d.Bytes[:headBytes]
	}
	return d
}

// shorten cuts a detail to the 200 bytes that it may have.
func shorten(detail string) string {
	return strings.ToValidUTF8(detail[:min(len(detail), 200)], "")
}
