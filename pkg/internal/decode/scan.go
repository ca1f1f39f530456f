package decode

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// Scanner reads a JSON text once, from front to back. Its methods return false after a syntax error, which is then in
// Broken; nothing more can be read. Whatever else is wrong goes to Flaw, and the rest is read.
type Scanner struct {
	Text      []byte
	Pos       int    // the next byte
	Start     int    // where the current element begins
	Broken    Fault  // why the text as a whole cannot be read
	Flaw      Fault  // the first thing wrong with the current element
	unescaped []byte // the last string that was not plain; reused
}

// Reject notes what is wrong with the current element at an offset of the text, unless something is
// already. Offsets count from the element's first byte, as whoever looks at the dead letter does.
func (s *Scanner) Reject(at int, reason iot.Reason, format string, args ...any) {
	if s.Flaw.Reason == "" {
		s.Flaw = Fault{reason, fmt.Sprintf("byte %d: ", at-s.Start) + fmt.Sprintf(format, args...)}
	}
}

// unexpected notes a syntax error, and returns false.
func (s *Scanner) unexpected(want string) bool {
	s.Broken.Reason = iot.ReasonInvalidJSON
	if s.Pos < len(s.Text) {
		s.Broken.Detail = fmt.Sprintf("byte %d: %q where %s is expected", s.Pos, s.Text[s.Pos:s.Pos+1], want)
	} else {
		s.Broken.Detail = fmt.Sprintf("byte %d: the end where %s is expected", s.Pos, want)
	}
	return false
}

// Peek returns the next byte, and 0 (which is no part of JSON) at the end.
func (s *Scanner) Peek() byte {
	if s.Pos < len(s.Text) {
		return s.Text[s.Pos]
	}
	return 0
}

// Space passes over white space.
func (s *Scanner) Space() {
	for s.Pos < len(s.Text) && isSpace(s.Text[s.Pos]) {
		s.Pos++
	}
}

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\r' || c == '\t' }

// Next moves to the next part of an object or array that is closed by end. It returns false when there is
// none, past the end, and when something else follows.
func (s *Scanner) Next(first bool, end byte) bool {
	s.Space()
	switch c := s.Peek(); {
	case c == end:
		s.Pos++
		return false
	case first:
		return true
	case c == ',':
		s.Pos++
		s.Space()
		return true
	default:
		return s.unexpected("a comma or the closing " + string(rune(end)))
	}
}

// NextElement moves to the next element of a batch, behind n others.
func (s *Scanner) NextElement(n int) bool {
	if !s.Next(n == 0, ']') {
		return false
	}
	if n == MaxElements {
		s.Broken = Fault{iot.ReasonTooLarge, fmt.Sprintf("over %d readings", MaxElements)}
		return false
	}
	return true
}

// End notes what stands behind the message.
func (s *Scanner) End() {
	if s.Space(); s.Broken.Reason == "" && s.Pos < len(s.Text) {
		s.Broken = Fault{iot.ReasonTrailingBytes, fmt.Sprintf("byte %d: %.32q", s.Pos, s.Text[s.Pos:])}
	}
}

// Key reads a member's name and the colon. The name is valid until the next string is read.
func (s *Scanner) Key() (name []byte, ok bool) {
	if s.Peek() != '"' {
		return nil, s.unexpected("a name in quotes")
	}
	if name, ok = s.Quoted(); !ok {
		return nil, false
	}
	s.Space()
	if s.Peek() != ':' {
		return nil, s.unexpected("a colon")
	}
	s.Pos++
	s.Space()
	return name, true
}

// Skip passes over a value of any kind that stands within depth others. It needs no recursion, so that
// no depth of nesting costs more memory than the text itself.
func (s *Scanner) Skip(depth int) bool {
	var due []byte // the closing brackets, innermost last
	for {
		first := false
		switch c := s.Peek(); {
		case c == '{' || c == '[':
			if depth+len(due) == MaxDepth {
				s.Reject(s.Pos, iot.ReasonTooDeep, "over %d levels", MaxDepth)
			}
			due = append(due, c+2) // in ASCII each bracket is two before its partner
			first = true
			s.Pos++
		case c == '"':
			if _, ok := s.Quoted(); !ok {
				return false
			}
		case c == '-' || IsDigit(c):
			if _, ok := s.Number(); !ok {
				return false
			}
		default:
			if s.Word() == 0 {
				return false
			}
		}
		for len(due) > 0 && !s.Next(first, due[len(due)-1]) {
			if s.Broken.Reason != "" {
				return false
			}
			due = due[:len(due)-1]
			first = false
		}
		if len(due) == 0 {
			return true
		}
		if due[len(due)-1] == '}' {
			if _, ok := s.Key(); !ok {
				return false
			}
		}
	}
}

