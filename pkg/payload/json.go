package payload

import (
	"sync"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// jsonDecoder is on the way through one message.
type jsonDecoder struct {
	scanner
	draft
	ts      tsMember
	values  bool // whether there is an object called values
	names   nameCache
	isBatch bool // the message is an array
	count   int  // of its elements that were read
	checked bool // that no element to come costs the whole message
}

// jsonDecoders keeps the memory of decoders that are done.
var jsonDecoders = sync.Pool{New: func() any {
	d := new(jsonDecoder)
	d.members = make([]member, 0, maxMembers)
	return d
}}

// startJSON begins to read m.
func startJSON(m Message, topic iot.DeviceID) reader {
	d := jsonDecoders.Get().(*jsonDecoder)
	d.text, d.i, d.start = m.Payload, 0, 0
	d.topic, d.received, d.retained = topic, m.Received.UnixMilli(), m.Retained
	d.space()
	if d.isBatch, d.count, d.checked = d.peek() == '[', 0, false; d.isBatch {
		d.i++
	}
	return d
}

// step implements reader. After the last one d is free.
func (d *jsonDecoder) step(out []iot.Reading, rejected []iot.Rejection) (_ []iot.Reading, _ []iot.Rejection, more bool) {
	readings, rejections := len(out), len(rejected)
	if d.isBatch {
		out, rejected, more = d.batch(out, rejected)
	} else {
		var f fault
		if out, f = d.element(out); f.reason != "" {
			rejected = append(rejected, f.rejection(d.owner(), d.text))
		}
	}
	if more {
		d.check()
	} else {
		d.end()
	}
	if d.broken.reason != "" {
		clear(out[readings:])
		out, rejected, more = out[:readings], append(rejected[:rejections], d.broken.rejection(d.topic, d.text)), false
	}
	if !more {
		d.free()
	}
	return out, rejected, more
}

// free gives d back, without what it knows of its message.
func (d *jsonDecoder) free() {
	d.text, d.broken = nil, fault{}
	d.reset()
	jsonDecoders.Put(d)
}

// Objects returns the parts of a payload that each are one reading, or rejection, decoded by itself as in
// the message: the objects in a batch, and otherwise the payload. They are slices of it.
func Objects(payload []byte) [][]byte {
	var objects [][]byte
	s := scanner{text: payload}
	if s.space(); s.peek() == '[' {
		s.i++
		for first := true; s.next(first, ']'); first = false {
			start := s.i
			if !s.skip(0) {
				break
			}
			if payload[start] == '{' {
				objects = append(objects, payload[start:s.i])
			}
		}
	}
	if s.space(); len(objects) == 0 || s.broken.reason != "" || s.i < len(payload) {
		return [][]byte{payload}
	}
	return objects
}

// batch reads a step's share of a batch, and reports whether there may be more.
func (d *jsonDecoder) batch(out []iot.Reading, rejected []iot.Rejection) (_ []iot.Reading, _ []iot.Rejection, more bool) {
	begin := d.i
	for n := 0; n < stepElements && d.i-begin < stepBytes; n++ {
		if !d.nextElement(d.count) {
			if d.count == 0 && d.broken.reason == "" {
				f := fault{iot.ReasonNoMetrics, "an empty batch"}
				rejected = append(rejected, f.rejection(d.topic, d.text))
			}
			return out, rejected, false
		}
		d.count++
		d.start = d.i
		var f fault
		if out, f = d.element(out); f.reason != "" {
			rejected = append(rejected, f.rejection(d.owner(), d.text[d.start:d.i]))
		}
		if d.broken.reason != "" {
			return out, rejected, false
		}
	}
	return out, rejected, true
}

// check looks at the elements of a batch that are not read yet for what costs the whole message, before any of it
// is handed out.
func (d *jsonDecoder) check() {
	if d.checked {
		return
	}
	ahead := d.scanner
	for n := d.count; ahead.nextElement(n) && ahead.skip(0); n++ { //nolint:revive // it goes ahead
	}
	ahead.end()
	d.broken, d.checked = ahead.broken, true
}

// element appends a reading, or says why it does not. It does neither when the text is broken.
func (d *jsonDecoder) element(out []iot.Reading) ([]iot.Reading, fault) {
	d.reset()
	d.flaw, d.ts, d.values = fault{}, tsMember{}, false
	if d.peek() != '{' {
		at := d.i
		if !d.skip(0) {
			return out, fault{}
		}
		d.reject(at, iot.ReasonNotAnObject, "a reading must be an object")
		return out, d.flaw
	}
	if !d.object(1, true) {
		return out, fault{}
	}
	if d.ts.value > 0 {
		d.takeTS(1)
	}
	if d.flaw.reason != "" {
		return out, d.flaw
	}
	return d.reading(out)
}
