package payload

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// Message is what a device sent.
type Message struct {
	DeviceID string    // the device id that the topic names, as it stands there; "" where it names none
	Payload  []byte    // not kept
	Received time.Time // from 1970 to 9999; the time of measurement where the message has none that can be used
	Retained bool      // a broker's copy of an earlier message: without a timestamp it is no new reading
}

// A message is read within these bounds. The first lets everything made of it, readings and dead letters,
// fit into a Kafka record of the default size, 1 MiB.
const (
	maxBytes    = 1_000_000
	maxElements = 10_000 // of a batch
	maxMembers  = 1_000  // of a reading
	maxDepth    = 16
)

// format is a way in which devices write readings.
type format struct {
	recognises func(payload []byte) bool
	decode     func(m Message, topic iot.DeviceID, out []iot.Reading) ([]iot.Reading, []iot.Rejection)
}

// formats has a line for each format. The first that recognises a payload reads it; the last takes all that
// is left, and says what is wrong with it.
var formats = []format{
	{recognises: func([]byte) bool { return true }, decode: decodeJSON},
}

// Decode appends the readings in m to out, in the order in which they stand there, and returns what it
// rejected. The readings share no memory with m.Payload. Each is valid by iot.Reading.Validate. The Bytes
// of a rejection are m.Payload or, of a batch, one element in it.
func Decode(m Message, out []iot.Reading) ([]iot.Reading, []iot.Rejection) {
	if len(m.Payload) > maxBytes {
		return out, m.reject(0, fault{iot.ReasonTooLarge, fmt.Sprintf("%d bytes, over %d", len(m.Payload), maxBytes)})
	}
	var topic iot.DeviceID
	if m.DeviceID != "" {
		var err error
		if topic, err = iot.ParseDeviceID(m.DeviceID); err != nil {
			return out, m.reject(0, fault{iot.ReasonInvalidDeviceID, fmt.Sprintf("topic: %.32q is "+notAnID, m.DeviceID)})
		}
	}
	i := slices.IndexFunc(formats, func(f format) bool { return f.recognises(m.Payload) })
	return formats[i].decode(m, topic, out)
}

const notAnID = "no integer from 1 to 2^53-1"

// reject rejects m as a whole.
func (m Message) reject(device iot.DeviceID, f fault) []iot.Rejection {
	return []iot.Rejection{f.rejection(device, m.Payload)}
}

// fault is why something is rejected. The zero fault is none.
type fault struct {
	reason iot.Reason
	detail string
}

// maxDetail is what iot.Rejection allows for a detail.
const maxDetail = 200

func (f fault) rejection(device iot.DeviceID, b []byte) iot.Rejection {
	detail := strings.ToValidUTF8(f.detail[:min(len(f.detail), maxDetail)], "")
	return iot.Rejection{Reason: f.reason, Detail: detail, Device: device, Bytes: b}
}
