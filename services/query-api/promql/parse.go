package promql

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// What a query may take.
const (
	maxQuery = 64 << 10 // bytes: a thousand devices by their ids
	maxDepth = 50       // levels of parentheses
)

// lookback is how old the value of a series may be where no window is given, as in Prometheus.
const lookback = 5 * time.Minute

// Error is why a query cannot be answered.
type Error struct{ Message string }

func (e *Error) Error() string { return e.Message }

func refuse(format string, args ...any) error { return &Error{fmt.Sprintf(format, args...)} }

// functions of windows, and what they make of one.
var functions = map[string]func(*iot.Bucket) float64{
	"avg_over_time":   func(b *iot.Bucket) float64 { return b.Mean() },
	"sum_over_time":   func(b *iot.Bucket) float64 { return b.Sum },
	"min_over_time":   func(b *iot.Bucket) float64 { return b.Min },
	"max_over_time":   func(b *iot.Bucket) float64 { return b.Max },
	"count_over_time": func(b *iot.Bucket) float64 { return float64(b.Count) },
	"last_over_time":  last,
}

func last(b *iot.Bucket) float64 { return b.Last }

// aggregations of series: what two values come to. How many there were is known besides, for avg and count.
var aggregations = map[string]func(sum, v float64) float64{
	"avg":   func(sum, v float64) float64 { return sum + v },
	"sum":   func(sum, v float64) float64 { return sum + v },
	"count": func(sum, v float64) float64 { return sum },
	"min":   func(sum, v float64) float64 { return min(sum, v) },
	"max":   func(sum, v float64) float64 { return max(sum, v) },
}

type (
	// expression is a query, or a part of one: a number, *windows, *aggregate or *arithmetic.
	expression any
	number     float64
	windows    struct {
		Selector
		length   time.Duration
		of       func(*iot.Bucket) float64
		function string // "": a selector by itself, whose series keep their name
		ranged   bool   // a window was given
	}
	aggregate struct {
		name   string
		labels []string
		other  bool // group by all labels but these
		of     expression
	}
	arithmetic struct {
		op          byte
		left, right expression
	}
)

// Selector says which series are meant.
type Selector struct {
	Metric   string // "": of any
	matchers []matcher
}

type matcher struct {
	label, value string
	not          bool
	pattern      *regexp.Regexp // nil: equal to value
}

func (m matcher) match(value string) bool {
	if m.pattern != nil {
		return m.pattern.MatchString(value) != m.not
	}
	return (value == m.value) != m.not
}

// parser reads a query from left to right; what it has read is followed by no white space.
type parser struct {
	text  string
	at    int
	depth int
	steps *int // of all regular expressions so far
}

// parse reads a query. It adds to steps those of its regular expressions, which may be maxPattern.
func parse(text string, steps *int) (expression, error) {
	p := &parser{text: text, steps: steps}
	if len(text) > maxQuery || !utf8.ValidString(text) {
		return nil, refuse("a query is at most %d bytes of UTF-8", maxQuery)
	}
	p.space()
	e, err := p.sum()
	if err == nil && p.at < len(p.text) {
		err = p.expected("an operator (+ - * /) or the end")
	}
	return e, err
}

// MaxSelectors is how many there may be in a request. The readings of two days are looked through for each.
const MaxSelectors = 20

// ParseSelectors reads what selects series, as each match[] of a request does.
func ParseSelectors(texts ...string) (selectors []Selector, err error) {
	if len(texts) > MaxSelectors {
		return nil, refuse("there are %d match[], and may be %d", len(texts), MaxSelectors)
	}
	steps := 0
	for _, text := range texts {
		e, err := parse(text, &steps)
		if err != nil {
			return nil, err
		}
		w, ok := e.(*windows)
		if !ok || w.function != "" || w.ranged {
			return nil, refuse("1:1: parse error: expected a metric or {…}, and nothing else")
		}
		selectors = append(selectors, w.Selector)
	}
	return selectors, nil
}

func (p *parser) expected(what string, args ...any) error { return p.expectedAt(p.at, what, args...) }

func (p *parser) expectedAt(at int, what string, args ...any) error {
	found := "the end"
	if at < len(p.text) {
		found = fmt.Sprintf("%.20q", p.text[at:])
	}
	return refuse("1:%d: parse error: expected %s, found %s", utf8.RuneCountInString(p.text[:at])+1, fmt.Sprintf(what, args...), found)
}

func (p *parser) space() {
	p.at = len(p.text) - len(strings.TrimLeft(p.text[p.at:], " \t\r\n"))
}

func (p *parser) next() byte {
	if p.at == len(p.text) {
		return 0
	}
	return p.text[p.at]
}

// skip reports whether s is next, and goes on behind it then.
func (p *parser) skip(s string) bool {
	if !strings.HasPrefix(p.text[p.at:], s) {
		return false
	}
	p.at += len(s)
	p.space()
	return true
}

// run reads the characters that are next as long as they are of a kind.
func (p *parser) run(of string) string {
	rest := p.text[p.at:]
	text := rest[:len(rest)-len(strings.TrimLeft(rest, of))]
	p.at += len(text)
	return text
}

const (
	digits  = "0123456789"
	letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_"
)

