package promql

import (
	"regexp"
	"regexp/syntax"
	"strings"
)

// selector reads what follows the name of a metric, or selects one without.
func (p *parser) selector(metric string) (expression, error) {
	w := &windows{Selector: Selector{Metric: metric}, length: lookback, of: last}
	if p.skip("{") {
		for !p.skip("}") {
			if err := p.matcher(&w.Selector); err != nil {
				return nil, err
			}
			if !p.skip(",") && p.next() != '}' {
				return nil, p.expected(", or }")
			}
		}
	}
	if !p.skip("[") {
		return w, nil
	}
	at := p.at
	w.ranged = true
	length, ok := ParseDuration(p.run(letters + digits + "."))
	if w.length = length; !ok || w.length <= 0 {
		return nil, p.expectedAt(at, "how long the window is, as in [15m]")
	}
	p.space()
	if !p.skip("]") {
		return nil, p.expected("]")
	}
	return w, nil
}

// matcher reads label="value", or the name of the metric in quotes.
func (p *parser) matcher(s *Selector) error {
	at := p.at
	label := p.name()
	if label == "" {
		var err error
		if label, err = p.quoted(); err != nil {
			return p.expectedAt(at, "a label or }")
		}
		if c := p.next(); c == ',' || c == '}' {
			if s.Metric != "" {
				return p.expectedAt(at, "a label: the metric has a name already")
			}
			s.Metric = label
			return nil
		}
	}
	m := matcher{label: label}
	op := p.run("=!~")
	p.space()
	at = p.at
	value, err := p.quoted()
	if err != nil {
		return err
	}
	m.value = value
	switch op {
	case "=", "!=":
	case "=~", "!~":
		if *p.steps += stepsOf(value); *p.steps > maxPattern {
			return p.expectedAt(at, "a shorter regular expression, or one that repeats less")
		}
		if m.pattern, err = regexp.Compile("^(?s:" + value + ")$"); err != nil {
			return p.expectedAt(at, "a regular expression (%v)", err)
		}
	default:
		return p.expectedAt(at, "=, !=, =~ or !~ in front of the value")
	}
	m.not = strings.HasPrefix(op, "!")
	if m.label == nameLabel && op == "=" {
		if s.Metric != "" && s.Metric != value {
			return p.expectedAt(at, "the name that the metric has already")
		}
		s.Metric = value
		return nil
	}
	s.matchers = append(s.matchers, m)
	return nil
}

// maxPattern is how many steps the regular expressions of a request may have when their repetitions are written out: each takes
// memory, and time for each name that it is compared with. A thousand devices by their ids have some 5,000.
const maxPattern = 20_000

// stepsOf returns how many steps a regular expression has; 0 where it is none.
func stepsOf(pattern string) int {
	e, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return 0
	}
	return steps(e)
}

func steps(e *syntax.Regexp) int {
	n := 1 + len(e.Rune)
	for _, sub := range e.Sub {
		n += steps(sub)
	}
	if e.Op == syntax.OpRepeat {
		n *= max(1, e.Min, e.Max)
	}
	return min(n, maxPattern+1)
}
