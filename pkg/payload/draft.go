package payload

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// draft is a reading as a format finds it, in any order. Its method reading checks what holds for all formats.
type draft struct {
	topic    iot.DeviceID // the device that the topic names; 0: none
	received int64        // when the message was, in milliseconds since 1970
	retained bool         // whether the message was

	device  iot.DeviceID // the one that the reading names; 0: none
	millis  int64        // the time of measurement since 1970, where timed
	timed   bool
	members []member // with room for all that are allowed
}

// member is a name with what it stands for.
type member struct {
	name   string
	text   string
	number float64
	at     int32 // the offset of the name
	kind   kind
	nested bool // in an object of the reading
}

// clashes reports whether m and another member of the same name cannot both be there: only a null is ignored
// beside one in another object.
func (m *member) clashes(other *member) bool {
	return m.nested == other.nested || m.kind != null && other.kind != null
}

type kind uint8

const (
	reserved  kind = iota // it has a meaning of its own
	null                  // it is ignored
	metric                // number
	attribute             // text
)

// reset makes d ready for the next reading of its message.
func (d *draft) reset() {
	clear(d.members)
	d.device, d.millis, d.timed, d.members = 0, 0, false, d.members[:0]
}

// reading appends d as a reading, or says why it is none.
func (d *draft) reading(out []iot.Reading) ([]iot.Reading, fault) {
	sortMembers(d.members)
	metrics, attributes := 0, 0
	for i := range d.members {
		m := &d.members[i]
		for j := i - 1; j >= 0 && d.members[j].name == m.name; j-- {
			if m.clashes(&d.members[j]) {
				return out, fault{iot.ReasonDuplicateKey, fmt.Sprintf("byte %d: %.32q again", m.at, m.name)}
			}
		}
		switch m.kind {
		case metric:
			metrics++
		case attribute:
			attributes++
		}
	}
	r := iot.Reading{Device: d.owner(), Received: time.UnixMilli(d.received).UTC()}
	r.At, r.Stamped = r.Received, iot.StampServer
	if d.timed && d.millis >= iot.MinTime.UnixMilli() && d.millis <= d.received+iot.MaxAhead.Milliseconds() {
		r.At, r.Stamped = time.UnixMilli(d.millis).UTC(), iot.StampDevice
	}
	switch {
	case d.device == 0 && d.topic == 0:
		return out, fault{iot.ReasonMissingDeviceID, "no device_id, and none in the topic"}
	case r.Device == 0:
		return out, fault{iot.ReasonDeviceIDMismatch, fmt.Sprintf("device_id %d, but %d in the topic", d.device, d.topic)}
	case metrics == 0:
		return out, fault{iot.ReasonNoMetrics, "no number beside device_id and timestamp"}
	case r.Stamped == iot.StampServer && d.retained:
		return out, fault{iot.ReasonRetainedWithoutTimestamp, "a retained message with no timestamp that can be used"}
	}

	r.Metrics = make([]iot.Metric, 0, metrics)
	if attributes > 0 {
		r.Attributes = make([]iot.Attribute, 0, attributes)
	}
	for i := range d.members {
		switch m := &d.members[i]; m.kind {
		case metric:
			r.Metrics = append(r.Metrics, iot.Metric{Name: m.name, Value: m.number})
		case attribute:
			r.Attributes = append(r.Attributes, iot.Attribute{Name: m.name, Value: m.text})
		}
	}
	return append(out, r), fault{}
}

// sortMembers sorts by name, and by place where a name stands twice. The usual handful is not worth the
// calls of a general sort.
func sortMembers(members []member) {
	if len(members) > 16 {
		slices.SortStableFunc(members, func(a, b member) int { return strings.Compare(a.name, b.name) })
		return
	}
	for i := range members {
		for j := i; j > 0 && members[j].name < members[j-1].name; j-- {
			members[j], members[j-1] = members[j-1], members[j]
		}
	}
}

// owner returns the device that the reading is of, and 0 where that is not known or disputed.
func (d *draft) owner() iot.DeviceID {
	switch {
	case d.device == 0 || d.device == d.topic:
		return d.topic
	case d.topic == 0:
		return d.device
	default:
		return 0
	}
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
