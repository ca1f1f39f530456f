package mapping

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// pattern is the topics that a rule is for, by level.
type pattern struct {
	rule   *rule
	order  int        // among all patterns of a set
	others []*pattern // of other devices that say this is theirs, where a config made it
	levels []level
}

// level is one of a pattern, or several where it is multi.
type level struct {
	kind levelKind
	text string // of a literal, which may have a name nevertheless
	glob glob   // what a single level has to match; nil: anything
	part int    // which of the rule's topic parts it is, and -1 for none
	min  int    // how many levels a multi stands for at least
}

type levelKind uint8

const (
	literal levelKind = iota
	single            // one level, whatever it is: MQTT's +
	multi             // several: MQTT's #
)

// maxTopic is how long MQTT lets a topic be, in bytes.
const maxTopic = 65535

// maxParts bounds the names in a rule's topics.
const maxParts = 8

// parsePattern parses a topic pattern. The names in it become parts of the rule.
func parsePattern(s string, r *rule) (*pattern, error) {
	if s == "" || len(s) > maxTopic || strings.IndexByte(s, 0) >= 0 {
		return nil, errors.New("is no MQTT topic")
	}
	p := &pattern{rule: r}
	multis := 0
	for text := range strings.SplitSeq(s, "/") {
		l, err := parseLevel(text, r)
		if err != nil {
			return nil, fmt.Errorf("level %q: %w", text, err)
		}
		if l.part >= 0 && slices.ContainsFunc(p.levels, func(o level) bool { return o.part == l.part }) {
			return nil, fmt.Errorf("level %q: the name stands twice", text)
		}
		if l.kind == multi {
			multis++
		}
		p.levels = append(p.levels, l)
	}
	switch {
	case multis > 1:
		return nil, errors.New("only one level may stand for several")
	case strings.Contains(s, "#/"):
		return nil, errors.New("# must be the last level")
	}
	return p, nil
}

func parseLevel(text string, r *rule) (level, error) {
	switch text {
	case "+":
		return level{kind: single, part: -1}, nil
	case "#":
		return level{kind: multi, part: -1}, nil
	}
	inner, named := strings.CutPrefix(text, "{")
	if !named {
		if strings.ContainsAny(text, "+#{}") {
			return level{}, errors.New("+, # and {name} must be whole levels")
		}
		return level{kind: literal, text: text, part: -1}, nil
	}
	inner, closed := strings.CutSuffix(inner, "}")
	l := level{kind: single}
	name, several := strings.CutSuffix(inner, "...")
	if several {
		l.kind, l.min = multi, 1
	}
	name, constraint, constrained := strings.Cut(name, ":")
	if constrained {
		if strings.ContainsAny(constraint, "+#{") {
			return level{}, errors.New("+, # and { are no part of a pattern")
		}
		var err error
		if l.glob, err = parseGlob(constraint); err != nil {
			return level{}, err
		}
		if len(l.glob) == 1 { // no *: a text with a name
			l.kind, l.text, l.glob = literal, constraint, nil
		}
	}
	if !closed || !isName(name) || several && constrained {
		return level{}, errors.New("want {name}, {name:pattern*} or {name...}")
	}
	if l.part = slices.Index(r.parts, name); l.part < 0 {
		if len(r.parts) == maxParts {
			return level{}, fmt.Errorf("over %d names", maxParts)
		}
		l.part = len(r.parts)
		r.parts = append(r.parts, name)
	}
	return l, nil
}

// isName reports whether s can name a part of a topic.
func isName(s string) bool {
	return s != "" && strings.Trim(strings.ToLower(s), "abcdefghijklmnopqrstuvwxyz0123456789_-") == ""
}

// filter returns the MQTT filter that selects p's topics, and others where MQTT cannot say it more closely.
func (p *pattern) filter() string {
	levels := make([]string, 0, len(p.levels))
	for _, l := range p.levels {
		switch l.kind {
		case literal:
			levels = append(levels, l.text)
		case single:
			levels = append(levels, "+")
		case multi:
			return strings.Join(append(levels, "#"), "/")
		}
	}
	return strings.Join(levels, "/")
}

// covers reports whether each topic that o matches is one that p matches. Of patterns that differ, those with levels
// behind the one that stands for several count as covering nothing.
func (p *pattern) covers(o *pattern) bool {
	if slices.EqualFunc(p.levels, o.levels, level.same) {
		return true
	}
	if p.levels[0].kind != literal && strings.HasPrefix(o.levels[0].text, "$") {
		return false // topics of the broker itself, which wildcards leave out
	}
	for i, l := range p.levels {
		if l.kind == multi {
			rest := o.levels[min(i, len(o.levels)):]
			return i == len(p.levels)-1 && (len(rest) > 0 && (rest[0].kind != multi || rest[0].min >= l.min) || l.min == 0)
		}
		if i == len(o.levels) || !l.covers(o.levels[i]) {
			return false
		}
	}
	return len(p.levels) == len(o.levels)
}

