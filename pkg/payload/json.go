package payload

import (
	"sync"
	"time"

	"github.com/telltale-iot/telltale/pkg/internal/decode"
	"github.com/telltale-iot/telltale/pkg/iot"
)

// jsonDecoder is on the way through one message.
type jsonDecoder struct {
	decode.Scanner
	decode.Draft
	out     *Result // of the step
	ts      tsMember
	values  bool // whether there is an object called values
	zone    *time.Location
	names   nameCache
	isBatch bool // the message is an array
	count   int  // of its elements that were read
	checked bool // that no element to come costs the whole message
}

// jsonDecoders keeps the memory of decoders that are done.
var jsonDecoders = sync.Pool{New: func() any {
	d := new(jsonDecoder)
	d.Members = make([]decode.Member, 0, decode.MaxMembers)
	return d
}}

// startJSON begins to read m.
func startJSON(m Message, topic iot.DeviceID, topicKey string) reader {
	d := jsonDecoders.Get().(*jsonDecoder)
	d.Text, d.Pos, d.Start = m.Payload, 0, 0
	d.Topic, d.TopicKey, d.Received, d.Retained = topic, topicKey, m.Received.UnixMilli(), m.Retained
	if d.zone = m.Zone; d.zone == nil {
		d.zone = time.UTC
	}
	d.Space()
	if d.isBatch, d.count, d.checked = d.Peek() == '[', 0, false; d.isBatch {
		d.Pos++
	}
	return d
}

// step implements reader. After the last one d is free.
func (d *jsonDecoder) step(out *Result) (more bool) {
	readings, rejected := len(out.Readings), len(out.Rejected)
	d.out = out
	if d.isBatch {
		more = d.batch()
	} else if f := d.element(); f.Reason != "" {
		out.Rejected = append(out.Rejected, f.Rejection(d.Owner(), d.Text))
	}
	if more {
		d.check()
	} else {
		d.End()
	}
	if d.Broken.Reason != "" {
		clear(out.Readings[readings:])
		out.Readings = out.Readings[:readings]
		out.Rejected, more = append(out.Rejected[:rejected], d.Broken.Rejection(d.Topic, d.Text)), false
	}
	if !more {
		d.free()
	}
	return more
}

// free gives d back, without what it knows of its message.
func (d *jsonDecoder) free() {
	d.Text, d.TopicKey, d.Broken, d.out = nil, "", decode.Fault{}, nil
	d.Reset()
	jsonDecoders.Put(d)
}

// Objects returns the parts of a payload that each are one reading, or rejection, decoded by itself as in
// the message: the objects in a batch, and otherwise the payload. They are slices of it.
func Objects(payload []byte) [][]byte {
	var objects [][]byte
	s := decode.Scanner{Text: payload}
	if s.Space(); s.Peek() == '[' {
		s.Pos++
		for first := true; s.Next(first, ']'); first = false {
			start := s.Pos
			if !s.Skip(0) {
				break
			}
			if payload[start] == '{' {
				objects = append(objects, payload[start:s.Pos])
			}
		}
	}
	if s.Space(); len(objects) == 0 || s.Broken.Reason != "" || s.Pos < len(payload) {
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
				d.out.Rejected = append(d.out.Rejected, f.Rejection(d.Topic, d.Text))
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
	d.Flaw, d.ts, d.values = decode.Fault{}, tsMember{}, false
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
	if d.ts.value > 0 {
		d.takeTS(1)
	}
	if d.Flaw.Reason != "" {
		return d.Flaw
	}
	d.out.Readings, f = d.Reading(d.out.Readings)
	return f
}
