package mapping

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/telltale-iot/telltale/pkg/internal/decode"
	"github.com/telltale-iot/telltale/pkg/iot"
)

// Bounds of what is discovered. What is beyond them is left out, and told.
const (
	maxEntities      = 10_000
	maxEntityBytes   = 16 << 20 // of their texts
	maxStateEntities = 100      // of one device in one state topic
	maxStateDevices  = 16       // of which a state topic is, as they say
	// Of one device, so that none takes the room of all others.
	maxDeviceEntities    = 1000
	maxDeviceEntityBytes = 1 << 20
	maxConfigBytes       = 64 << 10
)

// discovered is what configs have described.
type discovered struct {
	states sync.Map    // the *pattern of a state topic
	any    atomic.Bool // whether there ever was one

	mu       sync.Mutex
	configs  map[string][]string // the state topics of a config
	entities map[string][]entity // by state topic
	all      described
	of       map[iot.DeviceID]described
	notify   func(topic string)
}

// described is how much is.
type described struct{ count, bytes int }

func (d described) plus(n, bytes int) described { return described{d.count + n, d.bytes + bytes} }

// pattern returns the pattern of a state topic; nil for none.
func (d *discovered) pattern(topic string) *pattern {
	if !d.any.Load() {
		return nil
	}
	p, _ := d.states.Load(topic)
	found, _ := p.(*pattern)
	return found
}

// OnState calls notify with each state topic that is discovered from now on, and that messages are to be had of. notify must
// not block.
func (s *Set) OnState(notify func(topic string)) {
	if s.selected != nil {
		return // what is read was said
	}
	s.memory.discovered.mu.Lock()
	defer s.memory.discovered.mu.Unlock()
	s.memory.discovered.notify = notify
}

// discoveryForm reads configs of Home Assistant's discovery.
type discoveryForm struct {
	set  *Set
	rule *rule
}

func (f discoveryForm) start(route Route, m Message) steps { return &discoverySteps{f, route, m} }

type discoverySteps struct {
	discoveryForm
	route Route
	m     Message
}

// step implements steps: a config is no reading.
func (s *discoverySteps) step(out *Result) outcome {
	var parts [maxParts]string
	s.route.pattern.split(s.route.topic, &parts)
	component, object := slices.Index(s.rule.parts, "component"), slices.Index(s.rule.parts, "object")
	reject := func(reason iot.Reason, detail string) outcome {
		out.Rejected = append(out.Rejected, decode.Fault{Reason: reason, Detail: detail}.Rejection(0, s.m.Payload))
		return done
	}
	var draft decode.Draft // it counts what is told
	omit := func(name, why, example string) {
		out.Omitted = draft.Omit(out.Omitted, []byte(name), why, []byte(example))
	}
	var entities []entity
	switch text := decode.Trim(s.m.Payload); {
	case component < 0 || object < 0:
		return reject(iot.ReasonNoRule, "the topic of the rule has no {component} and {object}")
	case len(text) > maxConfigBytes:
		return reject(iot.ReasonTooLarge, fmt.Sprintf("a config of %d bytes, over %d", len(text), maxConfigBytes))
	case len(text) > 0: // without a text the config is gone
		var err error
		if entities, err = readConfig(s.route.topic, parts[component], parts[object], text, omit); err != nil {
			return reject(iot.ReasonInvalidJSON, "a config that is no JSON object")
		}
	}
	for i := range entities {
		e := &entities[i]
		e.owner, _, _ = iot.ParseDevice(e.device) // 0 is nobody's, and of whom no reading can be
		if s.m.May != nil && !s.m.May(e.owner) {
			f := decode.Fault{Reason: iot.ReasonDeviceNotAllowed, Detail: fmt.Sprintf("its sender may not send for device %.64q", e.device)}
			out.Rejected = append(out.Rejected, f.Rejection(e.owner, s.m.Payload))
			return done
		}
	}
	if s.m.Ordered {
		s.set.memory.discovered.learn(s.discoveryForm, s.route.topic, entities, s.m.Speaks, omit)
	}
	return done
}

// learn notes what a config describes, in place of what it described before, of devices for which its sender speaks.
func (d *discovered) learn(f discoveryForm, config string, entities []entity, speaks func(iot.DeviceID) bool, omit func(name, why, example string)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.configs == nil {
		d.configs, d.entities, d.of = make(map[string][]string), make(map[string][]entity), make(map[iot.DeviceID]described)
	}
	changed := slices.Clone(d.configs[config])
	for _, state := range changed {
		d.entities[state] = slices.DeleteFunc(d.entities[state], func(e entity) bool {
			if e.config != config || speaks != nil && !speaks(e.owner) {
				return false
			}
			d.account(&e, -1)
			return true
		})
	}
	d.configs[config] = slices.DeleteFunc(d.configs[config], func(state string) bool {
		return !slices.ContainsFunc(d.entities[state], func(e entity) bool { return e.config == config }) // of other devices
	})
	for _, e := range entities {
		others := d.entities[e.state]
		own, devices := share(others, &e)
		of := d.of[e.owner]
		switch {
		case f.set.topics.find(e.state, true, 0, -1) != nil:
			continue // a rule reads it
		case d.all.count == maxEntities, d.all.bytes+e.size() > maxEntityBytes, own == maxStateEntities, own == 0 && devices == maxStateDevices,
			of.count == maxDeviceEntities, of.bytes+e.size() > maxDeviceEntityBytes:
			omit(e.name, "too much is discovered", e.state)
			continue
		}
		d.account(&e, 1)
		d.entities[e.state] = append(others, e)
		d.configs[config] = append(d.configs[config], e.state)
		changed = append(changed, e.state)
	}
	if len(d.configs[config]) == 0 {
		delete(d.configs, config)
	}
	slices.Sort(changed)
	for _, state := range slices.Compact(changed) {
		d.build(f.rule, state, omit)
	}
}

