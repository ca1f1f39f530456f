package senml

import (
	"github.com/telltale-iot/telltale/pkg/internal/decode"
)

// readJSON reads a pack in JSON.
func (p *pack) readJSON(message []byte) {
	s := decode.Scanner{Text: message}
	s.Space()
	if s.Peek() == '[' {
		s.Pos++
		for n := 0; s.NextElement(n) && p.recordJSON(&s); n++ { //nolint:revive // recordJSON does it
		}
	} else {
		p.recordJSON(&s)
	}
	if s.End(); s.Broken.Reason != "" {
		p.fault = s.Broken
	}
}

// recordJSON reads the record that is next.
func (p *pack) recordJSON(s *decode.Scanner) bool {
	p.begin()
	s.Start, s.Flaw = s.Pos, decode.Fault{}
	if s.Peek() != '{' {
		p.record.Wrong = "it is no object"
		ok := s.Skip(0)
		if ok {
			p.end(s.Text[s.Start:s.Pos])
		}
		return ok
	}
	s.Pos++
	for first := true; s.Next(first, '}'); first = false {
		key, ok := s.Key()
		if !ok {
			return false
		}
		label := string(key)
		f, ok := fieldJSON(s)
		if !ok {
			return false
		}
		p.field(label, f)
	}
	if s.Broken.Reason != "" {
		return false
	}
	p.end(s.Text[s.Start:s.Pos])
	return true
}

// fieldJSON reads the value that is next.
func fieldJSON(s *decode.Scanner) (f field, ok bool) {
	before := s.Flaw
	switch c := s.Peek(); {
	case c == '"':
		var b []byte
		b, ok = s.Quoted()
		f = field{kind: text, text: string(b)}
	case c == '-' || decode.IsDigit(c):
		var d decode.Decimal
		if d, ok = s.Number(); ok && s.Flaw == before {
			if f.number, ok = d.Float(); ok {
				f.kind = number
			}
			ok = true
		}
	case c == '{' || c == '[':
		ok = s.Skip(0)
	default:
		switch w := s.Word(); w {
		case 't':
			f, ok = field{kind: truth, number: 1}, true
		case 'f':
			f, ok = field{kind: truth}, true
		case 'n':
			f, ok = field{kind: null}, true
		default:
			ok = w != 0
		}
	}
	if s.Flaw != before {
		f, s.Flaw = field{}, before
	}
	return f, ok
}