// name reads a name of a metric, a label or a function; "" where there is none.
func (p *parser) name() string {
	if strings.IndexByte(digits, p.next()) >= 0 {
		return ""
	}
	name := p.run(letters + digits + ":")
	p.space()
	return name
}

func (p *parser) sum() (expression, error)     { return p.infix("+-", p.product) }
func (p *parser) product() (expression, error) { return p.infix("*/", p.signed) }

// infix reads what operators of one rank connect.
func (p *parser) infix(ops string, operand func() (expression, error)) (expression, error) {
	left, err := operand()
	for err == nil && p.at < len(p.text) && strings.IndexByte(ops, p.next()) >= 0 {
		at, op := p.at, p.next()
		p.skip(string(op))
		var right expression
		if right, err = operand(); err != nil {
			return nil, err
		}
		_, leftIs := left.(number)
		_, rightIs := right.(number)
		switch {
		case leftIs && rightIs:
			left = number(calculate(op, float64(left.(number)), float64(right.(number))))
		case leftIs || rightIs:
			left = &arithmetic{op, left, right}
		default:
			err = p.expectedAt(at, "a number on one side of the operator")
		}
	}
	return left, err
}

// signed reads an operand with a sign or without.
func (p *parser) signed() (expression, error) {
	if p.depth++; p.depth > maxDepth {
		return nil, p.expected("no more than %d levels", maxDepth)
	}
	defer func() { p.depth-- }()
	if p.skip("-") {
		e, err := p.signed()
		if n, ok := e.(number); ok {
			return -n, err
		}
		return &arithmetic{'*', number(-1), e}, err
	}
	p.skip("+")
	return p.operand()
}

func (p *parser) operand() (expression, error) {
	at := p.at
	if p.skip("(") {
		e, err := p.sum()
		if err == nil && !p.skip(")") {
			err = p.expected("an operator or )")
		}
		return e, err
	}
	if c := p.next(); c == '.' || c != 0 && strings.IndexByte(digits, c) >= 0 {
		return p.number()
	}
	if p.next() == '{' {
		return p.selector("")
	}
	name := p.name()
	grouped := aggregations[name] != nil && (p.next() == '(' || strings.HasPrefix(p.text[p.at:], "by") || strings.HasPrefix(p.text[p.at:], "without"))
	switch {
	case name == "":
		return nil, p.expected("a metric, a function or a number")
	case grouped:
		return p.aggregate(name)
	case p.next() == '(':
		return p.function(at, name)
	default:
		return p.selector(name)
	}
}

func (p *parser) number() (expression, error) {
	at := p.at
	p.run(digits + ".")
	if c := p.next(); c == 'e' || c == 'E' {
		p.at++
		if c := p.next(); c == '+' || c == '-' {
			p.at++
		}
		p.run(digits)
	}
	n, err := strconv.ParseFloat(p.text[at:p.at], 64)
	if err != nil || strings.IndexByte(letters, p.next()) >= 0 && p.next() != 0 {
		return nil, p.expectedAt(at, "a number")
	}
	p.space()
	return number(n), nil
}

// function reads what follows the name of a function.
func (p *parser) function(at int, name string) (expression, error) {
	of := functions[name]
	if of == nil {
		return nil, p.expectedAt(at, "avg_over_time, min_, max_, sum_, count_, last_over_time, or avg, min, max, sum, count (which are all that there are)")
	}
	p.skip("(")
	at = p.at
	e, err := p.operand()
	if err != nil {
		return nil, err
	}
	w, ok := e.(*windows)
	if !ok || !w.ranged || w.function != "" {
		return nil, p.expectedAt(at, "a metric with a window, as in temperature[15m]")
	}
	if !p.skip(")") {
		return nil, p.expected(")")
	}
	w.function, w.of = name, of
	return w, nil
}

// aggregate reads what follows the name of an aggregation: labels may stand on either side of the series.
func (p *parser) aggregate(name string) (expression, error) {
	a := &aggregate{name: name}
	err := p.grouping(a)
	if err != nil {
		return nil, err
	}
	if !p.skip("(") {
		return nil, p.expected("(")
	}
	at := p.at
	if a.of, err = p.sum(); err != nil {
		return nil, err
	}
	if _, ok := a.of.(number); ok {
		return nil, p.expectedAt(at, "series")
	}
	if !p.skip(")") {
		return nil, p.expected("an operator or )")
	}
	if a.labels == nil {
		err = p.grouping(a)
	}
	return a, err
}

// grouping reads by (…) or without (…), if it is there.
func (p *parser) grouping(a *aggregate) error {
	at := p.at
	switch name := p.name(); name {
	case "by", "without":
		a.other = name == "without"
	default:
		p.at = at
		return nil
	}
	if !p.skip("(") {
		return p.expected("labels in parentheses")
	}
	a.labels = []string{}
	for !p.skip(")") {
		label := p.name()
		if label == "" {
			return p.expected("a label or )")
		}
		a.labels = append(a.labels, label)
		if !p.skip(",") && p.next() != ')' {
			return p.expected(", or )")
		}
	}
	return nil
}

func calculate(op byte, a, b float64) float64 {
	switch op {
	case '+':
		return a + b
	case '-':
		return a - b
	case '*':
		return a * b
	default:
		return a / b
	}
}
