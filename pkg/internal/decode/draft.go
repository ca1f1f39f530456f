package decode

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// Draft is a reading as a format finds it, in any order. Its method Reading checks what holds for all formats.
type Draft struct {
	Topic    iot.DeviceID // the device that the topic names; 0: none
	TopicKey string       // its key, if it has one
	Received int64        // when the message was, in milliseconds since 1970
	Retained bool         // whether the message was

	May func(iot.DeviceID) bool // whether the sender of the message may send for a device; nil: for all
	Own iot.Identity            // the device that is meant where neither the topic nor the reading names one; zero: none

	Device    iot.DeviceID // the one that the reading names; 0: none
	DeviceKey string       // its key, if it has one
	Millis    int64        // the time of measurement since 1970, where Timed
	Timed     bool
	said      string   // what the device gave as the time, where it cannot be used
	Members   []Member // with room for all that are allowed
	omitted   int      // members that the reading is kept without
}

// Member is a name with what it stands for.
type Member struct {
	Name   string
	Text   string
	Number float64
	At     int32 // the offset of the name
	Kind   Kind
	Nested bool // in an object of the reading
}

// clashes reports whether m and another member of the same name cannot both be there: only a null is ignored
// beside one in another object.
func (m *Member) clashes(other *Member) bool {
	return m.Nested == other.Nested || m.Kind != Null && other.Kind != Null
}

// Kind is what a member stands for.
type Kind uint8

const (
	Reserved  Kind = iota // it has a meaning of its own
	Null                  // it is ignored
	Metric                // number
	Attribute             // text
)

// Reset makes d ready for the next reading of its message.
func (d *Draft) Reset() {
	clear(d.Members)
	d.Device, d.DeviceKey, d.Millis, d.Timed, d.said, d.Members, d.omitted = 0, "", 0, false, "", d.Members[:0], 0
}

// SetTime sets the time of measurement, if it is one, that was made of what the device gave.
func (d *Draft) SetTime(millis int64, ok bool, said []byte) {
	if d.Millis, d.Timed = millis, ok; !d.usable() {
		d.said = strings.ToValidUTF8(string(said[:min(len(said), iot.MaxSaidBytes)]), "")
	}
}

// maxOmitted is how many of the members that a reading is kept without are told.
const maxOmitted = 16

// Omit appends a member that the reading is kept without, unless it is one of too many.
func (d *Draft) Omit(out []iot.Omitted, name []byte, why string, value []byte) []iot.Omitted {
	if d.omitted++; d.omitted > maxOmitted {
		return out
	}
	return append(out, iot.Omitted{Member: Shown(name), Why: why, Example: Shown(value)})
}

// Shown returns the beginning of a name or value, for people.
func Shown(text []byte) string {
	return strings.ToValidUTF8(string(text[:min(len(text), iot.MaxShownBytes)]), "")
}

// usable reports whether d has a time that a reading may have.
func (d *Draft) usable() bool {
	return d.Timed && d.Millis >= iot.MinTime.UnixMilli() && d.Millis <= d.Received+iot.MaxAhead.Milliseconds()
}

// Reading appends d as a reading, or says why it is none.
func (d *Draft) Reading(out []iot.Reading) ([]iot.Reading, Fault) {
	SortMembers(d.Members)
	if d.Device == 0 && d.Topic == 0 {
		d.Device, d.DeviceKey = d.Own.ID, d.Own.Key
	}
	metrics, attributes := 0, 0
	for i := range d.Members {
		m := &d.Members[i]
		for j := i - 1; j >= 0 && d.Members[j].Name == m.Name; j-- {
			if m.clashes(&d.Members[j]) {
				return out, Fault{iot.ReasonDuplicateKey, fmt.Sprintf("byte %d: %.32q again", m.At, m.Name)}
			}
		}
		switch m.Kind {
		case Metric:
			metrics++
		case Attribute:
			attributes++
		}
	}
	r := iot.Reading{Device: d.Owner(), Key: cmp.Or(d.DeviceKey, d.TopicKey), Received: time.UnixMilli(d.Received).UTC()}
	if d.usable() {
		r.At, r.Stamped = time.UnixMilli(d.Millis).UTC(), iot.StampDevice
	} else {
		r.At, r.Stamped, r.Said = r.Received, iot.StampServer, d.said
	}
	switch {
	case d.Device == 0 && d.Topic == 0:
		return out, Fault{iot.ReasonMissingDeviceID, "no device_id, and none in the topic"}
	case r.Device == 0:
		return out, Fault{iot.ReasonDeviceIDMismatch, fmt.Sprintf("device_id %s, but %s in the topic", nameOf(d.Device, d.DeviceKey), nameOf(d.Topic, d.TopicKey))}
	case d.May != nil && !d.May(r.Device):
		return out, Fault{iot.ReasonDeviceNotAllowed, "its sender may not send for device " + nameOf(r.Device, r.Key)}
	case metrics == 0:
		return out, Fault{iot.ReasonNoMetrics, "no number beside device_id and timestamp"}
	case r.Stamped == iot.StampServer && d.Retained:
		return out, Fault{iot.ReasonRetainedWithoutTimestamp, "a retained message with no timestamp that can be used"}
	}

	r.Metrics = make([]iot.Metric, 0, metrics)
	if attributes > 0 {
		r.Attributes = make([]iot.Attribute, 0, attributes)
	}
	for i := range d.Members {
		switch m := &d.Members[i]; m.Kind {
		case Metric:
			r.Metrics = append(r.Metrics, iot.Metric{Name: m.Name, Value: m.Number})
		case Attribute:
			r.Attributes = append(r.Attributes, iot.Attribute{Name: m.Name, Value: m.Text})
		}
	}
	return append(out, r), Fault{}
}

// SortMembers sorts by name, and by place where a name stands twice. The usual handful is not worth the
// calls of a general sort.
func SortMembers(members []Member) {
	if len(members) > 16 {
		slices.SortStableFunc(members, func(a, b Member) int { return strings.Compare(a.Name, b.Name) })
		return
	}
	for i := range members {
		for j := i; j > 0 && members[j].Name < members[j-1].Name; j-- {
			members[j], members[j-1] = members[j-1], members[j]
		}
	}
}

// nameOf is what people know a device by.
func nameOf(id iot.DeviceID, key string) string {
	if key != "" {
		return fmt.Sprintf("%.32q", key)
	}
	return id.String()
}

// Owner returns the device that the reading is of, and 0 where that is not known or disputed.
func (d *Draft) Owner() iot.DeviceID {
	switch {
	case d.Device == 0 && d.Topic == 0:
		return d.Own.ID
	case d.Device == 0 || d.Device == d.Topic:
		return d.Topic
	case d.Topic == 0:
		return d.Device
	default:
		return 0
	}
}
