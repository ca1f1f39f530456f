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
	count   int    // of the readings found
	key     []byte // the name of the member that a reading is in, with each
}

// bracket is an object or array in which there are readings.
type bracket struct {
	close byte
	begun bool
	level int8 // how many steps of the path its parts are behind
	last  bool // an array that has to have readings as its elements, and not arrays of them
}

// next goes to the next reading. It returns false at the end of the message, or of what can be read of it.
func (c *cursor) next() bool {
	if !c.started {
		c.started = true
		if c.Space(); c.enter(0, false) {
			return c.found()
		}
	}
	for c.depth > 0 {
		b := &c.open[c.depth-1]
		if !c.Next(!b.begun, b.close) {
			if c.Broken.Reason != "" {
				return false
			}
			c.depth--
			continue
		}
		b.begun = true
		if b.close == '}' {
			name, ok := c.Key()
			if !ok {
				return false
			}
			if int(b.level) <= len(c.rule.each) && string(name) != c.rule.each[b.level-1] {
				if !c.Skip(c.depth) {
					return false
				}
				continue
			}
			c.key = append(c.key[:0], name...)
		}
		if c.enter(b.level, b.last) {
			return c.found()
		}
	}
	return false
}

// enter goes into the value that is next, which level steps of the path have led to. It returns true where that is a
// reading, or should be one.
func (c *cursor) enter(level int8, last bool) bool {
	b := bracket{level: level}
	ours := int8(0) // the level of readings
	if c.rule.fans {
		ours = int8(len(c.rule.each)) + 1
	}
	switch what := c.Peek(); {
	case level == ours && (what != '[' || last || c.rule.whole):
		return true
	case what == '[' && level == ours: // a batch
		b.close, b.last = ']', true
	case what == '[' && level == 0 && !last && ours > 1: // a batch, in each of whose elements there are readings
		b.close, b.last = ']', true
	case what == '[' && level == ours-1:
		b.close, b.level, c.key = ']', ours, c.key[:0]
	case what == '{':
		b.close, b.level = '}', level+1
	default:
		return true
	}
	c.Pos++
	c.open[c.depth] = b
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
	ahead.key = nil
	for ahead.next() && ahead.Skip(0) { //nolint:revive // it goes ahead
	}
	ahead.End()
	return ahead.Broken
}
