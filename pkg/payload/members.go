package payload

import (
	"bytes"

	"github.com/telltale-iot/telltale/pkg/internal/decode"
	"github.com/telltale-iot/telltale/pkg/iot"
)

// object reads an object, whose bracket is next and whose members stand within depth objects. Some names
// have a meaning where they are a reading's own; in the objects of a reading, none has.
func (d *jsonDecoder) object(depth int, own bool) bool {
	d.Pos++
	for first := true; d.Next(first, '}'); first = false {
		at := d.Pos
		key, ok := d.Key()
		if !ok {
			return false
		}
		name, err := d.names.intern(key)
		if err != nil || d.Flaw.Reason != "" {
			if !d.unnamed(name, err, at, depth) {
				return false
			}
			continue
		}
		m, value := d.add(name, at), d.Pos
		m.Nested = !own
		switch {
		case !own:
			ok = d.value(m, depth)
		case name == "device_id":
			ok = d.deviceID(depth)
		case name == "timestamp":
			var said []byte
			said, ok = d.timestamp(depth)
			d.stamped = d.stamped || said != nil
		case (name == "metrics" || name == "values") && d.Peek() == '{': // values is ThingsBoard's name
			d.values = d.values || name == "values"
			ok = d.object(depth+1, false)
		default:
			if i := aliasIndex(name); i >= 0 {
				ok = d.alias(i, depth)
			} else {
				ok = d.value(m, depth)
			}
		}
		if !ok {
			return false
		}
		if d.Flaw.Reason != "" {
			d.leaveOut(m, value)
		}
	}
	return d.Broken.Reason == ""
}

// add adds a member without a value.
func (d *jsonDecoder) add(name string, at int) *decode.Member {
	n := len(d.Members)
	if n == decode.MaxMembers {
		d.Reject(at, iot.ReasonTooLarge, "over %d members", decode.MaxMembers)
		d.fail()
		n--
	}
	d.Members = d.Members[:n+1]
	m := &d.Members[n]
	m.Name, m.At = name, int32(at-d.Start)
	return m
}

// fail makes the flaw of a member the element's, which can be no reading then, whatever else is in it.
func (d *jsonDecoder) fail() {
	if d.fault.Reason == "" {
		d.fault = d.Flaw
	}
	d.Flaw = decode.Fault{}
}

// forgive makes the flaw of a member cost no more than that. It returns false for bytes that are no characters: text with
// these is no JSON.
func (d *jsonDecoder) forgive() bool {
	if d.Flaw.Reason == iot.ReasonInvalidUTF8 {
		d.fail()
		return false
	}
	d.Flaw = decode.Fault{}
	return true
}

// omit makes do without a member, for what its flaw is.
func (d *jsonDecoder) omit(name, why string, value []byte) {
	flaw := d.Flaw
	if !d.forgive() {
		return
	}
	if d.first.Reason == "" {
		d.first = flaw
	}
	d.out.Omitted = d.Omit(d.out.Omitted, []byte(name), why, value)
}

// unnamed passes over a member whose name at an offset nothing can have.
func (d *jsonDecoder) unnamed(name string, err error, at, depth int) bool {
	d.Reject(at, iot.ReasonInvalidMember, "%v", err)
	value := d.Pos
	ok := d.Skip(depth)
	d.omit(name, "no metric can be called so: a name has 1 to 255 bytes, and no NUL", d.Text[value:d.Pos])
	return ok
}

// leaveOut makes do without m, whose value at an offset is none that a member can have.
func (d *jsonDecoder) leaveOut(m *decode.Member, at int) {
	why := "it is not a number"
	switch c := d.Text[at]; {
	case c == '{' || c == '[':
		why = "it is an array or an object"
	case d.Flaw.Reason == iot.ReasonNumberOutOfRange:
		why = "the number is out of range"
	}
	m.Kind = decode.Null
	d.omit(m.Name, why, d.Text[at:d.Pos])
}