// share returns how many of a state topic's entities are of e's device, and of how many devices they are.
func share(entities []entity, e *entity) (own, devices int) {
	seen := map[string]bool{}
	for i := range entities {
		if entities[i].device == e.device {
			own++
		}
		seen[entities[i].device] = true
	}
	return own, len(seen)
}

// account counts n of e.
func (d *discovered) account(e *entity, n int) {
	d.all = d.all.plus(n, n*e.size())
	if d.of[e.owner] = d.of[e.owner].plus(n, n*e.size()); d.of[e.owner].count == 0 {
		delete(d.of, e.owner)
	}
}

// size is about what e takes.
func (e *entity) size() int {
	n := 512 + len(e.config) + len(e.device) + len(e.state) + len(e.name) + len(e.unit) + len(e.on) + len(e.off) + len(e.deviceName) + len(e.location)
	for _, step := range e.path {
		n += 16 + len(step)
	}
	return n
}

// toCelsius has the units of temperatures that are not those which every client knows.
var toCelsius = map[string]scaling{
	"°F": {factor: ratio{5, 9}, offset: ratio{-160, 9}},
	"K":  {factor: ratio{1, 1}, offset: ratio{-273.15, 1}},
}

// build makes the rules of a state topic, one for each device that says it is its own. What they are does not depend on the
// order in which configs came. The first counts, where senders may send for all devices.
func (d *discovered) build(base *rule, state string, omit func(name, why, example string)) {
	entities := d.entities[state]
	if len(entities) == 0 {
		delete(d.entities, state)
		d.states.Delete(state)
		return
	}
	slices.SortFunc(entities, func(a, b entity) int {
		return strings.Compare(a.device+"\x00"+a.config+"\x00"+a.name, b.device+"\x00"+b.config+"\x00"+b.name)
	})
	first := &pattern{rule: ruleOf(base, entities, omit), order: math.MaxInt}
	for i := 1; i < len(entities); i++ {
		if e := entities[i]; e.device != entities[i-1].device {
			omit(e.name, "another device has the same state topic", e.device)
			first.others = append(first.others, &pattern{rule: ruleOf(base, entities[i:], omit), order: math.MaxInt})
		}
	}
	d.any.Store(true)
	_, known := d.states.Swap(state, first)
	if !known && d.notify != nil {
		d.notify(state)
	}
}

// ruleOf makes the rule of a device's values in a state topic: those at the front, as far as they are of the first one's device.
func ruleOf(base *rule, entities []entity, omit func(name, why, example string)) *rule {
	if end := slices.IndexFunc(entities, func(e entity) bool { return e.device != entities[0].device }); end > 0 {
		entities = entities[:end]
	}
	r := &rule{
		owner: entities[0].owner,
		name:  "homeassistant-state", file: base.file, line: base.line, live: base.live, clock: base.clock, separator: base.separator,
		root: new(node), numbers: true, words: make(map[string]float64),
		renamings: base.renamings, attributes: base.attributes, scalings: slices.Clone(base.scalings),
		device: template{{kind: segmentText, text: entities[0].device}},
	}
	whole := !slices.ContainsFunc(entities, func(e entity) bool { return len(e.path) > 0 })
	for _, e := range entities {
		switch {
		case len(e.path) == 0 && (!whole || r.scalar != nil):
			omit(e.name, "another value of the device is in the same message", e.state)
			continue
		case whole:
			r.scalar = template{{kind: segmentText, text: e.name}}
		default:
			if n := r.root.at(e.path); len(n.names) == 0 {
				n.names = []template{{{kind: segmentText, text: e.name}}}
			}
		}
		r.words[e.on], r.words[e.off] = 1, 0
		name, unit := base.resolve(e.name).name, e.unit
		if celsius, ok := toCelsius[unit]; ok && name == iot.Temperature {
			r.scalings = append([]scalings{{name: glob{e.name}, options: []scaling{celsius}}}, r.scalings...)
			unit = "°C"
		}
		r.addConstant(name+"_unit", unit)
		r.addConstant(iot.DeviceNameAttribute, e.deviceName)
		r.addConstant(iot.DeviceLocationAttribute, e.location)
	}
	return r
}

// addConstant gives all readings of the rule an attribute, unless they have it, or it cannot be one.
func (r *rule) addConstant(name, value string) {
	known := slices.ContainsFunc(r.constants, func(a iot.Attribute) bool { return a.Name == name })
	if value == "" || known || iot.ValidateName(name) != nil || iot.ValidateName(value) != nil {
		return
	}
	r.constants = append(r.constants, iot.Attribute{Name: name, Value: value})
}