func (l level) covers(o level) bool {
	if l.kind == single && l.glob == nil {
		return o.kind != multi
	}
	if l.kind == single && o.kind == literal {
		return l.glob.takes(o.text)
	}
	return l.same(o)
}

// same reports whether l and o stand for the same, by whatever name.
func (l level) same(o level) bool {
	return l.kind == o.kind && l.text == o.text && l.min == o.min && slices.Equal(l.glob, o.glob)
}

// topics is a tree of patterns by level: what matches a topic is found without looking at patterns for others.
type topics struct {
	literals map[string]*topics
	single   []branch
	multi    []*pattern // whose next level stands for several
	ends     []*pattern // that have no further level
}

// branch is where a level goes on that need not be a certain text.
type branch struct {
	glob glob
	next *topics
}

// add adds p, whose first n levels lead to t.
func (t *topics) add(p *pattern, n int) {
	if n == len(p.levels) {
		t.ends = append(t.ends, p)
		return
	}
	switch l := p.levels[n]; l.kind {
	case literal:
		next := t.literals[l.text]
		if next == nil {
			next = new(topics)
			if t.literals == nil {
				t.literals = make(map[string]*topics)
			}
			t.literals[l.text] = next
		}
		next.add(p, n+1)
	case single:
		i := slices.IndexFunc(t.single, func(b branch) bool { return slices.Equal(b.glob, l.glob) })
		if i < 0 {
			i = len(t.single)
			t.single = append(t.single, branch{glob: l.glob, next: new(topics)})
		}
		t.single[i].next.add(p, n+1)
	case multi:
		t.multi = append(t.multi, p)
	}
}

// find returns the first pattern behind the one at an order whose topics, from the n-th level on, rest is one of. more
// is false where rest is behind a topic's end.
func (t *topics) find(rest string, more bool, n, after int) *pattern {
	var best *pattern
	consider := func(p *pattern) {
		if p != nil && p.order > after && (best == nil || p.order < best.order) {
			best = p
		}
	}
	wild := n > 0 || !strings.HasPrefix(rest, "$") // wildcards leave out topics of the broker itself
	for _, p := range t.multi {
		if wild && p.order > after && p.tail(rest, more, n) {
			consider(p)
		}
	}
	if !more {
		for _, p := range t.ends {
			consider(p)
		}
		return best
	}
	text, rest, more := strings.Cut(rest, "/")
	if next := t.literals[text]; next != nil {
		consider(next.find(rest, more, n+1, after))
	}
	for _, b := range t.single {
		if wild && b.glob.takes(text) {
			consider(b.next.find(rest, more, n+1, after))
		}
	}
	return best
}

// tail reports whether rest, from p's n-th level on, which stands for several, is such a part of a topic.
func (p *pattern) tail(rest string, more bool, n int) bool {
	levels := 0
	if more {
		levels = strings.Count(rest, "/") + 1
	}
	behind := p.levels[n+1:]
	if levels < p.levels[n].min+len(behind) {
		return false
	}
	for i := len(behind) - 1; i >= 0; i-- {
		at := strings.LastIndexByte(rest, '/')
		if l := behind[i]; l.kind == literal && l.text != rest[at+1:] {
			return false
		} else if !l.glob.takes(rest[at+1:]) {
			return false
		}
		rest = rest[:max(at, 0)]
	}
	return true
}

// split puts the parts of a topic that p matches to where they belong among the rule's.
func (p *pattern) split(topic string, parts *[maxParts]string) {
	for i, l := range p.levels {
		text, rest, _ := strings.Cut(topic, "/")
		if l.kind == multi {
			text, rest = topic, ""
			for range p.levels[i+1:] { // what is behind it, from the end
				at := strings.LastIndexByte(text, '/')
				text, rest = text[:max(at, 0)], topic[at+1:]
			}
		}
		if l.part >= 0 {
			parts[l.part] = text
		}
		topic = rest
	}
}

// filters returns MQTT filters that select what the patterns match, without any that another one contains.
func filters(patterns []*pattern) []string {
	var plain []*pattern
	for _, p := range patterns {
		f, err := parsePattern(p.filter(), new(rule))
		if err != nil {
			panic(err) // a filter is a pattern
		}
		if slices.ContainsFunc(plain, func(o *pattern) bool { return o.covers(f) }) {
			continue
		}
		plain = append(slices.DeleteFunc(plain, func(o *pattern) bool { return f.covers(o) }), f)
	}
	list := make([]string, 0, len(plain))
	for _, p := range plain {
		list = append(list, p.filter())
	}
	return list
}