// value reads the value of m, and rejects one that is neither a number nor a text nor null.
func (d *jsonDecoder) value(m *decode.Member, depth int) bool {
	at := d.Pos
	switch c := d.Peek(); {
	case c == '"':
		text, ok := d.Quoted()
		m.Kind, m.Text = decode.Attribute, string(text)
		d.checkOther(m, at)
		d.checkText(m, text, at)
		return ok
	case c == '-' || decode.IsDigit(c):
		number, ok := d.Number()
		if !ok {
			return false
		}
		var inRange bool
		if m.Number, inRange = number.Float(); !inRange {
			d.Reject(at, iot.ReasonNumberOutOfRange, "%.32q is %.32s", m.Name, number.Text)
		}
		m.Kind = decode.Metric
		return true
	case c == '{' || c == '[':
		ok := d.Skip(depth)
		d.Reject(at, iot.ReasonInvalidMember, "%.32q is an array or an object", m.Name)
		return ok
	}
	switch d.Word() {
	case 't':
		m.Kind, m.Number = decode.Metric, 1
		d.checkOther(m, at)
	case 'f':
		m.Kind, m.Number = decode.Metric, 0
		d.checkOther(m, at)
	case 'n':
		m.Kind = decode.Null
	case 0:
		return false
	}
	return true
}

// checkOther rejects m, whose value at an offset is something other than a number, if it is a metric that
// every client knows: text among the attributes would be out of their sight, and no temperature is true.
func (d *jsonDecoder) checkOther(m *decode.Member, at int) {
	if m.Name == iot.Temperature || m.Name == iot.Humidity {
		d.Reject(at, iot.ReasonInvalidMember, "%s is not a number", m.Name)
	}
}

// checkText rejects a text that says that there is no number, and tells of one that is a number: it stays an attribute,
// as it always was in this form.
func (d *jsonDecoder) checkText(m *decode.Member, text []byte, at int) {
	text = bytes.TrimSpace(text)
	word := bytes.TrimLeft(text, "+-")
	switch {
	case len(word) == 0:
	case !decode.IsDigit(word[0]):
		if decode.IsNotANumber(word) {
			d.Reject(at, iot.ReasonNotANumber, "%.32q is not a number", text)
		}
	case d.Flaw.Reason == "":
		if _, ok := decode.ParseNumber(text); ok {
			d.out.Omitted = d.Omit(d.out.Omitted, []byte(m.Name), "a number in a text is an attribute, and no metric", text)
		}
	}
}

// deviceID reads the value of device_id.
func (d *jsonDecoder) deviceID(depth int) bool {
	at, valid := d.Pos, false
	switch c := d.Peek(); {
	case c == '"':
		text, ok := d.Quoted()
		if !ok {
			return false
		}
		id, key, err := iot.ParseDevice(string(text))
		d.Device, d.DeviceKey, valid = id, key, err == nil
	case c == '-' || decode.IsDigit(c):
		number, ok := d.Number()
		if !ok {
			return false
		}
		d.Device, valid = number.DeviceID()
	default:
		if !d.Skip(depth) {
			return false
		}
		valid = d.Text[at] == 'n'
	}
	if !valid || d.Flaw.Reason != "" {
		d.Device = 0
		d.Reject(at, iot.ReasonInvalidDeviceID, "%.32s is "+notADevice, d.Text[at:d.Pos])
		d.fail()
	}
	return true
}

// nameCache remembers the strings of names that it saw before: devices send the same few again and again.
type nameCache [64]string

// intern returns name as a string that shares no memory with it, and whether a metric or an attribute
// can be called so.
func (c *nameCache) intern(name []byte) (string, error) {
	if len(name) == 0 {
		return "", iot.ValidateName("")
	}
	slot := &c[(len(name)*31+int(name[0])*7+int(name[len(name)-1]))%len(c)]
	if *slot == string(name) {
		return *slot, nil
	}
	s := string(name)
	if err := iot.ValidateName(s); err != nil {
		return s, err
	}
	*slot = s
	return s, nil
}
