package mapping

import (
	"bytes"
	"strings"

	"github.com/telltale-iot/telltale/pkg/internal/decode"
	"github.com/telltale-iot/telltale/pkg/iot"
)

// scalar is a value that is neither an object nor an array.
type scalar struct {
	kind   byte   // '"', '0' for a number, 't', 'f' or 'n'
	text   []byte // of a string what it says; of anything else as it stands there. Valid until the next string is read
	number decode.Decimal
}

// scalar reads a value that is neither an object nor an array.
func (r *reader) scalar(n *node, among bool) bool {
	before, at := r.Flaw, r.Pos
	var s scalar
	var ok bool
	switch c := r.Peek(); {
	case c == '"':
		s.kind = c
		s.text, ok = r.Quoted()
	case c == '-' || decode.IsDigit(c):
		s.kind = '0'
		s.number, ok = r.Number()
		s.text = r.Text[at:r.Pos]
	default:
		s.kind = r.Word()
		s.text, ok = r.Text[at:r.Pos], s.kind != 0
	}
	switch {
	case !ok:
		return false
	case r.Flaw != before:
		r.Flaw = before
		if among || len(n.names) > 0 {
			r.omit(r.path[r.base:], "neither a number nor a text", r.Text[at:r.Pos])
		}
		return true
	}
	if n != nil {
		if s.kind != 'n' {
			r.use(n, &s)
		}
		for _, name := range n.names {
			mark, base := len(r.path), r.base
			r.base = mark
			r.addTemplate(name)
			r.take(&s)
			r.path, r.base = r.path[:mark], base
		}
		among = among && n.device == 0 && n.time == 0
	}
	if among {
		r.take(&s)
	}
	return true
}

// use takes s, which is not null, for what the rule wants to know of n.
func (r *reader) use(n *node, s *scalar) {
	for i := range n.conditions {
		if c := &n.conditions[i]; c.want.match(string(s.text)) {
			r.met |= c.bit
		}
	}
	if n.device > 0 {
		for len(r.device) < n.device {
			r.device = append(r.device, nil)
		}
		r.device[n.device-1] = append(r.device[n.device-1][:0], s.text[:min(len(s.text), iot.MaxKeyBytes+1)]...)
	}
	if n.time > 0 && (r.timed == 0 || n.time < r.timed) {
		r.timed = n.time
		millis, ok := r.time(s)
		r.draft.SetTime(millis, ok, s.text)
	}
}

// time returns the time that s says.
func (r *reader) time(s *scalar) (millis int64, ok bool) {
	c, number := &r.rule.clock, s.number
	switch s.kind {
	case '"':
		if number, ok = decode.ParseNumber(bytes.TrimSpace(s.text)); !ok {
			millis, ok = decode.ParseTime(s.text, c.zone, r.draft.Received)
			return millis, ok && c.relative == 0
		}
	case '0':
	default:
		return 0, false
	}
	if !c.hasUnit && c.relative == 0 {
		return number.EpochMillis()
	}
	unit := c.unit
	if !c.hasUnit {
		unit = decode.Seconds
	}
	if millis, ok = number.Millis(unit); c.relative != 0 {
		const aeon = 1 << 60 // further than any time from any other
		ok = ok && -aeon < millis && millis < aeon
		millis = r.draft.Received + int64(c.relative)*millis
	}
	return millis, ok
}

// addTemplate adds a text to the path; levels of a topic in it have the separator between them, too.
func (r *reader) addTemplate(t template) {
	for _, s := range t {
		text := s.text
		if s.kind == segmentTopic {
			text = r.topic[s.index]
		}
		for room := 2 * iot.MaxNameBytes; text != "" && len(r.path)-r.base < room; { // what is longer is no name
			level, rest, several := strings.Cut(text, "/")
			r.path = append(r.path, level[:min(len(level), room)]...)
			if several {
				r.path = append(r.path, r.rule.separator...)
			}
			text = rest
		}
	}
}

// take makes s a metric or an attribute that is called what the path says.
func (r *reader) take(s *scalar) {
	t := r.target()
	m := decode.Member{Name: t.name}
	why := ""
	switch {
	case t.drop:
		return
	case t.wrong:
		why = "no metric can be called so: a name has 1 to 255 bytes of UTF-8"
	default:
		m.Kind, m.Number, why = r.meaning(t, s)
	}
	if why == "" && (m.Name == iot.Temperature || m.Name == iot.Humidity) {
		if s.kind != '0' && m.Kind != decode.Null { // text among the attributes would be out of every client's sight
			why = "it is not a number"
		}
	}
	switch {
	case why != "":
		r.omit(r.path[r.base:], why, s.text)
		return
	case m.Kind == decode.Reserved:
		return
	case m.Kind == decode.Attribute:
		m.Text = r.texts.text(s.text)
	}
	if f := r.add(t, m); f.Reason != "" {
		r.Reject(r.Pos, f.Reason, "%s", f.Detail)
	}
}

// meaning returns what s is as a value: decode.Reserved where it is none that the rule wants.
func (r *reader) meaning(t *target, s *scalar) (kind decode.Kind, number float64, why string) {
	switch s.kind {
	case 'n':
		return decode.Null, 0, ""
	case 't':
		return decode.Metric, 1, ""
	case 'f':
		return decode.Metric, 0, ""
	case '"':
		if t.text {
			return decode.Attribute, 0, ""
		}
		if number, ok := r.rule.words[string(s.text)]; ok {
			return decode.Metric, number, ""
		}
		if r.rule.numbers {
			text := bytes.TrimSpace(s.text)
			d, ok := decode.ParseNumber(text)
			if ok {
				s.kind, s.number = '0', d
				break
			}
			if decode.IsNotANumber(bytes.TrimLeft(text, "+-")) {
				return 0, 0, "it is not a number"
			}
		}
		if r.rule.attributes == nil {
			return decode.Attribute, 0, ""
		}
		return decode.Reserved, 0, ""
	}
	number, ok := s.number.Float()
	if !ok {
		return 0, 0, "the number is out of range"
	}
	return decode.Metric, number, ""
}

// scalarMessage reads a message that is a value.
func (r *reader) scalarMessage() decode.Fault {
	text := bytes.TrimSpace(r.Text)
	r.addTemplate(r.rule.scalar)
	s := scalar{kind: '"', text: text}
	switch {
	case len(text) == 0:
		return decode.Fault{Reason: iot.ReasonNoMetrics, Detail: "an empty message"}
	case text[0] == '{' || text[0] == '[':
		return decode.Fault{Reason: iot.ReasonInvalidMember, Detail: "an array or an object where a value is expected"}
	case text[0] == '"':
		in := decode.Scanner{Text: text}
		var ok bool
		if s.text, ok = in.Quoted(); !ok || in.Pos < len(text) || in.Flaw.Reason != "" {
			return decode.Fault{Reason: iot.ReasonInvalidJSON, Detail: "no whole text in quotes"}
		}
	case string(text) == "true" || string(text) == "false" || string(text) == "null":
		s.kind = text[0]
	default:
		var ok bool
		if s.number, ok = decode.ParseNumber(text); ok {
			s.kind = '0'
		}
	}
	r.take(&s)
	if len(r.draft.Members) == 0 {
		return decode.Fault{Reason: iot.ReasonNoMetrics, Detail: "neither a number nor a word that the rule knows: " + decode.Shown(s.text)}
	}
	return r.Flaw
}
