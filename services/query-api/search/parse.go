package search

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// What a query may take: more than anybody writes by hand, and little to do for each reading.
const (
	MaxQuery = 2000 // bytes
	MaxTerms = 50
	MaxDepth = 20 // parentheses and NOTs within each other
)

// SyntaxError is why a text is no query.
type SyntaxError struct {
	At       int    // the character, counted from 1
	Expected string // what could stand there
	Found    string // what does, in quotes where it is not the end
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("Expected %s at %d, found %s.", e.Expected, e.At, e.Found)
}

// Parse reads a query. An empty one is for all readings. The error is a *SyntaxError.
func Parse(text string) (*Query, error) {
	p := parser{text: strings.ToValidUTF8(text[:min(len(text), MaxQuery+utf8.UTFMax)], "\uFFFD")}
	if len(text) > MaxQuery {
		return nil, p.expected(MaxQuery, "no more than %d bytes", MaxQuery)
	}
	for i, c := range p.text {
		if c == utf8.RuneError || unicode.IsControl(c) && !unicode.IsSpace(c) {
			return nil, p.expected(i, "text without control characters, in UTF-8")
		}
	}
	if p.space(); p.at == len(p.text) {
		return &Query{root: all{}}, nil
	}
	root, err := p.either(0)
	if err != nil {
		return nil, err
	}
	if p.at < len(p.text) { // a parenthesis that nothing opened
		return nil, p.expected(p.at, "AND, OR or the end")
	}
	return &Query{root: root}, nil
}

// parser reads a query from left to right. Its methods leave no white space in front of what comes next.
type parser struct {
	text  string
	at    int // in bytes
	terms int
}

// expected says what could stand at a place of the text.
func (p *parser) expected(at int, format string, args ...any) error {
	for at > 0 && at < len(p.text) && !utf8.RuneStart(p.text[at]) {
		at--
	}
	e := &SyntaxError{At: p.position(at), Expected: fmt.Sprintf(format, args...), Found: "the end"}
	if word, _, _ := strings.Cut(p.text[at:], " "); word != "" {
		e.Found = fmt.Sprintf("%.20q", word)
	} else if at < len(p.text) {
		e.Found = "a space"
	}
	return e
}

// position is the character at a byte of the text, counted from 1.
func (p *parser) position(at int) int { return utf8.RuneCountInString(p.text[:at]) + 1 }

func (p *parser) space() {
	p.at = len(p.text) - len(strings.TrimLeftFunc(p.text[p.at:], unicode.IsSpace))
}

// skip reports whether s is next, and goes on behind it then.
func (p *parser) skip(s string) bool {
	if !strings.HasPrefix(p.text[p.at:], s) {
		return false
	}
	p.at += len(s)
	return true
}

// word returns what is up to the next of white space, parentheses, quotes and the characters of ends.
func (p *parser) word(ends string) string {
	rest := p.text[p.at:]
	end := strings.IndexFunc(rest, func(c rune) bool { return unicode.IsSpace(c) || strings.ContainsRune(`()"`+ends, c) })
	if end < 0 {
		return rest
	}
	return rest[:end]
}

// operator reports whether the word that is next is op, in capitals or not, and goes on behind it then.
func (p *parser) operator(op string) bool {
	if word := p.word(""); !strings.EqualFold(word, op) {
		return false
	}
	p.at += len(op)
	p.space()
	return true
}

// either reads what OR connects.
func (p *parser) either(depth int) (node, error) {
	var of or
	for {
		n, err := p.both(depth)
		if err != nil {
			return nil, err
		}
		of = append(of, n)
		if !p.operator("OR") {
			return of, nil
		}
	}
}

// both reads what AND connects, or nothing at all does.
func (p *parser) both(depth int) (node, error) {
	var of and
	for {
		n, err := p.operand(depth)
		if err != nil {
			return nil, err
		}
		of = append(of, n)
		if p.operator("AND") {
			continue
		}
		if p.at == len(p.text) || p.text[p.at] == ')' || strings.EqualFold(p.word(""), "OR") {
			return of, nil
		}
	}
}

// operand reads a term, or what stands in parentheses, with as many negations in front as there are.
func (p *parser) operand(depth int) (node, error) {
	start := p.at
	if depth > MaxDepth {
		return nil, p.expected(start, "no more than %d levels of parentheses and NOT", MaxDepth)
	}
	if p.operator("NOT") || p.skip("-") {
		n, err := p.operand(depth + 1)
		return not{n}, err
	}
	if p.skip("(") {
		p.space()
		n, err := p.either(depth + 1)
		if err != nil {
			return nil, err
		}
		if !p.skip(")") {
			return nil, p.expected(p.at, "AND, OR or the parenthesis that closes the one at %d", p.position(start))
		}
		p.space()
		return n, nil
	}
	if p.terms++; p.terms > MaxTerms {
		return nil, p.expected(start, "no more than %d terms", MaxTerms)
	}
	return p.term()
}

// term reads name:value, or a text.
func (p *parser) term() (node, error) {
	start := p.at
	text, quoted, err := p.piece(":")
	switch {
	case err != nil:
		return nil, err
	case p.skip(":"):
		if text == "" || !quoted && strings.Contains(text, "*") {
			return nil, p.expected(start, "a name in front of the colon, in quotes where it has a *")
		}
		if text == timestamp && !quoted {
			return nil, p.expected(start, "a metric, an attribute or a device (from_date, to_date and range say of which times)")
		}
		return p.value(text)
	case quoted:
		return freeText(literal(text).inside()), p.end()
	case text == "" || strings.EqualFold(text, "AND") || strings.EqualFold(text, "OR"):
		return nil, p.expected(start, "a name with a value, a text, NOT or a parenthesis")
	case text == "&&" || text == "||":
		return nil, p.expected(start, "AND or OR")
	case strings.ContainsAny(text, "<>="):
		return nil, p.expected(start+strings.IndexAny(text, "<>="), "a colon (as in temperature:>25), or the whole text in quotes")
	case text == "*":
		return all{}, p.end()
	default:
		return freeText(wild(text).inside()), p.end()
	}
}

// piece reads a text in quotes, or else a word, which may be empty.
func (p *parser) piece(ends string) (text string, quoted bool, err error) {
	start := p.at
	if !p.skip(`"`) {
		text = p.word(ends)
		p.at += len(text)
		return text, false, nil
	}
	var b strings.Builder
	for p.at < len(p.text) {
		if p.skip(`"`) {
			return b.String(), true, nil
		}
		if p.skip(`\`) && p.at == len(p.text) {
			break
		}
		b.WriteByte(p.text[p.at])
		p.at++
	}
	return "", true, p.expected(p.at, "the quote that closes the one at %d", p.position(start))
}

// end goes on behind a term, which white space separates from the next.
func (p *parser) end() error {
	before := p.at
	p.space()
	if p.at == before && p.at < len(p.text) && p.text[p.at] != ')' {
		return p.expected(p.at, "a space")
	}
	return nil
}
