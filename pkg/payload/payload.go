package payload

import (
	"time"

	"github.com/telltale-iot/telltale/pkg/internal/decode"
	"github.com/telltale-iot/telltale/pkg/iot"
)

// What a message is read within, for those who bound what they decode.
const (
	MaxElements  = decode.MaxElements  // of a batch: a longer one is rejected
	StepElements = decode.StepElements // that a Decoder reads in a step, at most
)

// Message is what a device sent.
type Message struct {
	DeviceID string         // the device's id or key, as it stands in the topic; "" where none does
	Payload  []byte         // not kept
	Received time.Time      // from 1970 to 9999; the time of measurement where the message has none that can be used
	Retained bool           // a broker's copy of an earlier message: without a timestamp it is no new reading
	Zone     *time.Location // of times that do not say theirs; nil is UTC

	May func(iot.DeviceID) bool // whether its sender may send for a device; nil: for all
	Own iot.Identity            // the device that its sender means where none is named; zero: that is an error
}

// Result is what messages became.
type Result struct {
	Readings []iot.Reading
	Rejected []iot.Rejection
	Omitted  []iot.Omitted
	Requests []Request
}

// Reset lets go of all in r, and keeps its memory.
func (r *Result) Reset() {
	clear(r.Readings)
	clear(r.Rejected)
	clear(r.Omitted)
	clear(r.Requests)
	r.Readings, r.Rejected, r.Omitted, r.Requests = r.Readings[:0], r.Rejected[:0], r.Omitted[:0], r.Requests[:0]
}

// Request is a message that devices are to get.
type Request struct {
	Topic   string
	Payload []byte
}

// Decode appends what m became to out, in the order in which it stands there. The readings share no memory with m.Payload.
// Each is valid by iot.Reading.Validate. The Bytes of a rejection are m.Payload or, of a batch, one element in it.
//
// A megabyte can become many times as much: where messages may be long, use a Decoder.
func Decode(m Message, out *Result) {
	var d Decoder
	for d.Start(m); d.More(); {
		d.Next(out)
	}
}

// Decoder decodes a message in steps, so that what becomes of a long batch never has to exist all at once. The
// zero Decoder has no message. A Decoder is not safe for concurrent use.
type Decoder struct {
	m    Message
	rest *jsonDecoder // nil before the first step
	more bool
}

// Start begins with m, whose Payload must not change until the last step.
func (d *Decoder) Start(m Message) { *d = Decoder{m: m, more: true} }

// More reports whether there are steps to come.
func (d *Decoder) More() bool { return d.more }

// Next takes a step: it appends to out what Decode would, in the same order, about as much as decode.StepBytes of the
// message hold, or nothing. The first step knows whether the message is rejected as a whole: then it is the only one.
func (d *Decoder) Next(out *Result) {
	if d.rest == nil {
		var f decode.Fault
		if d.rest, f = start(&d.m); f.Reason != "" {
			d.more = false
			out.Rejected = append(out.Rejected, f.Rejection(0, d.m.Payload))
			return
		}
	}
	if d.more = d.rest.step(out); !d.more {
		d.rest = nil
	}
}

const notADevice = "neither an id from 1 to 2^53-1 nor a key"
