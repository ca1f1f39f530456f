package mapping

import (
	"fmt"
	"time"

	"github.com/telltale-iot/telltale/pkg/internal/decode"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/payload"
)

// Message is what was published to a topic that has a Route.
type Message struct {
	Payload  []byte    // not kept
	Received time.Time // from 1970 to 9999; the time of measurement where the message has none that can be used
	Retained bool      // a broker's copy of an earlier message
	Ordered  bool      // it is in the order in which they were published, so that what earlier ones of the set said holds

	May func(iot.DeviceID) bool // whether its sender may send for a device; nil: for all
	// Speaks is May for what the sender says of messages to come: that counts for his devices alone. nil: for all.
	Speaks func(iot.DeviceID) bool
	Own    iot.Identity // the device that its sender means where none is named; zero: that is an error
}

// Result is what messages became.
type Result = payload.Result

// Request is a message that devices are to get.
type Request = payload.Request

// Decoder decodes a message in steps, so that what becomes of a long one never has to exist all at once. The zero
// Decoder has no message. A Decoder is not safe for concurrent use.
type Decoder struct {
	route Route
	m     Message
	rest  steps // nil before the first step
	more  bool
}

// steps is on the way through one message.
type steps interface {
	// step is Decoder.Next. After anything but more it is not called again.
	step(out *Result) outcome
}

type outcome uint8

const (
	done     outcome = iota
	more             // there are steps to come
	unwanted         // the rule's conditions do not hold, and nothing was appended
)

// Start begins with m, which was published to the topic of route, and whose Payload must not change until the last step.
func (d *Decoder) Start(route Route, m Message) {
	*d = Decoder{route: route.of(m.Speaks), m: m, more: true}
}

// More reports whether there are steps to come.
func (d *Decoder) More() bool { return d.more }

// Next takes a step: it appends what about decode.StepBytes of the message became, in their order. The first step knows
// whether the message is rejected as a whole: then it is the only one.
func (d *Decoder) Next(out *Result) {
	if d.rest == nil {
		if len(d.m.Payload) > decode.MaxBytes {
			d.reject(out, iot.ReasonTooLarge, fmt.Sprintf("%d bytes, over %d", len(d.m.Payload), decode.MaxBytes))
			return
		}
		d.rest = d.route.start(d.m)
	}
	for {
		switch d.rest.step(out) {
		case more:
			return
		case done:
			d.rest, d.more = nil, false
			return
		}
		next, ok := d.route.next()
		if !ok {
			d.reject(out, iot.ReasonNoRule, fmt.Sprintf("the conditions of rule %.64q, and of those behind it, do not hold", d.route.Rule()))
			return
		}
		d.route = next
		d.rest = next.start(d.m)
	}
}

// reject ends with m rejected as a whole.
func (d *Decoder) reject(out *Result, reason iot.Reason, detail string) {
	id, _, _ := iot.ParseDevice(d.route.Device()) // 0 where the topic names none
	out.Rejected = append(out.Rejected, decode.Fault{Reason: reason, Detail: detail}.Rejection(id, d.m.Payload))
	d.rest, d.more = nil, false
}

// start begins to read m by the rule of r.
func (r Route) start(m Message) steps {
	rule := r.pattern.rule
	m.Retained = m.Retained && !rule.live
	if rule.form != nil {
		return rule.form.start(r, m)
	}
	return startReader(r, m)
}
