package payload

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// scanner reads a JSON text once, from front to back. Its methods return false after a syntax error, which is then in
// broken; nothing more can be read. Whatever else is wrong goes to flaw, and the rest is read.
type scanner struct {
	text      []byte
	i         int    // the next byte
	start     int    // where the current element begins
	broken    fault  // why the text as a whole cannot be read
	flaw      fault  // the first thing wrong with the current element
	unescaped []byte // the last string that was not plain; reused
}

// reject notes what is wrong with the current element at an offset of the text, unless something is
// already. Offsets count from the element's first byte, as whoever looks at the dead letter does.
func (s *scanner) reject(at int, reason iot.Reason, format string, args ...any) {
	if s.flaw.reason == "" {
		s.flaw = fault{reason, fmt.Sprintf("byte %d: ", at-s.start) + fmt.Sprintf(format, args...)}
	}
}

// unexpected notes a syntax error, and returns false.
func (s *scanner) unexpected(want string) bool {
	s.broken.reason = iot.ReasonInvalidJSON
	if s.i < len(s.text) {
		s.broken.detail = fmt.Sprintf("byte %d: %q where %s is expected", s.i, s.text[s.i:s.i+1], want)
	} else {
		s.broken.detail = fmt.Sprintf("byte %d: the end where %s is expected", s.i, want)
	}
	return false
}

// peek returns the next byte, and 0 (which is no part of JSON) at the end.
func (s *scanner) peek() byte {
	if s.i < len(s.text) {
		return s.text[s.i]
	}
	return 0
}

// space passes over white space.
func (s *scanner) space() {
	for s.i < len(s.text) && (s.text[s.i] == ' ' || s.text[s.i] == '\n' || s.text[s.i] == '\r' || s.text[s.i] == '\t') {
		s.i++
	}
}

// next moves to the next part of an object or array that is closed by end. It returns false when there is
// none, past the end, and when something else follows.
func (s *scanner) next(first bool, end byte) bool {
	s.space()
	switch c := s.peek(); {
	case c == end:
		s.i++
		return false
	case first:
		return true
	case c == ',':
		s.i++
		s.space()
		return true
	default:
		return s.unexpected("a comma or the closing " + string(rune(end)))
	}
}

// nextElement moves to the next element of a batch, behind n others.
func (s *scanner) nextElement(n int) bool {
	if !s.next(n == 0, ']') {
		return false
	}
	if n == maxElements {
		s.broken = fault{iot.ReasonTooLarge, fmt.Sprintf("over %d readings", maxElements)}
		return false
	}
	return true
}

// end notes what stands behind the message.
func (s *scanner) end() {
	if s.space(); s.broken.reason == "" && s.i < len(s.text) {
		s.broken = fault{iot.ReasonTrailingBytes, fmt.Sprintf("byte %d: %.32q", s.i, s.text[s.i:])}
	}
}

// key reads a member's name and the colon. The name is valid until the next string is read.
func (s *scanner) key() (name []byte, ok bool) {
	if s.peek() != '"' {
		return nil, s.unexpected("a name in quotes")
	}
	if name, ok = s.str(); !ok {
		return nil, false
	}
	s.space()
	if s.peek() != ':' {
		return nil, s.unexpected("a colon")
	}
	s.i++
	s.space()
	return name, true
}

// skip passes over a value of any kind that stands within depth others. It needs no recursion, so that
// no depth of nesting costs more memory than the text itself.
func (s *scanner) skip(depth int) bool {
	var due []byte // the closing brackets, innermost last
	for {
		first := false
		switch c := s.peek(); {
		case c == '{' || c == '[':
			if depth+len(due) == maxDepth {
				s.reject(s.i, iot.ReasonTooDeep, "over %d levels", maxDepth)
			}
			due = append(due, c+2) // in ASCII each bracket is two before its partner
			first = true
			s.i++
		case c == '"':
			if _, ok := s.str(); !ok {
				return false
			}
		case c == '-' || isDigit(c):
			if _, ok := s.number(); !ok {
				return false
			}
		default:
			if s.word() == 0 {
				return false
			}
		}
		for len(due) > 0 && !s.next(first, due[len(due)-1]) {
			if s.broken.reason != "" {
				return false
			}
			due = due[:len(due)-1]
			first = false
		}
		if len(due) == 0 {
			return true
		}
		if due[len(due)-1] == '}' {
			if _, ok := s.key(); !ok {
				return false
			}
		}
	}
}

