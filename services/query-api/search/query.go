package search

import (
	"cmp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// Query says which readings are looked for. It is safe for concurrent use.
type Query struct{ root node }

// Match reports whether r is one of those that are looked for.
func (q *Query) Match(r *iot.Reading) bool { return q.root.match(r) }

// May reports whether one of those that are looked for may be among the readings that s is of.
func (q *Query) May(s iot.Summary) bool {
	some, _ := q.root.among(&s)
	return some
}

// What the device and the time of a reading are called, as in JSON. A query is not for times.
const (
	deviceID  = "device_id"
	deviceKey = "device_key"
	timestamp = "timestamp"
)

// node is a query, or a part of one.
type node interface {
	match(r *iot.Reading) bool
	// among reports whether some of the readings that s is of may match, and whether all of them must.
	among(s *iot.Summary) (some, all bool)
}

type (
	and []node
	or  []node
	not struct{ node }
	all struct{}
	// freeText looks for a text in all attributes, and in the key of the device.
	freeText pattern
	// term looks for members by their name.
	term struct {
		name    string
		numbers *span[float64] // that a metric is in; nil: no metric is
		texts   textTest       // that an attribute meets; nil: no attribute does
		other   bool           // look for members that are not in numbers, or do not meet texts
	}
)

func (of and) match(r *iot.Reading) bool {
	return !slices.ContainsFunc(of, func(n node) bool { return !n.match(r) })
}

func (of or) match(r *iot.Reading) bool {
	return slices.ContainsFunc(of, func(n node) bool { return n.match(r) })
}

func (n not) match(r *iot.Reading) bool { return !n.node.match(r) }

func (all) match(*iot.Reading) bool { return true }

func (t freeText) match(r *iot.Reading) bool {
	return slices.ContainsFunc(r.Attributes, func(a iot.Attribute) bool { return pattern(t).has(fold(a.Value)) }) ||
		r.Key != "" && pattern(t).has(fold(r.Key))
}

func (t term) match(r *iot.Reading) bool {
	switch t.name {
	case deviceID:
		return t.number(float64(r.Device))
	case deviceKey:
		return r.Key != "" && t.text(r.Key)
	}
	for _, m := range r.Metrics {
		if m.Name == t.name && t.number(m.Value) {
			return true
		}
	}
	for _, a := range r.Attributes {
		if a.Name == t.name && t.text(a.Value) {
			return true
		}
	}
	return false
}

func (t *term) number(v float64) bool { return (t.numbers != nil && t.numbers.has(v)) != t.other }
func (t *term) text(s string) bool    { return (t.texts != nil && t.texts.has(fold(s))) != t.other }

func (of and) among(s *iot.Summary) (some, all bool) {
	some, all = true, true
	for _, n := range of {
		nSome, nAll := n.among(s)
		some, all = some && nSome, all && nAll
	}
	return some, all
}

func (of or) among(s *iot.Summary) (some, all bool) {
	for _, n := range of {
		nSome, nAll := n.among(s)
		some, all = some || nSome, all || nAll
	}
	return some, all
}

func (n not) among(s *iot.Summary) (some, all bool) {
	some, all = n.node.among(s)
	return !all, !some
}

func (all) among(*iot.Summary) (some, all bool) { return true, true }

func (freeText) among(*iot.Summary) (some, all bool) { return true, false }

func (t term) among(s *iot.Summary) (some, all bool) {
	switch t.name {
	case deviceID:
		is := t.number(float64(s.Device))
		return is, is
	case deviceKey:
		return true, false
	}
	if s.Text && (t.texts != nil || t.other) {
		return true, false
	}
	for _, m := range s.Metrics {
		if m.Name == t.name {
			return t.someNumber(m.Min, m.Max), false // not all of them need to have it
		}
	}
	return false, false
}

// someNumber reports whether t looks for some of the values from least to greatest, both of which are there.
func (t *term) someNumber(least, greatest float64) bool {
	switch {
	case t.numbers == nil:
		return t.other
	case t.other:
		return !t.numbers.has(least) || !t.numbers.has(greatest) // what is between them is in numbers if they are
	default:
		return t.numbers.meets(least, greatest)
	}
}

// span is what is from one value to another.
type span[T cmp.Ordered] struct {
	min, max     *T   // nil: no bound
	above, below bool // min, max itself is outside
}

func only[T cmp.Ordered](v T) *span[T] { return &span[T]{min: &v, max: &v} }

func (s *span[T]) has(v T) bool { return s.meets(v, v) }

// meets reports whether s and what is from least to greatest, both of it, have values in common.
func (s *span[T]) meets(least, greatest T) bool {
	return (s.min == nil || greatest > *s.min || greatest == *s.min && !s.above) &&
		(s.max == nil || least < *s.max || least == *s.max && !s.below)
}

func (s *span[T]) empty() bool { return s.min != nil && s.max != nil && *s.min > *s.max }

// textTest is what a text may meet. It is asked about folded texts.
type textTest interface{ has(folded string) bool }

// pattern is a text in which any text may stand between its parts. They are folded.
type pattern []string

// literal is a text as it is.
func literal(text string) pattern { return pattern{fold(text)} }

// wild is a text in which * stands for any text.
func wild(text string) pattern { return strings.Split(fold(text), "*") }

// inside finds p anywhere in a text.
func (p pattern) inside() pattern { return slices.Concat(pattern{""}, p, pattern{""}) }

func (p pattern) has(folded string) bool {
	last := len(p) - 1
	if last == 0 {
		return folded == p[0]
	}
	rest, ok := strings.CutPrefix(folded, p[0])
	if !ok {
		return false
	}
	for _, part := range p[1:last] {
		_, rest, ok = strings.Cut(rest, part)
		if !ok {
			return false
		}
	}
	return strings.HasSuffix(rest, p[last])
}

// fold returns s with one and the same character for all that differ in case alone.
func fold(s string) string {
	for i := range len(s) {
		if c := s[i]; c >= utf8.RuneSelf || 'A' <= c && c <= 'Z' {
			return strings.Map(foldRune, s)
		}
	}
	return s
}

func foldRune(c rune) rune {
	least := c
	if c >= utf8.RuneSelf { // of the characters that are the same without case, take the first
		for next := unicode.SimpleFold(c); next != c; next = unicode.SimpleFold(next) {
			least = min(least, next)
		}
	}
	if 'A' <= least && least <= 'Z' {
		return least + ('a' - 'A')
	}
	return least
}
