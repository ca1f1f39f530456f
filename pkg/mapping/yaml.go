package mapping

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// file is a file of rules on its way to becoming them.
type file struct {
	name   string
	preset bool
}

// member is a value in a file, and the path to it there.
type member struct {
	*yaml.Node
	file *file
	path string
}

// field is a member that an object may have, and what reads it.
type field struct {
	name string
	read func(member) error
}

// wrong returns what is wrong with m, as one line that says where.
func (m member) wrong(format string, args ...any) error {
	path := m.path
	if path != "" {
		path += ": "
	}
	return fmt.Errorf("%s:%d: %s%w", m.file.name, m.Line, path, fmt.Errorf(format, args...))
}

// parse returns the root of a file's text.
func (f *file) parse(text []byte) (member, error) {
	var document yaml.Node
	d := yaml.NewDecoder(strings.NewReader(string(text)))
	if err := d.Decode(&document); errors.Is(err, io.EOF) {
		return member{}, fmt.Errorf("%s:1: no rules", f.name)
	} else if err != nil {
		return member{}, f.syntax(err)
	}
	root := member{Node: document.Content[0], file: f}
	var more yaml.Node
	if err := d.Decode(&more); err == nil {
		return root, fmt.Errorf("%s:%d: a second document", f.name, more.Line)
	} else if !errors.Is(err, io.EOF) {
		return root, f.syntax(err)
	}
	return root, nil
}

// syntax gives the parser's errors, which begin with "yaml: line 3: ", the form of all others.
func (f *file) syntax(err error) error {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	line, what, found := strings.Cut(strings.TrimPrefix(text, "line "), ": ")
	if _, err := strconv.Atoi(line); err != nil || !found {
		line, what = "1", text
	}
	return fmt.Errorf("%s:%s: %s", f.name, line, what)
}

// list calls read with each element of m, or with m where it is a single one.
func (m member) list(read func(member) error) error {
	if m.Kind != yaml.SequenceNode {
		return read(m)
	}
	for i, n := range m.Content {
		if err := read(m.part(n, fmt.Sprintf("%s[%d]", m.path, i))); err != nil {
			return err
		}
	}
	return nil
}

// part returns a value within m.
func (m member) part(n *yaml.Node, path string) member {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return member{Node: n, file: m.file, path: path}
}

// pairs calls read with each member of the object m, in the order in which they stand there.
func (m member) pairs(read func(name string, value member) error) error {
	if m.Kind != yaml.MappingNode {
		return m.wrong("want an object, not %s", m.what())
	}
	seen := make(map[string]bool)
	for i := 0; i < len(m.Content); i += 2 {
		key := m.part(m.Content[i], m.path)
		name, err := key.text()
		if err != nil {
			return err
		}
		value := m.part(m.Content[i+1], strings.TrimPrefix(m.path+"."+name, "."))
		if seen[name] {
			return key.wrong("%q stands twice", name)
		}
		seen[name] = true
		if err := read(name, value); err != nil {
			return err
		}
	}
	return nil
}

// object reads the members of m in the order of fields. Others may not be there.
func (m member) object(fields ...field) error {
	values := make(map[string]member)
	err := m.pairs(func(name string, value member) error {
		if !slices.ContainsFunc(fields, func(f field) bool { return f.name == name }) {
			return value.wrong("unknown member")
		}
		values[name] = value
		return nil
	})
	if err != nil {
		return err
	}
	for _, f := range fields {
		if value, ok := values[f.name]; ok {
			if err := f.read(value); err != nil {
				return err
			}
		}
	}
	return nil
}

// text returns the text of a scalar.
func (m member) text() (string, error) {
	if m.Kind != yaml.ScalarNode || m.Tag == "!!null" {
		return "", m.wrong("want a text, not %s", m.what())
	}
	return m.Value, nil
}

// what says what m is, for people.
func (m member) what() string {
	switch {
	case m.Kind == yaml.MappingNode:
		return "an object"
	case m.Kind == yaml.SequenceNode:
		return "a list"
	case m.Tag == "!!null":
		return "nothing"
	default:
		return strconv.Quote(m.Value)
	}
}

func (m member) boolean() (bool, error) {
	if m.Kind != yaml.ScalarNode || m.Tag != "!!bool" {
		return false, m.wrong("want true or false, not %s", m.what())
	}
	return strconv.ParseBool(strings.ToLower(m.Value))
}

// number returns a decimal number, or a fraction of two.
func (m member) number() (r ratio, err error) {
	text, err := m.text()
	if err != nil {
		return r, err
	}
	over, under, isFraction := strings.Cut(text, "/")
	r, ok := parseDecimal(over)
	if isFraction {
		d, valid := parseDecimal(under)
		r, ok = ratio{r.numerator * d.denominator, r.denominator * d.numerator}, ok && valid && d.numerator != 0
	}
	if !ok {
		return r, m.wrong("want a number, or a fraction like 5/9, not %s", m.what())
	}
	return r, nil
}

// parseDecimal returns a decimal number as a fraction of integers: 0.001 is 1/1000.
func parseDecimal(text string) (ratio, bool) {
	text = strings.TrimSpace(text)
	r := ratio{denominator: 1}
	if whole, fraction, found := strings.Cut(text, "."); found && len(fraction) <= 15 && !strings.ContainsAny(text, "eE") {
		text = whole + fraction
		for range fraction {
			r.denominator *= 10
		}
	}
	var err error
	r.numerator, err = strconv.ParseFloat(text, 64)
	return r, err == nil && r.numerator-r.numerator == 0 && !strings.ContainsAny(text, "xXpP_")
}

// steps returns the names of a path: members, and places in arrays, with dots between them. Behind a \ a dot is
// part of a name.
func (m member) steps() ([]string, error) {
	text, err := m.text()
	if err != nil || text == "" {
		return nil, err
	}
	const escaped = "\x00"
	path := strings.Split(strings.ReplaceAll(text, `\.`, escaped), ".")
	for i := range path {
		if path[i] = strings.ReplaceAll(path[i], escaped, "."); path[i] == "" {
			return nil, m.wrong("a path is names with dots between them, not %s", m.what())
		}
	}
	if len(path) > maxPath {
		return nil, m.wrong("over %d levels", maxPath)
	}
	return path, nil
}

// globs adds the patterns in a list to dst.
func (m member) globs(dst *globs) error {
	if *dst == nil {
		*dst = globs{} // not nil: it is there
	}
	return m.list(func(m member) error {
		g, err := m.glob()
		*dst = append(*dst, g)
		return err
	})
}

func (m member) glob() (glob, error) {
	text, err := m.text()
	if err != nil {
		return nil, err
	}
	g, err := parseGlob(text)
	if err != nil {
		return nil, m.wrong("%w", err)
	}
	return g, nil
}
