package search

import (
	"cmp"
	"strconv"
	"strings"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// value reads what follows the colon behind a name.
func (p *parser) value(name string) (node, error) {
	op := p.comparison()
	at := p.at
	text, quoted, err := p.piece("")
	switch {
	case err != nil:
		return nil, err
	case text == "" && !quoted && p.skip("("):
		return nil, p.expected(at, "one value (as in room:lab OR room:attic)")
	case text == "" && !quoted:
		return nil, p.expected(at, "a value right behind the %s", cmp.Or(op, "colon"))
	case !quoted && (text[0] == '[' || text[0] == '{'):
		return nil, p.expected(at, "a range like 20..25, or a value in quotes")
	}
	t := term{name: name, other: op == "!="}
	equal := op == "" || op == "=" || op == "!="
	from, to, isRange := strings.Cut(text, "..")
	switch {
	case !equal && !quoted && (isRange || strings.Contains(text, "*")):
		err = p.expected(at, "a value without .. and *, or one in quotes")
	case !equal:
		t.compare(op, text, quoted)
	case isRange && !quoted:
		err = p.between(&t, at, from, to)
	case name == deviceID && text != "*":
		err = p.device(&t, at, text)
	default:
		t.equal(text, quoted)
	}
	if err != nil {
		return nil, err
	}
	return t, p.end()
}

// comparison reads one of the signs that may stand between a colon and a value.
func (p *parser) comparison() string {
	for _, op := range []string{"!=", ">=", "<=", ">", "<", "="} {
		if p.skip(op) {
			return op
		}
	}
	return ""
}

// compare has t look for what is above or below a value.
func (t *term) compare(op, text string, quoted bool) {
	if n, ok := number(text); ok && !quoted {
		t.numbers = compared(op, n)
	} else {
		t.texts = compared(op, fold(text))
	}
}

func compared[T cmp.Ordered](op string, v T) *span[T] {
	open := len(op) == 1
	if op[0] == '>' {
		return &span[T]{min: &v, above: open}
	}
	return &span[T]{max: &v, below: open}
}

// between has t look for what is from one value to another.
func (p *parser) between(t *term, at int, from, to string) error {
	toAt := at + len(from) + len("..")
	if !isEnd(from) {
		return p.expected(at, "a value, or a * alone, where the range begins")
	}
	if !isEnd(to) {
		return p.expected(toAt, "a value, or a * alone, where the range ends")
	}
	if numbers, ok := spanOf(from, to, number); ok {
		if numbers.empty() {
			return p.expected(toAt, "%s or more", from)
		}
		t.numbers = numbers
		return nil
	}
	if _, ok := number(from); ok {
		return p.expected(toAt, "a number, as in front of the range's ..")
	}
	if _, ok := number(to); ok {
		return p.expected(at, "a number, as behind the range's ..")
	}
	texts, _ := spanOf(from, to, func(s string) (string, bool) { return fold(s), true })
	if texts.empty() {
		return p.expected(toAt, "%q or what comes after it", from)
	}
	t.texts = texts
	return nil
}

func isEnd(text string) bool { return text == "*" || text != "" && !strings.Contains(text, "*") }

// spanOf returns what is from one text to another, in which * is no bound. ok: read could read the others.
func spanOf[T cmp.Ordered](from, to string, read func(string) (T, bool)) (s *span[T], ok bool) {
	end := func(text string) (*T, bool) {
		if text == "*" {
			return nil, true
		}
		v, ok := read(text)
		return &v, ok
	}
	first, fromOK := end(from)
	last, toOK := end(to)
	return &span[T]{min: first, max: last}, fromOK && toOK
}

// device has t look for a device.
func (p *parser) device(t *term, at int, text string) error {
	id, _, err := iot.ParseDevice(text)
	if err != nil {
		return p.expected(at, "the id or the key of a device")
	}
	t.numbers = only(float64(id)) // exact
	return nil
}

// equal has t look for a value.
func (t *term) equal(text string, quoted bool) {
	switch n, ok := number(text); {
	case quoted:
		t.texts = literal(text)
	case text == "*":
		t.numbers, t.texts = &span[float64]{}, wild(text)
	case ok:
		t.numbers, t.texts = only(n), wild(text)
	default:
		t.texts = wild(text)
	}
}

// number reads a number, or true or false, which are metrics of 1 and 0.
func number(s string) (n float64, ok bool) {
	switch {
	case strings.EqualFold(s, "true"):
		return 1, true
	case strings.EqualFold(s, "false"):
		return 0, true
	case strings.Trim(s, "+-.eE0123456789") != "":
		return 0, false // infinity, and what only Go calls a number
	}
	n, err := strconv.ParseFloat(s, 64)
	return n, err == nil
}