// Word reads a literal and returns its first letter: t, f or n for those of JSON, N for one that says not
// a number or an infinity, which is a flaw, and 0 for anything else.
func (s *Scanner) Word() byte {
	start, end := s.Pos, s.Pos
	if c := s.Peek(); c == '-' || c == '+' {
		end++
	}
	letters := end
	for end < len(s.Text) && 'a' <= s.Text[end]|0x20 && s.Text[end]|0x20 <= 'z' {
		end++
	}
	switch w := s.Text[start:end]; {
	case string(w) == "true" || string(w) == "false" || string(w) == "null":
		s.Pos = end
		return w[0]
	case IsNotANumber(s.Text[letters:end]):
		s.Pos = end
		s.Reject(start, iot.ReasonNotANumber, "%s is not JSON", w)
		return 'N'
	default:
		s.unexpected("a value")
		return 0
	}
}

// IsNotANumber knows the spellings of Python and JavaScript, and of C.
func IsNotANumber(word []byte) bool {
	if len(word) != len("nan") && len(word) != len("infinity") {
		return false // nearly always
	}
	w := string(word)
	return strings.EqualFold(w, "nan") || strings.EqualFold(w, "inf") || strings.EqualFold(w, "infinity")
}

// Quoted reads a string. The result is valid until the next string is read.
func (s *Scanner) Quoted() ([]byte, bool) {
	start := s.Pos + 1
	for i := start; i < len(s.Text); i++ {
		switch c := s.Text[i]; {
		case c == '"':
			s.Pos = i + 1
			return s.Text[start:i], true
		case c < ' ' || c == '\\' || c >= utf8.RuneSelf:
			s.unescaped = append(s.unescaped[:0], s.Text[start:i]...)
			s.Pos = i
			return s.rest()
		}
	}
	s.Pos = len(s.Text)
	return nil, s.unexpected("a closing quote")
}

// rest reads what is left of a string whose beginning is in unescaped.
func (s *Scanner) rest() ([]byte, bool) {
	for s.Pos < len(s.Text) {
		switch c := s.Text[s.Pos]; {
		case c == '"':
			s.Pos++
			return s.unescaped, true
		case c == '\\':
			if !s.escape() {
				return nil, false
			}
		case c < ' ':
			return nil, s.unexpected("an escape sequence")
		default:
			r, n := utf8.DecodeRune(s.Text[s.Pos:])
			if r == utf8.RuneError && n == 1 {
				s.Reject(s.Pos, iot.ReasonInvalidUTF8, "%q is not UTF-8", s.Text[s.Pos:s.Pos+1])
			}
			s.unescaped = append(s.unescaped, s.Text[s.Pos:s.Pos+n]...)
			s.Pos += n
		}
	}
	return nil, s.unexpected("a closing quote")
}

// escape reads an escape sequence into unescaped.
func (s *Scanner) escape() bool {
	s.Pos++
	const letters, meanings = `"\/bfnrt`, "\"\\/\b\f\n\r\t"
	if n := strings.IndexByte(letters, s.Peek()); n >= 0 {
		s.unescaped = append(s.unescaped, meanings[n])
		s.Pos++
		return true
	}
	r, ok := hex4(s.Text[s.Pos:])
	if !ok {
		return s.unexpected("an escape sequence")
	}
	at := s.Pos - 1
	s.Pos += len("u0000")
	if utf16.IsSurrogate(r) { // half a character: it needs another half behind it
		half := r
		r = utf8.RuneError
		if after, found := bytes.CutPrefix(s.Text[s.Pos:], []byte(`\`)); found {
			if other, ok := hex4(after); ok {
				r = utf16.DecodeRune(half, other)
			}
		}
		if r == utf8.RuneError {
			s.Reject(at, iot.ReasonInvalidUTF8, `\u%04x is half a character`, half)
		} else {
			s.Pos += len(`\u0000`)
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
