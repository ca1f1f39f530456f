package mapping

import (
	"bytes"
	"fmt"
	"strconv"
	"sync"

	"github.com/telltale-iot/telltale/pkg/internal/decode"
	"github.com/telltale-iot/telltale/pkg/iot"
)

// reader reads one JSON message by a rule, in one pass: as it goes it knows what the rule says of where it is, and what
// a value there is called.
type reader struct {
	cursor
	candidate
	message  Message
	topic    [maxParts]string
	appended int  // names and texts of the step's readings
	checked  bool // that nothing to come costs the whole message
	names    names
	texts    texts
	identity identity

	// of the current reading
	device [][]byte // what members say of it
	timed  int      // the rank of the member that the time is from; 0: none

	path []byte // what the value that is read is called
	base int    // where that begins: what is in front of it is in use further out
}

// maxAppended is how many bytes of names and texts a step appends, with one reading more: names are repeated for what is
// nested.
const maxAppended = 4 * decode.StepBytes

// readers keeps the memory of readers that are done.
var readers = sync.Pool{New: func() any {
	r := &reader{names: make(names), texts: make(texts)}
	r.draft.Members = make([]decode.Member, 0, decode.MaxMembers)
	return r
}}

// startReader begins to read m.
func startReader(route Route, m Message) steps {
	r := readers.Get().(*reader)
	r.rule, r.message = route.pattern.rule, m
	r.Text, r.Pos, r.Start = decode.Trim(m.Payload), 0, 0
	r.depth, r.started, r.count, r.key, r.checked = 0, false, 0, span{}, false
	route.pattern.split(route.topic, &r.topic)
	r.draft.Received, r.draft.Retained, r.draft.May = m.Received.UnixMilli(), m.Retained, m.May
	return r
}

// free gives r back, without what it knows of its message.
func (r *reader) free() {
	r.reset()
	r.message, r.Text, r.draft.May, r.Broken, r.rule, r.out = Message{}, nil, nil, decode.Fault{}, nil, nil
	clear(r.topic[:])
	readers.Put(r)
}

// reset makes r ready for the next reading.
func (r *reader) reset() {
	r.candidate.reset()
	for i := range r.device {
		r.device[i] = r.device[i][:0]
	}
	r.path, r.timed, r.base, r.Flaw = r.path[:0], 0, 0, decode.Fault{}
}

// step implements steps. After the last one r is free.
func (r *reader) step(out *Result) outcome {
	readings, rejected, omitted := len(out.Readings), len(out.Rejected), len(out.Omitted)
	r.out = out
	what := r.readings()
	switch {
	case what == more && !r.checked:
		r.Broken, r.checked = r.ahead(), true
	case what == done && r.Broken.Reason == "":
		r.End()
	}
	if r.Broken.Reason != "" || what == unwanted {
		clear(out.Readings[readings:])
		out.Readings, out.Rejected, out.Omitted = out.Readings[:readings], out.Rejected[:rejected], out.Omitted[:omitted]
	}
	if r.Broken.Reason != "" {
		r.reset()
		r.key = span{}
		id, _, _ := r.identify() // 0 where the topic alone does not name it
		out.Rejected = append(out.Rejected, r.Broken.Rejection(id, r.message.Payload))
		what = done
	}
	if what != more {
		r.free()
	}
	return what
}

// readings reads a step's share of the message.
func (r *reader) readings() outcome {
	switch {
	case r.rule.scalar != nil:
		r.count++
		r.reset()
		r.conclude(r.scalarMessage())
		r.Pos = len(r.Text)
		return done
	case r.rule.ignore && r.rule.when == 0:
		r.Pos = len(r.Text)
		return done
	case r.rule.when != 0 && !r.started && !r.mayBeWanted():
		return unwanted
	}
	begin := r.Pos
	r.appended = 0
	for n := 0; n < decode.StepElements && r.Pos-begin < decode.StepBytes && r.appended < maxAppended; n++ {
		if !r.next() {
			if r.count == 0 && r.Broken.Reason == "" {
				if r.rule.when != 0 {
					return unwanted
				}
				f := decode.Fault{Reason: iot.ReasonNoMetrics, Detail: "there are no readings in it"}
				r.out.Rejected = append(r.out.Rejected, f.Rejection(0, r.message.Payload))
			}
			return done
		}
		f := r.reading()
		switch {
		case r.Broken.Reason != "":
			return done
		case r.met&r.rule.when != r.rule.when:
			if r.count == 1 {
				return unwanted
			}
			f = decode.Fault{Reason: iot.ReasonNoRule, Detail: "the rule's conditions do not hold, as they did for what is in front of it"}
		case r.rule.ignore:
			continue
		}
		r.conclude(f)
	}
	return more
}

// mayBeWanted reports whether the conditions of the rule may hold for the message, at a look that costs next to nothing.
func (r *reader) mayBeWanted() bool {
	if r.Space(); r.Peek() != '{' && r.Peek() != '[' {
		return false // it has no members
	}
	if bytes.IndexByte(r.Text, '\\') >= 0 {
		return true // anything can be written in another way
	}
	for _, needle := range r.rule.needles {
		if !bytes.Contains(r.Text, needle) {
			return false
		}
	}
	return true
}

// reading reads one reading, and returns what is wrong with it.
func (r *reader) reading() decode.Fault {
	r.reset()
	if r.astray || r.Peek() != '{' && !r.rule.whole {
		at := r.Pos
		if r.pass() {
			r.Reject(at, iot.ReasonNotAnObject, "a reading must be an object")
		}
		return r.Flaw
	}
	r.value(r.rule.root, false, 1)
	return r.Flaw
}

