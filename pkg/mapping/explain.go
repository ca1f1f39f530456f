package mapping

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/telltale-iot/telltale/pkg/internal/decode"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/readingjson"
)

// maxExplained bounds the readings, the rejections and the omitted members of an Explanation, each of them.
const maxExplained = 100

// Explanation says what a message becomes, for people who set up devices or write rules. encoding/json writes it as the
// HTTP API and `mqtt-bridge map` show it.
type Explanation struct {
	Rule     *string           `json:"rule"`     // that reads the message; nil for none
	File     *string           `json:"file"`     // that the rule is in, or its preset
	Detail   *string           `json:"detail"`   // why it becomes nothing, where that is no rejection
	Readings []json.RawMessage `json:"readings"` // as the API shows them
	Rejected []Rejected        `json:"rejected"`
	Omitted  []Omitted         `json:"omitted"`
	Complete bool              `json:"complete"` // false: it becomes more than is shown
}

// Rejected is an iot.Rejection in an Explanation.
type Rejected struct {
	Reason  iot.Reason    `json:"reason"`
	Detail  string        `json:"detail"`
	Device  *iot.DeviceID `json:"device_id"`
	Payload string        `json:"payload"` // the beginning of it
}

// Omitted is an iot.Omitted in an Explanation.
type Omitted struct {
	Member  string `json:"member"`
	Reason  string `json:"reason"`
	Example string `json:"example"`
}

// Explain decodes m, which is not Ordered, as if it were published to topic: no form remembers it. Of a long batch it
// shows the beginning.
func (s *Set) Explain(topic string, m Message) Explanation {
	e := Explanation{Readings: []json.RawMessage{}, Rejected: []Rejected{}, Omitted: []Omitted{}, Complete: true}
	route, ok := s.Match(topic)
	if !ok {
		why := "no rule is for this topic"
		if hint := s.Hint(topic); hint != "" {
			why += "; " + hint
		} else if preset := LooksLike(topic, m); preset != "" {
			why += "; it looks like " + preset + ", which MAPPINGS does not name"
		}
		e.Detail = &why
		return e
	}
	var d Decoder
	var out Result
	for d.Start(route, m); d.More() && e.Complete; {
		d.Next(&out)
		e.Complete = !d.More() || max(len(out.Readings), len(out.Rejected), len(out.Omitted)) < maxExplained
	}
	e.show(out)
	rule := d.route.pattern.rule
	switch {
	case len(out.Rejected) > 0 && out.Rejected[0].Reason == iot.ReasonNoRule:
		return e
	case rule.ignore:
		e.Detail = new("the rule says that it is no reading")
	}
	e.Rule, e.File = &rule.name, new(filepath.Base(rule.file.name))
	return e
}

// show adds the first maxExplained of each.
func (e *Explanation) show(out Result) {
	e.Complete = e.Complete && max(len(out.Readings), len(out.Rejected), len(out.Omitted)) <= maxExplained
	for _, r := range out.Readings[:min(len(out.Readings), maxExplained)] {
		e.Readings = append(e.Readings, readingjson.Append(nil, r))
	}
	for _, r := range out.Rejected[:min(len(out.Rejected), maxExplained)] {
		shown := Rejected{Reason: r.Reason, Detail: r.Detail, Payload: decode.Shown(r.Bytes)}
		if r.Device != 0 {
			shown.Device = &r.Device
		}
		e.Rejected = append(e.Rejected, shown)
	}
	for _, o := range out.Omitted[:min(len(out.Omitted), maxExplained)] {
		e.Omitted = append(e.Omitted, Omitted{o.Member, o.Why, o.Example})
	}
}

// LooksLike returns the first preset that makes readings of m, as if it were published to topic; "" for none.
func LooksLike(topic string, m Message) string { return firstToRead(presetSets(), topic, m) }

// FormOf returns a form that makes readings of m, whatever its topic; "" for none.
func FormOf(m Message) string { return firstToRead(formSets(), "topic", m) }

// namedSet is a set with the name that people know it by.
type namedSet struct {
	name string
	*Set
}

// firstToRead returns the name of the first of sets that makes readings of m.
func firstToRead(sets []namedSet, topic string, m Message) string {
	for _, s := range sets {
		route, ok := s.Match(topic)
		if !ok {
			continue
		}
		var d Decoder
		var out Result
		d.Start(route, m)
		if d.Next(&out); len(out.Readings) > 0 { // the first step knows what the message is
			return s.name
		}
	}
	return ""
}

// presetSets are the presets, each by itself, in their order.
var presetSets = sync.OnceValue(func() (sets []namedSet) {
	for _, name := range Presets {
		s, err := Load([]string{name}, time.UTC)
		if err != nil {
			panic(err) // they are part of the program
		}
		sets = append(sets, namedSet{name, s})
	}
	return sets
})

// formSets are the forms that read messages whose topic says nothing, each by itself.
var formSets = sync.OnceValue(func() (sets []namedSet) {
	for _, name := range slices.Sorted(maps.Keys(forms)) {
		if s, err := Parse(name, []byte("[{name: form, topic: topic, form: "+name+"}]"), time.UTC); err == nil {
			sets = append(sets, namedSet{name, s})
		}
	}
	return sets
})

// FilterFor returns the MQTT filter of the first rule of s, or else of a preset, that is for topic; "" where none is.
func (s *Set) FilterFor(topic string) string {
	for _, s := range append([]namedSet{{"", s}}, presetSets()...) {
		if route, ok := s.Match(topic); ok {
			return route.pattern.filter()
		}
	}
	return ""
}

// MaxRuleBytes bounds the text of a rule that ParseRule takes.
const MaxRuleBytes = 16 << 10

// ParseRule returns the set of the one rule in a text of MaxRuleBytes at most, which need not be in a list. What is wrong
// with it is one line. Times that say no zone have that of s, where the rule says none either.
func (s *Set) ParseRule(text []byte) (*Set, error) {
	if len(text) > MaxRuleBytes {
		return nil, fmt.Errorf("rule:1: %d bytes, over %d", len(text), MaxRuleBytes)
	}
	f := &file{name: "rule"}
	root, err := f.parse(text)
	if err != nil {
		return nil, err
	}
	if root.Kind == yaml.SequenceNode && len(root.Content) == 1 {
		root = root.part(root.Content[0], "")
	}
	if root.Kind != yaml.MappingNode {
		return nil, root.wrong("want one rule, not %s", root.what())
	}
	r, err := compile(root, s.zone)
	if err != nil {
		return nil, err
	}
	one := &Set{zone: s.zone, memory: new(memory)}
	return one, one.add(r)
}
