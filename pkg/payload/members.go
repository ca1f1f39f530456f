package payload

import (
	"github.com/telltale-iot/telltale/pkg/internal/decode"
	"github.com/telltale-iot/telltale/pkg/iot"
)

// The names with a meaning of their own.
const (
	keyDeviceID  = "device_id"
	keyTimestamp = "timestamp"
	keyMetrics   = "metrics"
	keyTS        = "ts"     // ThingsBoard's timestamp
	keyValues    = "values" // ThingsBoard's metrics
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
		if err != nil {
			d.Reject(at, iot.ReasonInvalidMember, "%v", err)
		}
		m := d.add(name, at)
		m.Nested = !own
		switch {
		case !own:
			ok = d.value(m, depth)
		case name == keyDeviceID:
			ok = d.deviceID(depth)
		case name == keyTimestamp:
			ok = d.time(depth)
		case name == keyTS:
			d.ts = tsMember{value: d.Pos, index: len(d.Members) - 1}
			ok = d.Skip(depth)
		case (name == keyMetrics || name == keyValues) && d.Peek() == '{':
			d.values = d.values || name == keyValues
			ok = d.object(depth+1, false)
		default:
			ok = d.value(m, depth)
		}
		if !ok {
			return false
		}
	}
	return d.Broken.Reason == ""
}

// add adds a member without a value.
func (d *jsonDecoder) add(name string, at int) *decode.Member {
	n := len(d.Members)
	if n == decode.MaxMembers {
		d.Reject(at, iot.ReasonTooLarge, "over %d members", decode.MaxMembers)
		n--
	}
	d.Members = d.Members[:n+1]
	m := &d.Members[n]
	m.Name, m.At = name, int32(at-d.Start)
	return m
}

// value reads the value of m, which stands within depth arrays and objects.
func (d *jsonDecoder) value(m *decode.Member, depth int) bool {
	at := d.Pos
	switch c := d.Peek(); {
	case c == '"':
		text, ok := d.Quoted()
		m.Kind, m.Text = decode.Attribute, string(text)
		d.checkOther(m, at)
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
	if !valid {
		d.Device = 0
		d.Reject(at, iot.ReasonInvalidDeviceID, "%.32s is "+notADevice, d.Text[at:d.Pos])
	}
	return true
}

// time reads a timestamp. One that cannot be read is as good as none, but for what the device said.
func (d *jsonDecoder) time(depth int) bool {
	at := d.Pos
	switch c := d.Peek(); {
	case c == '"':
		text, ok := d.Quoted()
		millis, isTime := decode.ParseTime(text, d.zone, d.Received)
		d.SetTime(millis, isTime, text)
		return ok
	case c == '-' || decode.IsDigit(c):
		number, ok := d.Number()
		millis, isTime := number.EpochMillis()
		d.SetTime(millis, isTime, number.Text)
		return ok
	case !d.Skip(depth):
		return false
	case c != 'n': // it is no null
		d.SetTime(0, false, d.Text[at:d.Pos])
	}
	return true
}

// tsMember is where ThingsBoard's timestamp stands, until it is known whether it is one.
type tsMember struct {
	value int // its offset; 0: there is none
	index int // among the members
}

// takeTS makes ts the timestamp of a reading with values, unless that has another one, and a member like
// any other of a reading without.
func (d *jsonDecoder) takeTS(depth int) {
	end := d.Pos
	d.Pos = d.ts.value
	switch {
	case !d.values:
		d.value(&d.Members[d.ts.index], depth)
	case !d.Timed:
		d.time(depth)
	}
	d.Pos = end
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
