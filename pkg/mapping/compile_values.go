package mapping

import (
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/telltale-iot/telltale/pkg/internal/decode"
)

func (r *rule) compileTime(m member) error {
	if m.Kind != yaml.MappingNode {
		return r.compileTimeAt(m)
	}
	return m.object(
		field{"at", r.compileTimeAt},
		field{"zone", func(m member) error {
			text, err := m.text()
			if err != nil || text == "local" {
				return err
			}
			if r.clock.zone, err = time.LoadLocation(text); err != nil {
				return m.wrong("no time zone %q", text)
			}
			return nil
		}},
		field{"unit", func(m member) error {
			text, err := m.text()
			if err != nil {
				return err
			}
			r.clock.unit, r.clock.hasUnit = units[text]
			if !r.clock.hasUnit {
				return m.wrong("want s, ms, us or ns, not %s", m.what())
			}
			return nil
		}},
		field{"relative", func(m member) error {
			text, err := m.text()
			if err != nil {
				return err
			}
			if r.clock.relative = relatives[text]; r.clock.relative == 0 {
				return m.wrong("want after or before, not %s", m.what())
			}
			return nil
		}},
	)
}

var (
	units     = map[string]decode.Unit{"s": decode.Seconds, "ms": decode.Milliseconds, "us": decode.Microseconds, "ns": decode.Nanoseconds}
	relatives = map[string]int{"after": 1, "before": -1}
)

func (r *rule) compileTimeAt(m member) error {
	rank := 0
	return m.list(func(m member) error {
		path, err := m.steps()
		if err == nil && len(path) == 0 {
			err = m.wrong("is empty")
		}
		if err != nil {
			return err
		}
		rank++
		r.root.at(path).time = rank
		return nil
	})
}

func (r *rule) compileValues(m member) error {
	sources := 0
	from := func(name string, read func(member) error) field {
		return field{name, func(m member) error { sources++; return read(m) }}
	}
	err := m.object(
		from("flatten", func(m member) error {
			return m.list(func(m member) error {
				path, err := m.steps()
				r.root.at(path).flatten = true
				return err
			})
		}),
		from("members", func(m member) error {
			return m.pairs(func(name string, value member) error {
				t, err := r.compileTemplate(value.key(name), false)
				if err != nil {
					return err
				}
				path, err := value.steps()
				n := r.root.at(path)
				n.names = append(n.names, t)
				return err
			})
		}),
		from("pairs", r.compilePairs),
		from("scalar", func(m member) (err error) {
			if r.scalar, err = r.compileTemplate(m, false); err == nil && (sources > 1 || r.known > 0 || r.hasEach || r.deviceMax > 0) {
				err = m.wrong("a message that is a value has no members: scalar stands alone")
			}
			return err
		}),
		field{"prefix", func(m member) (err error) { r.prefix, err = r.compileTemplate(m, false); return err }},
		field{"separator", func(m member) (err error) { r.separator, err = m.text(); return err }},
		field{"drop", func(m member) error { return m.globs(&r.drop) }},
		field{"numbers_in_strings", func(m member) (err error) { r.numbers, err = m.boolean(); return err }},
		field{"words", func(m member) error {
			r.words = make(map[string]float64)
			return m.pairs(func(word string, value member) error {
				number, err := value.number()
				r.words[word] = number.numerator / number.denominator
				return err
			})
		}},
	)
	if sources == 0 {
		r.root.flatten = true
	}
	return err
}

func (r *rule) compilePairs(m member) error {
	var at []string
	p := new(pairs)
	err := m.object(
		field{"at", func(m member) (err error) { at, err = m.steps(); return err }},
		field{"name", func(m member) (err error) { p.name, err = m.text(); return err }},
		field{"value", func(m member) error {
			return m.list(func(m member) error {
				text, err := m.text()
				p.values = append(p.values, text)
				return err
			})
		}},
	)
	if err == nil && (p.name == "" || len(p.values) == 0) {
		err = m.wrong("want name and value")
	}
	r.whole = len(at) == 0
	r.root.at(at).pairs = p
	return err
}