// word reads a literal and returns its first letter: t, f or n for those of JSON, N for one that says not
// a number or an infinity, which is a flaw, and 0 for anything else.
func (s *scanner) word() byte {
	start, end := s.i, s.i
	if c := s.peek(); c == '-' || c == '+' {
		end++
	}
	letters := end
	for end < len(s.text) && 'a' <= s.text[end]|0x20 && s.text[end]|0x20 <= 'z' {
		end++
	}
	switch w := s.text[start:end]; {
	case string(w) == "true" || string(w) == "false" || string(w) == "null":
		s.i = end
		return w[0]
	case isNotANumber(s.text[letters:end]):
		s.i = end
		s.reject(start, iot.ReasonNotANumber, "%s is not JSON", w)
		return 'N'
	default:
		s.unexpected("a value")
		return 0
	}
}

// isNotANumber knows the spellings of Python and JavaScript, and of C.
func isNotANumber(word []byte) bool {
	for _, w := range []string{"nan", "inf", "infinity"} {
		if strings.EqualFold(string(word), w) {
			return true
		}
	}
	return false
}

// str reads a string. The result is valid until the next string is read.
func (s *scanner) str() ([]byte, bool) {
	start := s.i + 1
	for i := start; i < len(s.text); i++ {
		switch c := s.text[i]; {
		case c == '"':
			s.i = i + 1
			return s.text[start:i], true
		case c < ' ' || c == '\\' || c >= utf8.RuneSelf:
			s.unescaped = append(s.unescaped[:0], s.text[start:i]...)
			s.i = i
			return s.rest()
		}
	}
	s.i = len(s.text)
	return nil, s.unexpected("a closing quote")
}

// rest reads what is left of a string whose beginning is in unescaped.
func (s *scanner) rest() ([]byte, bool) {
	for s.i < len(s.text) {
		switch c := s.text[s.i]; {
		case c == '"':
			s.i++
			return s.unescaped, true
		case c == '\\':
			if !s.escape() {
				return nil, false
			}
		case c < ' ':
			return nil, s.unexpected("an escape sequence")
		default:
			r, n := utf8.DecodeRune(s.text[s.i:])
			if r == utf8.RuneError && n == 1 {
				s.reject(s.i, iot.ReasonInvalidUTF8, "%q is not UTF-8", s.text[s.i:s.i+1])
			}
			s.unescaped = append(s.unescaped, s.text[s.i:s.i+n]...)
			s.i += n
		}
	}
	return nil, s.unexpected("a closing quote")
}

// escape reads an escape sequence into unescaped.
func (s *scanner) escape() bool {
	s.i++
	const letters, meanings = `"\/bfnrt`, "\"\\/\b\f\n\r\t"
	if n := strings.IndexByte(letters, s.peek()); n >= 0 {
		s.unescaped = append(s.unescaped, meanings[n])
		s.i++
		return true
	}
	r, ok := hex4(s.text[s.i:])
	if !ok {
		return s.unexpected("an escape sequence")
	}
	at := s.i - 1
	s.i += len("u0000")
	if utf16.IsSurrogate(r) { // half a character: it needs another half behind it
		half := r
		r = utf8.RuneError
		if after, found := bytes.CutPrefix(s.text[s.i:], []byte(`\`)); found {
			if other, ok := hex4(after); ok {
				r = utf16.DecodeRune(half, other)
			}
		}
		if r == utf8.RuneError {
			s.reject(at, iot.ReasonInvalidUTF8, `\u%04x is half a character`, half)
		} else {
			s.i += len(`\u0000`)
		}
	}
	s.unescaped = utf8.AppendRune(s.unescaped, r)
	return true
}

// hex4 reads the letter u and four hexadecimal digits.
func hex4(b []byte) (rune, bool) {
	if len(b) < 5 || b[0] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(string(b[1:5]), 16, 16)
	return rune(n), err == nil
}
