package mapping

import (
	"math"
	"slices"
	"strings"
	"time"

	"github.com/telltale-iot/telltale/pkg/internal/decode"
	"github.com/telltale-iot/telltale/pkg/iot"
)

// rule is a rule as it is compiled.
type rule struct {
	owner        iot.DeviceID // whose it is, where a config made it; 0: anybody's
	name         string
	file         *file
	line         int
	parts        []string // the names in its topics
	patterns     []*pattern
	newForm      func(*Set, *rule) form // of a rule that says so; nil: the rest of this says how messages are read
	formNames    bool                   // of a form whose members are called what the rule makes of their names
	namesDevices bool                   // of a form whose messages may be of other devices than the topic says
	form         form                   // of a set
	belongs      bool                   // the topic alone says which device a message is of
	ignore       bool                   // what the rule is for is no reading
	live         bool                   // a broker's retained message is one of now

	when       conditions
	needles    [][]byte // what stands in every message that the rule is for
	known      int      // how many conditions there are
	each       []string // the path to an object or array whose parts each are a reading
	hasEach    bool     // whether there is one
	level      int8     // of readings in the message: 0, or behind the path and what it leads to
	quoted     [][]byte // each, as it stands in a message, with colons
	device     template
	deviceMax  int // how many members name the device
	clock      clock
	scalar     template // what the whole message is called; nil: it is JSON
	root       *node
	whole      bool     // an array is no batch
	prefix     template // of the names of what is flattened
	separator  string
	drop       globs
	numbers    bool // in strings
	words      map[string]float64
	renamings  []renaming
	scalings   []scalings
	attributes globs           // which texts are kept; nil: all
	constants  []iot.Attribute // of every reading that has none of the name
}

// node is what a rule says of a value in a message: a tree of the paths in the rule.
type node struct {
	name     string // of the member, or the index in an array
	children []*node

	conditions []condition
	device     int // which of the members that name the device it is, from 1
	time       int // which of those that may be the time, from 1
	names      []template
	flatten    bool // what is in it are values
	pairs      *pairs
}

// child returns what n says of a member of its value.
func (n *node) child(name []byte) *node {
	if n == nil {
		return nil
	}
	for _, c := range n.children {
		if c.name == string(name) {
			return c
		}
	}
	return nil
}

// at returns the node of a path from n, which is made where there is none.
func (n *node) at(path []string) *node {
	for _, name := range path {
		next := n.child([]byte(name))
		if next == nil {
			next = &node{name: name}
			n.children = append(n.children, next)
		}
		n = next
	}
	return n
}

// conditions are a set of a rule's conditions, by number.
type conditions uint64

const maxConditions = 64

// condition holds where a member is there and one of the patterns stands for its text.
type condition struct {
	bit  conditions
	want globs
}

// clock is how a rule reads times.
type clock struct {
	zone     *time.Location
	unit     decode.Unit
	hasUnit  bool // otherwise the size of a number tells
	relative int  // 1: counted from the receipt; -1: before it; 0: from 1970
}

// pairs is an array of objects in which one member is a name and another its value.
type pairs struct {
	name   string
	values []string // the first that is there
}

// template is a text with parts of a topic, or of a message, in it.
type template []segment

type segment struct {
	kind  segmentKind
	text  string
	index int // of the part
}

type segmentKind uint8

const (
	segmentText   segmentKind = iota
	segmentTopic              // a part of the topic
	segmentMember             // a member that names the device
	segmentKey                // the name of the member that a reading is the value of
)

// renaming gives what a pattern stands for another name.
type renaming struct {
	from glob
	to   []string // with what the first * of from stands for between them
}

// scalings are what a metric's value is changed by: the first whose conditions hold.
type scalings struct {
	name    glob
	options []scaling
}

type scaling struct {
	when           conditions
	factor, offset ratio
}

// ratio is a number as people write it, 0.001 or 5/9, without what a float makes of it.
type ratio struct{ numerator, denominator float64 }

// apply returns the scaled value.
func (s *scaling) apply(value float64) float64 {
	value = value * s.factor.numerator / s.factor.denominator
	if s.offset.numerator == 0 {
		return value
	}
	value += s.offset.numerator / s.offset.denominator
	if math.Abs(value) < 1e6 { // 70.7 °F are 21.5 °C, and not 21.499999999999996
		const digits = 1e9
		value = math.Round(value*digits) / digits
	}
	return value
}

// target is what becomes of the members of a name.
type target struct {
	raw string // the name as it stands in the message

	name   string
	drop   bool
	wrong  bool // nothing can be called so
	text   bool // it is an attribute, if it is a text
	scales []scaling
}

// resolve returns what becomes of the members called raw.
func (r *rule) resolve(raw string) *target {
	t := &target{raw: raw, name: raw, drop: r.drop.match(raw)}
	for _, renaming := range r.renamings {
		if star, ok := renaming.from.match(raw); ok {
			t.name = strings.Join(renaming.to, star)
			break
		}
	}
	t.wrong = iot.ValidateName(t.name) != nil
	t.text = r.attributes.match(t.name)
	if i := slices.IndexFunc(r.scalings, func(s scalings) bool { return s.name.takes(t.name) || s.name.takes(raw) }); i >= 0 {
		t.scales = r.scalings[i].options
	}
	return t
}
