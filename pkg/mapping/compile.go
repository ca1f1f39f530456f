package mapping

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/telltale-iot/telltale/pkg/internal/decode"
)

// maxPath bounds the levels of a path.
const maxPath = decode.MaxDepth

// rules compiles the rules in a file's text. zone is for times that have none.
func (f *file) rules(text []byte, zone *time.Location) ([]*rule, error) {
	root, err := f.parse(text)
	if err != nil {
		return nil, err
	}
	if root.Kind != yaml.SequenceNode {
		return nil, root.wrong("want a list of rules, not %s", root.what())
	}
	var rules []*rule
	for _, n := range root.Content {
		r, err := compile(root.part(n, ""), zone)
		if err != nil {
			return nil, err
		}
		rules = append(rules, r)
	}
	return rules, nil
}

// compile compiles one rule.
func compile(m member, zone *time.Location) (*rule, error) {
	r := &rule{file: m.file, line: m.Line, root: new(node), separator: "_", clock: clock{zone: zone}}
	rest, named := 0, 0 // of the members that say how to read JSON, and what members are called, those that are there
	reads := func(name string, read func(*rule, member) error) field {
		return field{name, func(m member) error { rest = m.Line; return read(r, m) }}
	}
	names := func(name string, read func(*rule, member) error) field {
		return field{name, func(m member) error { named = m.Line; return read(r, m) }}
	}
	hasValues := false
	err := m.object(
		field{"name", func(m member) (err error) { r.name, err = m.text(); return err }},
		field{"topic", r.compileTopic},
		field{"retained", r.compileRetained},
		field{"ignore", func(m member) (err error) { r.ignore, err = m.boolean(); return err }},
		field{"when", func(m member) (err error) { r.when, err = r.compileConditions(m); return err }},
		field{"form", r.compileForm},
		reads("each", (*rule).compileEach),
		field{"device", func(m member) (err error) { r.device, err = r.compileTemplate(m, true); return err }},
		field{"time", r.compileTime},
		reads("values", func(r *rule, m member) error { hasValues = true; return r.compileValues(m) }),
		names("rename", (*rule).compileRename),
		names("scale", (*rule).compileScale),
		names("attributes", func(r *rule, m member) error { return m.globs(&r.attributes) }),
	)
	switch {
	case err != nil:
		return nil, err
	case r.name == "":
		return nil, m.wrong("name: is missing")
	case len(r.patterns) == 0:
		return nil, m.wrong("topic: is missing")
	case rest > 0 && r.newForm != nil || rest+named > 0 && r.ignore || named > 0 && r.newForm != nil && !r.formNames:
		return nil, m.wrong("a rule with form or ignore says no more of the message")
	case r.newForm != nil && (r.ignore || r.known > 0 || r.deviceMax > 0):
		return nil, m.wrong("form: is not for a rule with ignore, when, or the device in a member")
	}
	if part := slices.Index(r.parts, "device"); r.device == nil && part >= 0 && !r.ignore {
		r.device = template{{kind: segmentTopic, index: part}}
	}
	if r.device == nil && r.newForm == nil && !r.ignore {
		return nil, m.wrong("device: is missing, and the topic has no {device}")
	}
	topic, message := r.device.sources()
	r.belongs = topic && !message && !r.namesDevices
	if !hasValues {
		r.root.flatten = true
	}
	if r.when != 0 {
		r.findNeedles(r.root)
		if len(r.each) > 0 {
			r.needles = append(r.needles, []byte(r.each[len(r.each)-1]))
		}
	}
	return r, r.checkParts(m)
}

// findNeedles collects what has to stand in a message for the conditions to hold, at n and below.
func (r *rule) findNeedles(n *node) {
	for _, c := range n.conditions {
		switch {
		case c.bit&r.when == 0:
		case len(c.want) == 1 && len(c.want[0]) == 1: // a certain text
			r.needles = append(r.needles, []byte(c.want[0][0]))
		default:
			r.needles = append(r.needles, []byte(n.name))
		}
	}
	for _, c := range n.children {
		r.findNeedles(c)
	}
}

// checkParts makes sure that all parts of topics that r uses are in each of its patterns.
func (r *rule) checkParts(m member) error {
	templates := []template{r.device, r.scalar, r.prefix}
	var walk func(n *node)
	walk = func(n *node) {
		templates = append(templates, n.names...)
		for _, c := range n.children {
			walk(c)
		}
	}
	walk(r.root)
	for _, t := range templates {
		for _, s := range t {
			for _, p := range r.patterns {
				if s.kind == segmentTopic && !slices.ContainsFunc(p.levels, func(l level) bool { return l.part == s.index }) {
					return m.wrong("topic: %s has no {%s}", p.filter(), r.parts[s.index])
				}
			}
		}
	}
	return nil
}