// conclude appends what was read as a reading, or f as what is wrong with it.
func (r *reader) conclude(f decode.Fault) {
	id, key, wrong := r.identify()
	if f.Reason == "" {
		f = wrong
	}
	if f.Reason == "" {
		r.draft.Device, r.draft.DeviceKey = id, key
		r.addConstants(r.rule.constants)
		if f = r.finish(); f.Reason == "" {
			r.appended += r.size
			return
		}
	}
	rejection := f.Rejection(id, r.message.Payload)
	if r.depth > 0 {
		rejection.Bytes, rejection.Index = r.part(), r.count-1
	}
	r.out.Rejected = append(r.out.Rejected, rejection)
}

// value reads the value that is next, within depth objects and arrays. n is what the rule says of it, and among whether
// it is one of the values, which r.path then names.
func (r *reader) value(n *node, among bool, depth int) bool {
	what := r.Peek()
	switch isScalar := what != '{' && what != '['; {
	case n == nil && !among:
		return r.pass()
	case isScalar:
		return r.scalar(n, among)
	case n == nil && r.target().drop:
		return r.pass()
	}
	if n != nil {
		r.check(n, "")
		if n.pairs != nil && what == '[' {
			return r.pairs(n.pairs, depth)
		}
	}
	if depth > decode.MaxDepth {
		r.omit(r.path[r.base:], "it is too deep", nil)
		return r.pass()
	}
	if n != nil && n.flatten {
		mark, base := len(r.path), r.base
		r.base, among = mark, true
		r.addTemplate(r.rule.prefix)
		defer func() { r.path, r.base = r.path[:mark], base }()
	}
	if what == '{' {
		return r.object(n, among, depth)
	}
	return r.array(n, among, depth)
}

// object reads the members of an object.
func (r *reader) object(n *node, among bool, depth int) bool {
	mark := len(r.path)
	r.Pos++
	for first := true; r.Next(first, '}'); first = false {
		before := r.Flaw
		name, ok := r.Key()
		switch {
		case !ok:
			return false
		case r.Flaw != before:
			r.omit(name, r.Flaw.Detail, nil)
			r.Flaw = before
			ok = r.pass()
		default:
			next := n.child(name)
			if among {
				r.extend(name)
			}
			ok = r.value(next, among, depth+1)
			r.path = r.path[:mark]
		}
		if !ok {
			return false
		}
	}
	return r.Broken.Reason == ""
}

// array reads the elements of an array, which are called by their places.
func (r *reader) array(n *node, among bool, depth int) bool {
	mark := len(r.path)
	r.Pos++
	for i := 0; r.Next(i == 0, ']'); i++ {
		var room [8]byte
		index := strconv.AppendInt(room[:0], int64(i), 10)
		if among {
			r.extend(index)
		}
		if !r.value(n.child(index), among, depth+1) {
			return false
		}
		r.path = r.path[:mark]
	}
	return r.Broken.Reason == ""
}

// pass passes over a value that the rule says nothing of. Whatever is wrong with it costs nothing.
func (r *reader) pass() bool {
	before := r.Flaw
	ok := r.Skip(0)
	r.Flaw = before
	return ok
}

// extend makes the path longer by a name.
func (r *reader) extend(name []byte) {
	if len(r.path) > r.base {
		r.path = append(r.path, r.rule.separator...)
	}
	room := max(0, r.base+iot.MaxNameBytes+1-len(r.path)) // what is longer is no name
	r.path = append(r.path, name[:min(len(name), room)]...)
}

// target returns what becomes of what the path names.
func (r *reader) target() *target { return r.names.target(r.rule, r.path[r.base:]) }

// check notes the conditions at n that hold for a text; "" is that of an object or array.
func (r *reader) check(n *node, text string) {
	for i := range n.conditions {
		if c := &n.conditions[i]; c.want.match(text) {
			r.met |= c.bit
		}
	}
}

// pairs reads an array of objects that have a name and a value, and stand within depth others.
func (r *reader) pairs(p *pairs, depth int) bool {
	base := r.base
	r.base = len(r.path)
	defer func() { r.base = base }()
	r.Pos++
	for first := true; r.Next(first, ']'); first = false {
		var ok bool
		if r.Peek() == '{' {
			ok = r.pair(p, depth+1)
		} else {
			ok = r.pass()
		}
		if !ok {
			return false
		}
	}
	return r.Broken.Reason == ""
}

// pair reads an object with a name and a value, in whichever order.
func (r *reader) pair(p *pairs, depth int) bool {
	mark, before, value, rank, named := len(r.path), r.Flaw, 0, len(p.values), false
	defer func() { r.path = r.path[:mark] }()
	r.Pos++
	for first := true; r.Next(first, '}'); first = false {
		key, ok := r.Key()
		if !ok {
			return false
		}
		r.Flaw = before
		switch {
		case string(key) == p.name && r.Peek() == '"' && !named:
			var name []byte
			if name, ok = r.Quoted(); ok && r.Flaw == before {
				r.extend(name)
				named = true
			}
		default:
			if i := indexOf(p.values[:rank], key); i >= 0 && r.Peek() != 'n' {
				rank, value = i, r.Pos
			}
			ok = r.pass()
		}
		if !ok {
			return false
		}
	}
	r.Flaw = before
	if r.Broken.Reason != "" || value == 0 {
		return r.Broken.Reason == ""
	}
	if !named {
		r.omit([]byte(p.values[rank]), fmt.Sprintf("there is no %.32s beside it", p.name), nil)
		return true
	}
	end := r.Pos
	r.Pos = value
	ok := r.value(nil, true, depth+1)
	r.Pos = end
	return ok
}

// indexOf returns the index of name in list, and -1 where it is not there.
func indexOf(list []string, name []byte) int {
	for i, s := range list {
		if s == string(name) {
			return i
		}
	}
	return -1
}
