package mapping

import "strings"

// FiltersOf returns the MQTT filters of the topics on which what is published is of the device with that key or decimal id,
// whatever the message says: another device that it names makes it a dead letter. There are none for a key that cannot be
// part of a topic.
func (s *Set) FiltersOf(device string) []string {
	if strings.ContainsAny(device, "+#\x00") {
		return nil
	}
	var of []*pattern
	for _, p := range s.patterns {
		if !p.rule.belongs {
			continue
		}
		levels, ok := p.of(device)
		if !ok {
			continue
		}
		if p := (&pattern{rule: p.rule, levels: levels}); s.readsOnly(p.example(), device) {
			of = append(of, p)
		}
	}
	return filters(of)
}

// FiltersOfGateways returns the MQTT filters of the topics on which the message alone says whose it is.
func (s *Set) FiltersOfGateways() []string {
	var of []*pattern
	for _, p := range s.patterns {
		topic, message := p.rule.device.sources()
		if !p.rule.ignore && !topic && (message || p.rule.device == nil) {
			of = append(of, p)
		}
	}
	return filters(of)
}

// readsOnly reports whether all rules for a topic read it as of the device, or of what is below it: Tasmota's devices behind a
// bridge. The topic sensors/events/rpc is of the device "events", and not of a Shelly with the name "sensors".
func (s *Set) readsOnly(topic, device string) bool {
	route, ok := s.Match(topic)
	for found := ok; found; route, found = route.next() {
		rule := route.pattern.rule
		if !rule.ignore && (!rule.belongs || route.Device() != device) && !strings.HasPrefix(route.known(), device+"/") {
			return false
		}
	}
	return ok
}

// known is what the topic says of the device in front of what the message says.
func (r Route) known() string {
	var b strings.Builder
	var parts [maxParts]string
	r.pattern.split(r.topic, &parts)
	for _, s := range r.pattern.rule.device {
		switch s.kind {
		case segmentText:
			b.WriteString(s.text)
		case segmentTopic:
			b.WriteString(parts[s.index])
		default:
			return b.String()
		}
	}
	return b.String()
}

// example is one of p's topics.
func (p *pattern) example() string {
	var levels []string
	for _, l := range p.levels {
		switch {
		case l.kind == literal:
			levels = append(levels, l.text)
		case l.glob != nil:
			levels = append(levels, strings.Join(l.glob, "x"))
		default:
			levels = append(levels, "x")
		}
	}
	return strings.Join(levels, "/")
}

// sources reports whether parts of the topic are in t, and whether parts of the message are.
func (t template) sources() (topic, message bool) {
	for _, s := range t {
		topic = topic || s.kind == segmentTopic
		message = message || s.kind == segmentMember || s.kind == segmentKey
	}
	return topic, message
}

// of returns the levels of those of p's topics that are the device's, and whether there are any.
func (p *pattern) of(device string) ([]level, bool) {
	var parts [maxParts]string
	rest := device
	for i, s := range p.rule.device {
		var ok bool
		if s.kind == segmentText {
			if rest, ok = strings.CutPrefix(rest, s.text); !ok {
				return nil, false
			}
			continue
		}
		value := rest
		if i+1 < len(p.rule.device) { // up to the text behind it
			if value, _, ok = strings.Cut(rest, p.rule.device[i+1].text); !ok {
				return nil, false
			}
		}
		parts[s.index], rest = value, rest[len(value):]
	}
	if rest != "" {
		return nil, false
	}
	levels := make([]level, 0, len(p.levels))
	for _, l := range p.levels {
		if l.part < 0 || parts[l.part] == "" {
			levels = append(levels, l)
			continue
		}
		value := parts[l.part]
		if l.kind == literal && value != l.text || l.kind == single && (strings.Contains(value, "/") || !l.glob.takes(value)) {
			return nil, false
		}
		for text := range strings.SplitSeq(value, "/") {
			levels = append(levels, level{kind: literal, text: text, part: -1})
		}
	}
	return levels, true
}
