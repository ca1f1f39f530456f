package mapping

import (
	"fmt"

	"github.com/telltale-iot/telltale/pkg/internal/decode"
	"github.com/telltale-iot/telltale/pkg/iot"
)

// cursor finds the readings in a message: the message itself, the elements of an array, or what a rule says with each.
// It has no more state than the brackets that are open, so that it can stop between any two readings, and a copy
// can look ahead.
type cursor struct {
	decode.Scanner
	rule    *rule
	open    [maxPath + 3]bracket // one for each name of the path, one for what it leads to, and arrays within and without
	depth   int                  // how many are
	started bool
	count   int  // of the readings found
	key     span // of the reading in the text, with each: the name of the member that it is in
	astray  bool // what was found is not where the readings are, but on the way to there
}

// span is a part of the text.
type span struct{ from, to int }

// bracket is an object or array in which there are readings.
type bracket struct {
	close byte
	begun bool
	level int8 // how many levels of the way to the readings are behind its parts
	batch bool // its elements are readings, or messages with readings, and not arrays of them
}

// next goes to the next reading. It returns false at the end of the message, or of what can be read of it.
func (c *cursor) next() bool {
	if !c.started {
		c.started = true
		if c.Space(); c.enter(bracket{}) {
			return c.found()
		}
	}
	for c.depth > 0 {
		in := &c.open[c.depth-1]
		if !c.Next(!in.begun, in.close) {
			if c.Broken.Reason != "" {
				return false
			}
			c.depth--
			continue
		}
		in.begun = true
		if in.level < c.rule.level {
			c.key = span{} // that of a neighbour
		}
		if in.close == '}' {
			from := c.Pos
			name, ok := c.Key()
			if !ok {
				return false
			}
			switch {
			case in.level == c.rule.level:
				c.key = span{from, c.Pos}
			case string(name) != c.rule.each[in.level-1]:
				if !c.Skip(0) {
					return false
				}
				continue
			}
		}
		if c.enter(*in) {
			return c.found()
		}
	}
	return false
}

// enter goes into the value that is next, in a bracket. It returns true where that is a reading, or should be one.
func (c *cursor) enter(in bracket) bool {
	next := bracket{level: in.level}
	c.astray = in.level != c.rule.level
	switch what := c.Peek(); {
	case in.level == c.rule.level: // here are the readings
		if what != '[' || in.batch || c.rule.whole {
			return true
		}
		next.close, next.batch = ']', true
	case what == '{':
		next.close, next.level = '}', in.level+1
	case what == '[' && in.level == c.rule.level-1: // elements, and not members, are the readings
		next.close, next.level, c.key = ']', c.rule.level, span{}
	case what == '[' && in.level == 0 && !in.batch: // a batch of messages
		next.close, next.batch = ']', true
	default:
		return true
	}
	c.Pos++
	c.open[c.depth] = next
	c.depth++
	return false
}

// found counts a reading.
func (c *cursor) found() bool {
	if c.count == decode.MaxElements {
		c.Broken = decode.Fault{Reason: iot.ReasonTooLarge, Detail: fmt.Sprintf("over %d readings", decode.MaxElements)}
		return false
	}
	c.count++
	c.Start = c.Pos
	return true
}

// ahead looks at what was not read yet for what costs the whole message.
func (c *cursor) ahead() decode.Fault {
	ahead := *c
	for ahead.next() && ahead.Skip(0) { //nolint:revive // it goes ahead
	}
	ahead.End()
	return ahead.Broken
}

// name returns the name of the member that the reading is in, if it is a text at all.
func (c *cursor) name() []byte {
	s := decode.Scanner{Text: c.Text[c.key.from:c.key.to]}
	if name, ok := s.Quoted(); ok && s.Flaw.Reason == "" {
		return name[:min(len(name), iot.MaxKeyBytes+1)]
	}
	return nil
}

// maxQuotedKey is how long what names a device may be in JSON, with the colon and space behind it.
const maxQuotedKey = 6*iot.MaxKeyBytes + 32

// part returns the reading that was read last as a message of its own, which the rule reads as it did this one.
func (c *cursor) part() []byte {
	in, reading := c.open[c.depth-1], c.Text[c.Start:c.Pos]
	path := c.rule.quoted[:min(int(in.level), len(c.rule.quoted))]
	open, close := "", ""
	if c.rule.hasEach && !c.astray {
		if c.key.to == 0 { // in an array, and perhaps in one of those that are its elements
			open, close = "[", "]"
		}
		if in.batch {
			open, close = open+"[", "]"+close
		}
	}
	quotedKey := c.Text[c.key.from:c.key.to]
	if len(quotedKey) > maxQuotedKey {
		quotedKey = []byte(`"":`) // what is longer names no device
	}
	var b []byte
	for _, name := range path {
		b = append(append(b, '{'), name...)
	}
	if len(quotedKey) > 0 {
		b = append(append(b, '{'), quotedKey...)
	}
	b = append(append(append(b, open...), reading...), close...)
	if len(quotedKey) > 0 {
		b = append(b, '}')
	}
	for range path {
		b = append(b, '}')
	}
	return b
}