func (r *rule) compileTopic(m member) error {
	return m.list(func(m member) error {
		text, err := m.text()
		if err != nil {
			return err
		}
		p, err := parsePattern(text, r)
		if err != nil {
			return m.wrong("%w", err)
		}
		r.patterns = append(r.patterns, p)
		return nil
	})
}

func (r *rule) compileRetained(m member) error {
	text, err := m.text()
	if err == nil && text != "live" && text != "old" {
		err = m.wrong("want live or old, not %s", m.what())
	}
	r.live = text == "live"
	return err
}

func (r *rule) compileForm(m member) error {
	text, err := m.text()
	if err != nil {
		return err
	}
	f, ok := forms[text]
	if !ok {
		return m.wrong("no form %q", text)
	}
	r.newForm, r.formNames, r.namesDevices = f.make, f.names, f.devices
	return nil
}

// compileConditions compiles members with what they have to be.
func (r *rule) compileConditions(m member) (all conditions, err error) {
	return all, m.pairs(func(name string, value member) error {
		path, err := value.key(name).steps()
		if err != nil {
			return err
		}
		if r.known == maxConditions {
			return value.wrong("over %d conditions", maxConditions)
		}
		c := condition{bit: 1 << r.known}
		r.known++
		all |= c.bit
		n := r.root.at(path)
		if err := value.globs(&c.want); err != nil {
			return err
		}
		n.conditions = append(n.conditions, c)
		return nil
	})
}

// key returns the name of m as if it were a value.
func (m member) key(name string) member {
	return member{Node: &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: name, Line: m.Line}, file: m.file, path: m.path}
}

func (r *rule) compileEach(m member) (err error) {
	r.hasEach = true
	r.each, err = m.steps()
	r.level = int8(len(r.each)) + 1
	for _, name := range r.each {
		quoted, _ := json.Marshal(name) // a string: there is no error
		r.quoted = append(r.quoted, append(quoted, ':'))
	}
	return err
}

// compileTemplate compiles a text with {part} in it, and, where it is for the device, {.member} and {key}.
func (r *rule) compileTemplate(m member, device bool) (template, error) {
	rest, err := m.text()
	if err != nil {
		return nil, err
	}
	var t template
	for rest != "" {
		text, behind, found := strings.Cut(rest, "{")
		if text != "" {
			t = append(t, segment{text: text})
		}
		if !found {
			break
		}
		name, behind, closed := strings.Cut(behind, "}")
		if !closed {
			return nil, m.wrong("a { without }")
		}
		s, err := r.compileSegment(m, name, device)
		if err != nil {
			return nil, err
		}
		t, rest = append(t, s), behind
	}
	if len(t) == 0 {
		return nil, m.wrong("is empty")
	}
	return t, nil
}

func (r *rule) compileSegment(m member, name string, device bool) (s segment, err error) {
	if i := slices.Index(r.parts, name); i >= 0 {
		return segment{kind: segmentTopic, index: i}, nil
	}
	path, isMember := strings.CutPrefix(name, ".")
	switch {
	case device && isMember:
		steps, err := m.key(path).steps()
		if err != nil {
			return s, err
		}
		n := r.root.at(steps)
		if n.device == 0 {
			r.deviceMax++
			n.device = r.deviceMax
		}
		return segment{kind: segmentMember, index: n.device - 1, text: fmt.Sprintf("%.64q", path)}, nil
	case device && name == "key" && r.hasEach:
		return segment{kind: segmentKey, text: "member"}, nil
	}
	return s, m.wrong("{%s} is no part of the topic", name)
}

func (r *rule) compileRename(m member) error {
	return m.pairs(func(name string, value member) error {
		from, err := value.key(name).glob()
		if err != nil {
			return err
		}
		text, err := value.text()
		if err != nil {
			return err
		}
		to := strings.Split(text, "*")
		switch {
		case text == "":
			return value.wrong("an empty name")
		case len(to) > 1 && len(from) == 1 || len(to)-1 > maxStars:
			return value.wrong("%q has a * that %q has not", text, name)
		}
		r.renamings = append(r.renamings, renaming{from: from, to: to})
		return nil
	})
}

func (r *rule) compileScale(m member) error {
	return m.pairs(func(name string, value member) error {
		pattern, err := value.key(name).glob()
		if err != nil {
			return err
		}
		all := scalings{name: pattern}
		err = value.list(func(m member) error {
			s := scaling{factor: ratio{1, 1}, offset: ratio{0, 1}}
			err := m.object(
				field{"when", func(m member) (err error) { s.when, err = r.compileConditions(m); return err }},
				field{"factor", func(m member) (err error) { s.factor, err = m.number(); return err }},
				field{"offset", func(m member) (err error) { s.offset, err = m.number(); return err }},
			)
			all.options = append(all.options, s)
			return err
		})
		r.scalings = append(r.scalings, all)
		return err
	})
}
