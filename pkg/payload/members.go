package payload

import "github.com/telltale-iot/telltale/pkg/iot"

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
	d.i++
	for first := true; d.next(first, '}'); first = false {
		at := d.i
		key, ok := d.key()
		if !ok {
			return false
		}
		name, err := d.names.intern(key)
		if err != nil {
			d.reject(at, iot.ReasonInvalidMember, "%v", err)
		}
		m := d.add(name, at)
		m.nested = !own
		switch {
		case !own:
			ok = d.value(m, depth)
		case name == keyDeviceID:
			ok = d.deviceID(depth)
		case name == keyTimestamp:
			ok = d.time(depth)
		case name == keyTS:
			d.ts = tsMember{value: d.i, index: len(d.members) - 1}
			ok = d.skip(depth)
		case (name == keyMetrics || name == keyValues) && d.peek() == '{':
			d.values = d.values || name == keyValues
			ok = d.object(depth+1, false)
		default:
			ok = d.value(m, depth)
		}
		if !ok {
			return false
		}
	}
	return d.broken.reason == ""
}

// add adds a member without a value.
func (d *jsonDecoder) add(name string, at int) *member {
	n := len(d.members)
	if n == maxMembers {
		d.reject(at, iot.ReasonTooLarge, "over %d members", maxMembers)
		n--
	}
	d.members = d.members[:n+1]
	m := &d.members[n]
	m.name, m.at = name, int32(at-d.start)
	return m
}

// value reads the value of m, which stands within depth arrays and objects.
func (d *jsonDecoder) value(m *member, depth int) bool {
	at := d.i
	switch c := d.peek(); {
	case c == '"':
		text, ok := d.str()
		m.kind, m.text = attribute, string(text)
		d.checkOther(m, at)
		return ok
	case c == '-' || isDigit(c):
		number, ok := d.number()
		if !ok {
			return false
		}
		var inRange bool
		if m.number, inRange = number.float(); !inRange {
			d.reject(at, iot.ReasonNumberOutOfRange, "%.32q is %.32s", m.name, number.text)
		}
		m.kind = metric
		return true
	case c == '{' || c == '[':
		ok := d.skip(depth)
		d.reject(at, iot.ReasonInvalidMember, "%.32q is an array or an object", m.name)
		return ok
	}
	switch d.word() {
	case 't':
		m.kind, m.number = metric, 1
		d.checkOther(m, at)
	case 'f':
		m.kind, m.number = metric, 0
		d.checkOther(m, at)
	case 'n':
		m.kind = null
	case 0:
		return false
	}
	return true
}

// checkOther rejects m, whose value at an offset is something other than a number, if it is a metric that
// every client knows: text among the attributes would be out of their sight, and no temperature is true.
func (d *jsonDecoder) checkOther(m *member, at int) {
	if m.name == iot.Temperature || m.name == iot.Humidity {
		d.reject(at, iot.ReasonInvalidMember, "%s is not a number", m.name)
	}
}

// deviceID reads the value of device_id.
func (d *jsonDecoder) deviceID(depth int) bool {
	at, valid := d.i, false
	switch c := d.peek(); {
	case c == '"':
		text, ok := d.str()
		if !ok {
			return false
		}
		id, err := iot.ParseDeviceID(string(text))
		d.device, valid = id, err == nil
	case c == '-' || isDigit(c):
		number, ok := d.number()
		if !ok {
			return false
		}
		d.device, valid = number.deviceID()
	default:
		if !d.skip(depth) {
			return false
		}
		valid = d.text[at] == 'n'
	}
	if !valid {
		d.device = 0
		d.reject(at, iot.ReasonInvalidDeviceID, "%.32s is "+notAnID, d.text[at:d.i])
	}
	return true
}

// time reads a timestamp. One that cannot be read is as good as none.
func (d *jsonDecoder) time(depth int) bool {
	switch c := d.peek(); {
	case c == '"':
		text, ok := d.str()
		d.millis, d.timed = parseTime(text)
		return ok
	case c == '-' || isDigit(c):
		number, ok := d.number()
		d.millis, d.timed = number.epochMillis()
		return ok
	default:
		return d.skip(depth)
	}
}

// tsMember is where ThingsBoard's timestamp stands, until it is known whether it is one.
type tsMember struct {
	value int // its offset; 0: there is none
	index int // among the members
}

// takeTS makes ts the timestamp of a reading with values, unless that has another one, and a member like
// any other of a reading without.
func (d *jsonDecoder) takeTS(depth int) {
	end := d.i
	d.i = d.ts.value
	switch {
	case !d.values:
		d.value(&d.members[d.ts.index], depth)
	case !d.timed:
		d.time(depth)
	}
	d.i = end
}
