package mapping_test

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/telltale-iot/telltale/pkg/mapping"
)

// alphabet is what random rules and messages are made of. Few names, so that the one says something of the other.
var alphabet = struct{ paths, patterns, topics, values []string }{
	paths:    []string{"", "", "", "a", "b", "t", "a.b", "a.0", "0", "a.b.t", "b.a.0.t", "é"},
	patterns: []string{"*", "a", "b*", "*t", "a*b*", "t", "*_*", "temperature"},
	topics:   []string{"x/{device}", "x/{device}", "x/+", "x/{p}/{device}", "{device...}/x", "x/#", "+/{device:a*}", "{p}/+"},
	values: []string{
		"1", "2", "3.5", "-4e2", "-2.5e3", `"ON"`, `"12.5"`, `"nan"`, "true", "null", `"2026-11-27T01:30:00"`, "1795742000", `"text"`, "NaN", "1e999",
		`"\ud800"`, `""`, "\"\xff\"", "1e-999", `"é"`, "12345678901234567890123",
	},
}

// source is random bytes to choose by. At its end, every choice is the first.
type source struct{ rest []byte }

func (s *source) n(n int) int {
	if len(s.rest) == 0 {
		return 0
	}
	b := int(s.rest[0])
	s.rest = s.rest[1:]
	return b % n
}

func (s *source) of(list []string) string { return list[s.n(len(list))] }

// rule writes a random rule.
func (s *source) rule(b *bytes.Buffer) {
	line := func(text ...string) {
		for _, t := range text {
			b.WriteString(t)
		}
		b.WriteByte('\n')
	}
	quoted := func(text string) string { return "'" + text + "'" }
	line("- name: random")
	line("  topic: ", quoted(s.of(alphabet.topics)))
	each := s.n(4) == 1
	if each {
		line("  each: ", quoted(s.of(alphabet.paths)))
	}
	switch s.n(12) {
	case 1:
		line("  device: '{.", s.of(alphabet.paths[3:]), "}'")
	case 2:
		line("  device: d{.", s.of(alphabet.paths[3:]), "}-{.", s.of(alphabet.paths[3:]), "}")
	case 3:
		line("  device: '{key}'")
	case 4:
		line("  device: fixed")
	}
	if s.n(3) == 1 {
		line("  when: {", quoted(s.of(alphabet.paths)), ": ", quoted(s.of(alphabet.patterns)), "}")
	}
	if s.n(2) == 1 {
		line("  time: {at: ", s.of(alphabet.paths[3:]), s.of([]string{"", ", zone: America/New_York", ", unit: ns", ", relative: before", ", relative: after, unit: ms"}), "}")
	}
	values := []string{"flatten: " + quoted(s.of(alphabet.paths)), "separator: " + quoted(s.of([]string{"_", "", ".", "/"}))}
	if s.n(3) == 1 {
		values = append(values, "members: {"+quoted(s.of([]string{"m", "temperature", "a_b"}))+": "+quoted(s.of(alphabet.paths))+"}")
	}
	if s.n(3) == 1 {
		values = append(values, "pairs: {at: "+quoted(s.of(alphabet.paths))+", name: a, value: [b, t]}")
	}
	if s.n(3) == 1 {
		values = append(values, "drop: "+quoted(s.of(alphabet.patterns)))
	}
	if s.n(2) == 1 {
		values = append(values, "numbers_in_strings: true", "words: {ON: 1, text: -1/3}")
	}
	if s.n(12) == 1 {
		values = []string{"scalar: temperature", "words: {ON: 1}"}
	}
	b.WriteString("  values: {")
	for i, v := range values {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(v)
	}
	line("}")
	if s.n(2) == 1 {
		line("  rename: {", quoted(s.of(alphabet.patterns)), ": ", s.of([]string{"a", "temperature", "b_a"}), ", '*_*': '*'}")
	}
	if s.n(2) == 1 {
		line("  scale: {", quoted(s.of(alphabet.patterns)), ": {factor: ", s.of([]string{"5/9", "1e300", "-0.001", "0"}), ", offset: -17.7, when: {", quoted(s.of(alphabet.paths)), ": '*'}}}")
	}
	if s.n(3) == 1 {
		line("  attributes: ", quoted(s.of(alphabet.patterns)))
	}
	if s.n(4) == 1 {
		line("  retained: live")
	}
}

// value writes a random JSON text; once in a while a byte of it is random.
func (s *source) value(b *bytes.Buffer, depth int) {
	kind := s.n(64)
	switch {
	case kind == 1:
		b.WriteByte(byte(s.n(256)))
	case depth > 20 || depth > 0 && kind < 40:
		b.WriteString(s.of(alphabet.values))
	case kind < 56:
		b.WriteByte('{')
		for i := range s.n(6) {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(`"` + s.of([]string{"a", "b", "t", "0", "é", "", "temperature", "a_b", "\xff"}) + `":`)
			s.value(b, depth+1)
		}
		b.WriteByte('}')
	default:
		b.WriteByte('[')
		for i := range s.n(4) {
			if i > 0 {
				b.WriteByte(',')
			}
			s.value(b, depth+1)
		}
		b.WriteByte(']')
	}
}

