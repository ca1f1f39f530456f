package payload

import (
	"fmt"
	"sync"
	"time"

	"github.com/telltale-iot/telltale/pkg/internal/decode"
	"github.com/telltale-iot/telltale/pkg/iot"
)

// jsonDecoder is on the way through one message.
type jsonDecoder struct {
	decode.Scanner
	decode.Draft
	message []byte  // as it came; Text is what counts of it
	out     *Result // of the step
	zone    *time.Location
	names   nameCache
	isBatch bool // the message is an array
	count   int  // of its elements that were read
	checked bool // that no element to come costs the whole message

	// of the current element
	fault   decode.Fault // why it can be no reading
	first   decode.Fault // what is wrong with the first of the members that it is read without
	stamped bool         // whether there is a timestamp
	values  bool         // whether there is an object called values
	aliased bool         // whether there are aliases
	aliases aliases
}

// jsonDecoders keeps the memory of decoders that are done.
var jsonDecoders = sync.Pool{New: func() any {
	d := new(jsonDecoder)
	d.Members = make([]decode.Member, 0, decode.MaxMembers)
	return d
}}

// start begins to read m, or says why it is rejected as a whole.
func start(m *Message) (*jsonDecoder, decode.Fault) {
	if len(m.Payload) > decode.MaxBytes {
		return nil, decode.Fault{Reason: iot.ReasonTooLarge, Detail: fmt.Sprintf("%d bytes, over %d", len(m.Payload), decode.MaxBytes)}
	}
	var topic iot.DeviceID
	var topicKey string
	if m.DeviceID != "" {
		var err error
		if topic, topicKey, err = iot.ParseDevice(m.DeviceID); err != nil {
			return nil, decode.Fault{Reason: iot.ReasonInvalidDeviceID, Detail: fmt.Sprintf("topic: %.32q is "+notADevice, m.DeviceID)}
		}
	}
	d := jsonDecoders.Get().(*jsonDecoder)
	d.message, d.Text, d.Pos, d.Start = m.Payload, decode.Trim(m.Payload), 0, 0
	if d.zone = m.Zone; d.zone == nil {
		d.zone = time.UTC
	}
	d.Topic, d.TopicKey, d.Received, d.Retained, d.May = topic, topicKey, m.Received.UnixMilli(), m.Retained, m.May
	d.Own = m.Own
	d.Space()
	if d.isBatch, d.count, d.checked = d.Peek() == '[', 0, false; d.isBatch {
		d.Pos++
	}
	return d, decode.Fault{}
}

// step is Decoder.Next, and reports whether there are more. After the last one d is free.
func (d *jsonDecoder) step(out *Result) (more bool) {
	readings, rejected, omitted := len(out.Readings), len(out.Rejected), len(out.Omitted)
	d.out = out
	if d.isBatch {
		more = d.batch()
	} else if f := d.element(); f.Reason != "" {
		out.Rejected = append(out.Rejected, f.Rejection(d.Owner(), d.message))
	}
	if more {
		d.check()
	} else {
		d.End()
	}
	if d.Broken.Reason != "" {
		clear(out.Readings[readings:])
		out.Readings, out.Omitted = out.Readings[:readings], out.Omitted[:omitted]
		out.Rejected, more = append(out.Rejected[:rejected], d.Broken.Rejection(d.Topic, d.message)), false
	}
	if !more {
		d.free()
	}
	return more
}

// free gives d back, without what it knows of its message.
func (d *jsonDecoder) free() {
	d.message, d.Text, d.TopicKey, d.May, d.Own, d.Broken, d.out = nil, nil, "", nil, iot.Identity{}, decode.Fault{}, nil
	d.Reset()
	jsonDecoders.Put(d)
}

// Objects returns the parts of a payload that each are one reading, or rejection, decoded by itself as in
// the message: the objects in a batch, and otherwise the payload. They are slices of it.
func Objects(payload []byte) [][]byte {
	var objects [][]byte
	s := decode.Scanner{Text: decode.Trim(payload)}
	if s.Space(); s.Peek() == '[' {
		s.Pos++
		for first := true; s.Next(first, ']'); first = false {
			start := s.Pos
			if !s.Skip(0) {
				break
			}
			if s.Text[start] == '{' {
				objects = append(objects, s.Text[start:s.Pos])
			}
		}
	}
	if s.Space(); len(objects) == 0 || s.Broken.Reason != "" || s.Pos < len(s.Text) {
		return [][]byte{payload}
	}
	return objects
}

// batch reads a step's share of a batch, and reports whether there may be more.
func (d *jsonDecoder) batch() (more bool) {
	begin := d.Pos
	for n := 0; n < decode.StepElements && d.Pos-begin < decode.StepBytes; n++ {
		if !d.NextElement(d.count) {
			if d.count == 0 && d.Broken.Reason == "" {
				f := decode.Fault{Reason: iot.ReasonNoMetrics, Detail: "an empty batch"}
				d.out.Rejected = append(d.out.Rejected, f.Rejection(d.Topic, d.message))
			}
			return false
		}
		d.count++
		d.Start = d.Pos
		if f := d.element(); f.Reason != "" {
			r := f.Rejection(d.Owner(), d.Text[d.Start:d.Pos])
			r.Index = d.count - 1
			d.out.Rejected = append(d.out.Rejected, r)
		}
		if d.Broken.Reason != "" {
			return false
		}
	}
	return true
}

// check looks at the elements of a batch that are not read yet for what costs the whole message, before any of it
// is handed out.
func (d *jsonDecoder) check() {
	if d.checked {
		return
	}
	ahead := d.Scanner
	for n := d.count; ahead.NextElement(n) && ahead.Skip(0); n++ { //nolint:revive // it goes ahead
	}
	ahead.End()
	d.Broken, d.checked = ahead.Broken, true
}

// element appends a reading, or says why it does not. It does neither when the text is broken.
func (d *jsonDecoder) element() (f decode.Fault) {
	d.Reset()
	d.Flaw, d.stamped, d.values = decode.Fault{}, false, false
	if d.fault.Reason != "" || d.first.Reason != "" || d.aliased { // clearing takes as long as a member
		d.fault, d.first, d.aliases, d.aliased = decode.Fault{}, decode.Fault{}, aliases{}, false
	}
	omitted := len(d.out.Omitted)
	if d.Peek() != '{' {
		at := d.Pos
		if !d.Skip(0) {
			return decode.Fault{}
		}
		d.Reject(at, iot.ReasonNotAnObject, "a reading must be an object")
		return d.Flaw
	}
	if !d.object(1, true) {
		return decode.Fault{}
	}
	if d.aliased {
		d.takeAliases(1)
	}
	if f = d.fault; f.Reason == "" {
		d.out.Readings, f = d.Reading(d.out.Readings)
	}
	if f.Reason == iot.ReasonNoMetrics && d.first.Reason != "" {
		f = d.first
	}
	if f.Reason != "" {
		d.out.Omitted = d.out.Omitted[:omitted]
	}
	return f
}
