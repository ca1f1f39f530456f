package payload

import (
	"fmt"
	"sync"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// jsonDecoder is on the way through one message.
type jsonDecoder struct {
	scanner
	draft
	ts     tsMember
	values bool // whether there is an object called values
	names  nameCache
}

// jsonDecoders keeps the memory of decoders that are done.
var jsonDecoders = sync.Pool{New: func() any {
	d := new(jsonDecoder)
	d.members = make([]member, 0, maxMembers)
	return d
}}

func decodeJSON(m Message, topic iot.DeviceID, out []iot.Reading) ([]iot.Reading, []iot.Rejection) {
	d := jsonDecoders.Get().(*jsonDecoder)
	defer d.free()
	d.text, d.i, d.start = m.Payload, 0, 0
	d.topic, d.received, d.retained = topic, m.Received.UnixMilli(), m.Retained

	before := len(out)
	var rejected []iot.Rejection
	d.space()
	if d.peek() == '[' {
		out, rejected = d.batch(out)
	} else {
		var f fault
		if out, f = d.element(out); f.reason != "" {
			rejected = m.reject(d.owner(), f)
		}
	}
	if d.space(); d.broken.reason == "" && d.i < len(d.text) {
		d.broken = fault{iot.ReasonTrailingBytes, fmt.Sprintf("byte %d: %.32q", d.i, d.text[d.i:])}
	}
	if d.broken.reason != "" {
		clear(out[before:])
		return out[:before], m.reject(topic, d.broken)
	}
	return out, rejected
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

// batch reads an array of readings.
func (d *jsonDecoder) batch(out []iot.Reading) ([]iot.Reading, []iot.Rejection) {
	var rejected []iot.Rejection
	d.i++
	n := 0
	for ; d.next(n == 0, ']'); n++ {
		if n == maxElements {
			d.broken = fault{iot.ReasonTooLarge, fmt.Sprintf("over %d readings", maxElements)}
			return out, nil
		}
		d.start = d.i
		var f fault
		if out, f = d.element(out); f.reason != "" {
			rejected = append(rejected, f.rejection(d.owner(), d.text[d.start:d.i]))
		}
		if d.broken.reason != "" {
			return out, nil
		}
	}
	if n == 0 {
		f := fault{iot.ReasonNoMetrics, "an empty batch"}
		rejected = append(rejected, f.rejection(d.topic, d.text))
	}
	return out, rejected
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