// FuzzMapping holds random rules with random messages to what is promised of all.
func FuzzMapping(f *testing.F) {
	f.Add([]byte("\x00"), []byte{}, "x/a", false)
	f.Add([]byte("\x01\x00\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c"), []byte(message), "x/a", true)
	f.Add([]byte("\x05\x01\x00\x03\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01"), []byte(`{"a":[{"b":1,"a":"t"}],"t":1795742000}`), "x/y/z", false)
	f.Fuzz(func(t *testing.T, choices, text []byte, topic string, retained bool) {
		s := source{choices}
		if rules, set := s.set(); set != nil {
			if len(text) == 0 {
				text = s.message()
			}
			keepsPromises(t, rules, set, topic, text, retained)
		}
	})
}

var messages = flag.Int("messages", 5_000, "how many random messages TestRandom decodes")

// TestRandom does the same with choices that are no less random, and many messages for each set of rules.
func TestRandom(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	choices := func() source {
		s := source{make([]byte, 40+random.IntN(200))}
		for i := range s.rest {
			s.rest[i] = byte(random.Uint32())
		}
		return s
	}
	const each = 50
	readings := 0
	for range *messages / each {
		s := choices()
		rules, set := s.set()
		for set == nil { // some choices do not go together
			s = choices()
			rules, set = s.set()
		}
		for range each {
			s := choices()
			readings += keepsPromises(t, rules, set, s.of([]string{"x/d", "x/d", "x/ab", "x/y/ab", "x/x", "x/a/b/x"}), s.message(), s.n(4) == 0)
			if t.Failed() {
				return
			}
		}
	}
	if readings < *messages/200 {
		t.Errorf("only %d readings", readings)
	}
}

// set returns random rules; where they are mistaken there is no set.
func (s *source) set() (string, *mapping.Set) {
	var b bytes.Buffer
	for range 1 + s.n(3) {
		s.rule(&b)
	}
	set, _ := mapping.Parse("random.yaml", b.Bytes(), time.UTC)
	return b.String(), set
}

func (s *source) message() []byte {
	var b bytes.Buffer
	s.value(&b, 0)
	return b.Bytes()
}

// keepsPromises checks what holds for any message and rules: readings that are valid, no more of anything than the message
// has room for, something to be told of each, the same another time, and what is rejected is so again by itself. It returns the number of readings.
func keepsPromises(t *testing.T, rules string, set *mapping.Set, topic string, text []byte, retained bool) int {
	m := mapping.Message{Payload: bytes.Clone(text), Received: received, Retained: retained}
	result, matched := decode(set, topic, m)
	wrong := func(format string, args ...any) {
		t.Helper()
		t.Errorf("%s\n%+v of %q on %q by the rules\n%s", fmt.Sprintf(format, args...), result.Readings, text, topic, rules)
	}
	if !bytes.Equal(m.Payload, text) {
		wrong("the message was changed")
	}
	if matched && len(result.Readings)+len(result.Rejected) == 0 && !bytes.Contains(text, []byte("[")) {
		wrong("nothing became")
	}
	if n := len(result.Readings) + len(result.Rejected); n > len(text)+1 {
		wrong("%d readings and rejections", n)
	}
	for _, r := range result.Readings {
		if err := r.Validate(); err != nil {
			wrong("%v", err)
		}
		if n := len(r.Metrics) + len(r.Attributes); n > 1000 || n > 2*len(text) {
			wrong("%d members", n)
		}
	}
	for _, r := range result.Rejected {
		if r.Reason == "" || r.Detail == "" || len(r.Detail) > 200 || !utf8.ValidString(r.Detail) || len(r.Bytes) > len(text) {
			wrong("unexplained or wordy: %+v", r)
		}
	}
	if !strings.Contains(rules, "when: {'") { // with a condition, the rule that a part alone is for may be another
		for _, r := range result.Rejected {
			if len(r.Bytes) > 0 && r.Bytes[0] == '[' && len(r.Bytes) < len(text) {
				continue // an array in a batch is a batch by itself
			}
			part := mapping.Message{Payload: r.Bytes, Received: received, Retained: retained}
			if alone, _ := decode(set, topic, part); len(alone.Readings) > 0 || len(alone.Rejected) != 1 || alone.Rejected[0].Reason != r.Reason {
				wrong("a dead letter %q becomes %+v", r.Bytes, alone)
			}
		}
	}
	for _, o := range result.Omitted {
		if o.Why == "" || len(o.Member) > 64 || len(o.Example) > 64 || !utf8.ValidString(o.Member+o.Why+o.Example) {
			wrong("unexplained or wordy: %+v", o)
		}
	}
	if again, _ := decode(set, topic, m); !reflect.DeepEqual(again, result) {
		wrong("another time it is %+v", again)
	}
	return len(result.Readings)
}
