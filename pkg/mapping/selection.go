package mapping

import (
	"errors"
	"fmt"
	"strings"
)

// selection is the topics that a set is to read, whatever its rules are for. A topic that no rule is for is read in
// Telltale's own form, from the device that stands where the first + of a filter is.
type selection struct {
	filters []string
	topics  topics // a pattern for each filter, whose rule is that form
}

// Select returns a set that reads the topics which MQTT filters select, and no others.
func (s *Set) Select(list []string) (*Set, error) {
	own := &rule{
		name: "filter", file: &file{name: "MQTT_TOPICS"}, form: telltale{s.zone}, clock: clock{zone: s.zone},
		parts: []string{"device"}, device: template{{kind: segmentTopic}},
	}
	selected := new(selection)
	for _, text := range list {
		text = strings.TrimSpace(text)
		p, err := parseFilter(text, own)
		if err != nil {
			return nil, fmt.Errorf("filter %q: %w", text, err)
		}
		p.order = len(s.patterns) + len(selected.filters) // behind all rules
		selected.filters = append(selected.filters, text)
		selected.topics.add(p, 0)
	}
	if len(selected.filters) == 0 {
		return nil, errors.New("names no topic")
	}
	return &Set{zone: s.zone, topics: s.topics, patterns: s.patterns, selected: selected, memory: s.memory}, nil
}

// parseFilter parses an MQTT filter, whose first + is the first part of r.
func parseFilter(s string, r *rule) (*pattern, error) {
	switch {
	case s == "":
		return nil, errors.New("is empty")
	case len(s) > maxTopic || strings.IndexByte(s, 0) >= 0:
		return nil, errors.New("is no MQTT topic filter")
	case strings.HasPrefix(s, "$share/"):
		return nil, errors.New("must not share by itself: set MQTT_SHARED")
	}
	p := &pattern{rule: r}
	part := 0
	for text := range strings.SplitSeq(s, "/") {
		l := level{kind: literal, text: text, part: -1}
		switch {
		case len(p.levels) > 0 && p.levels[len(p.levels)-1].kind == multi:
			return nil, errors.New("# must be the last level")
		case text == "#":
			l = level{kind: multi, part: -1}
		case text == "+":
			l = level{kind: single, part: part}
			part = -1
		case strings.ContainsAny(text, "+#"):
			return nil, errors.New("+ and # must be whole levels")
		}
		p.levels = append(p.levels, l)
	}
	return p, nil
}

// route returns the way of a topic that is selected, and that no rule is for. A filter by which it names the device goes
// before one by which it does not.
func (s *selection) route(set *Set, topic string) Route {
	first := Route{set: set, topic: topic}
	for p := s.find(topic, -1); p != nil; p = s.find(topic, p.order) {
		r := Route{set: set, topic: topic, pattern: p}
		if r.Device() != "" {
			return r
		}
		if first.pattern == nil {
			first = r
		}
	}
	return first
}

// find returns the first filter behind the one at an order that selects a topic.
func (s *selection) find(topic string, after int) *pattern {
	return s.topics.find(topic, true, 0, after)
}
