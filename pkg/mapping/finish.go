package mapping

import (
	"fmt"
	"math"
	"slices"

	"github.com/telltale-iot/telltale/pkg/internal/decode"
	"github.com/telltale-iot/telltale/pkg/iot"
)

// candidate is what may become a reading: its members are called what the rule makes of their names.
type candidate struct {
	out    *Result // of the step
	draft  decode.Draft
	scales []scales // of the draft's members, by their At
	size   int      // of the draft's names and texts
	met    conditions
}

// scales says what may become of a member once all of its reading is known.
type scales struct {
	options []scaling
	raw     string // its name before a renaming
}

// reset makes c ready for the next reading.
func (c *candidate) reset() {
	c.draft.Reset()
	clear(c.scales)
	c.scales, c.size, c.met = c.scales[:0], 0, 0
}

// begin makes c ready for a reading of a device in m.
func (c *candidate) begin(id iot.DeviceID, key string, m *Message) {
	c.reset()
	c.draft.Device, c.draft.DeviceKey = id, key
	c.draft.Received, c.draft.Retained, c.draft.May = m.Received.UnixMilli(), m.Retained, m.May
}

// add adds a member that is called what t says, unless there are too many.
func (c *candidate) add(t *target, m decode.Member) decode.Fault {
	c.size += len(m.Name) + len(m.Text)
	switch {
	case len(c.draft.Members) == decode.MaxMembers:
		return decode.Fault{Reason: iot.ReasonTooLarge, Detail: fmt.Sprintf("over %d members", decode.MaxMembers)}
	case c.size > decode.MaxBytes:
		return decode.Fault{Reason: iot.ReasonTooLarge, Detail: fmt.Sprintf("names and texts of over %d bytes", decode.MaxBytes)}
	}
	m.At = int32(len(c.scales))
	c.scales = append(c.scales, scales{options: t.scales, raw: t.raw})
	c.draft.Members = append(c.draft.Members, m)
	return decode.Fault{}
}

// addConstants adds the attributes that a rule gives every reading, where there is room, and no member of the name.
func (c *candidate) addConstants(constants []iot.Attribute) {
	for _, a := range constants {
		if !slices.ContainsFunc(c.draft.Members, func(m decode.Member) bool { return m.Name == a.Name }) {
			c.add(&target{raw: a.Name}, decode.Member{Name: a.Name, Text: a.Value, Kind: decode.Attribute})
		}
	}
}

// omit tells that a member was left out.
func (c *candidate) omit(name []byte, why string, value []byte) {
	c.out.Omitted = c.draft.Omit(c.out.Omitted, name, why, value)
}

// finish appends c as a reading, or says why it is none. It does what can only be done when all of a reading is known: it
// scales, and decides which of several members has a name.
func (c *candidate) finish() (f decode.Fault) {
	members := c.draft.Members
	for i := range members {
		m := &members[i]
		for j := range c.scales[i].options {
			if s := &c.scales[i].options[j]; m.Kind == decode.Metric && s.when&c.met == s.when {
				m.Number = s.apply(m.Number)
				break
			}
		}
		if math.IsInf(m.Number, 0) || math.IsNaN(m.Number) {
			c.omit([]byte(m.Name), "the scaled number is out of range", nil)
			m.Kind = decode.Null
		}
	}
	for !c.resolveNames() { //nolint:revive // each time more of them have the name that they have in the message
	}
	if c.out.Readings, f = c.draft.Reading(c.out.Readings); f.Reason == iot.ReasonNoMetrics {
		f.Detail = "none of its values is a number"
	}
	return f
}

// resolveNames leaves each name to the first that has it. Others go back to the name that they have in the message, and then
// it returns false; those that have no other one are left out.
func (c *candidate) resolveNames() bool {
	decode.SortMembers(c.draft.Members)
	resolved, first := true, 0
	for i := range c.draft.Members {
		m := &c.draft.Members[i]
		if i == 0 || m.Name != c.draft.Members[first].Name {
			first = i
			continue
		}
		if raw := c.scales[m.At].raw; raw != m.Name && iot.ValidateName(raw) == nil {
			c.draft.Members[i].Name = raw
			resolved = false
			continue
		}
		if m.Kind != decode.Null {
			c.omit([]byte(m.Name), "there is another one of the same name", nil)
		}
		m.Name = ""
	}
	c.draft.Members = slices.DeleteFunc(c.draft.Members, func(m decode.Member) bool { return m.Name == "" })
	return resolved
}

// identity is a device that was named before: most messages of a batch are of one.
type identity struct {
	name string
	id   iot.DeviceID
	key  string
}

// identify returns the device that the reading is of, or what is wrong with what names it.
func (r *reader) identify() (iot.DeviceID, string, decode.Fault) {
	var name string
	if t := r.rule.device; len(t) == 1 && t[0].kind == segmentTopic {
		name = r.topic[t[0].index]
	} else {
		var room [iot.MaxKeyBytes + 1]byte
		b := room[:0]
		for _, s := range t {
			text := s.text
			var part []byte
			switch s.kind {
			case segmentTopic:
				text = r.topic[s.index]
			case segmentKey:
				part = r.name()
			case segmentMember:
				if s.index < len(r.device) {
					part = r.device[s.index]
				}
			}
			if s.kind == segmentKey || s.kind == segmentMember {
				if text = ""; len(part) == 0 && r.message.Own.ID != 0 {
					return r.message.Own.ID, r.message.Own.Key, decode.Fault{}
				} else if len(part) == 0 {
					return 0, "", decode.Fault{Reason: iot.ReasonMissingDeviceID, Detail: fmt.Sprintf("there is no %s to name the device", s.text)}
				}
			}
			b = append(append(b, text[:min(len(text), cap(room))]...), part[:min(len(part), len(room))]...)
		}
		name = r.texts.text(b)
	}
	if name != r.identity.name || name == "" {
		id, key, err := iot.ParseDevice(name)
		if err != nil {
			return 0, "", decode.Fault{Reason: iot.ReasonInvalidDeviceID, Detail: err.Error()}
		}
		r.identity = identity{name, id, key}
	}
	return r.identity.id, r.identity.key, decode.Fault{}
}

// maxCached bounds the caches: what devices send is the same few names and texts again and again, and a cache that is
// full begins anew.
const (
	maxCached     = 512
	maxCachedText = 64 // bytes
)

// names remembers what becomes of the members of a name.
type names map[nameKey]*target

type nameKey struct {
	rule *rule
	raw  string
}

// tooLong is a name that nothing can have, whatever it is renamed to.
var tooLong = target{wrong: true}

// target returns what becomes of the members called raw.
func (c names) target(r *rule, raw []byte) *target {
	if len(raw) > iot.MaxNameBytes {
		return &tooLong
	}
	t := c[nameKey{r, string(raw)}]
	if t == nil {
		if len(c) == maxCached {
			clear(c)
		}
		t = r.resolve(string(raw))
		c[nameKey{r, t.raw}] = t
	}
	return t
}

// texts remembers short texts.
type texts map[string]string

// text returns b as a string.
func (c texts) text(b []byte) string {
	s, ok := c[string(b)]
	if !ok {
		s = string(b)
		if len(c) == maxCached {
			clear(c)
		}
		if len(s) <= maxCachedText {
			c[s] = s
		}
	}
	return s
}
