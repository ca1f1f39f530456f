package mapping

import (
	"embed"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// Presets are the names of the files of rules that are part of the program, in the order in which all are loaded.
var Presets = []string{
	"telltale", "thingsboard", "tasmota", "zigbee2mqtt", "shelly", "ttn", "chirpstack", "esphome", "openmqttgateway",
	"senml", "sparkplug", "homeassistant-discovery",
}

//go:embed presets/*.yaml
var presetFiles embed.FS

// maxFileBytes bounds a file of rules.
const maxFileBytes = 1 << 20

// Set is rules in their order. It is safe for concurrent use.
type Set struct {
	zone     *time.Location // of times that say none
	topics   topics
	patterns []*pattern
	selected *selection // nil: all topics that there are rules for
	memory   *memory
}

// Load returns the rules of presets, and of files, whose names end with .yaml or .yml, in this order; no names mean
// all presets. zone is of times that say none, and whose rule says none. An error is one line: file, line, member,
// and what is wrong.
func Load(names []string, zone *time.Location) (*Set, error) {
	if len(names) == 0 {
		names = Presets
	}
	s := &Set{zone: zone, memory: new(memory)}
	for _, name := range names {
		f := &file{name: name}
		text, err := f.read()
		if err == nil {
			err = s.addFile(f, text)
		}
		if err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Parse returns the rules in a text, which errors call by a name.
func Parse(name string, text []byte, zone *time.Location) (*Set, error) {
	s := &Set{zone: zone, memory: new(memory)}
	if err := s.addFile(&file{name: name}, text); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Set) addFile(f *file, text []byte) error {
	rules, err := f.rules(text, s.zone)
	if err != nil {
		return err
	}
	for _, r := range rules {
		if err := s.add(r); err != nil {
			return err
		}
	}
	return nil
}

// read returns the text of f.
func (f *file) read() ([]byte, error) {
	if ext := filepath.Ext(f.name); ext == ".yaml" || ext == ".yml" {
		info, err := os.Stat(f.name)
		if err != nil {
			return nil, err
		}
		if info.Size() > maxFileBytes {
			return nil, fmt.Errorf("%s: %d bytes, over %d", f.name, info.Size(), maxFileBytes)
		}
		return os.ReadFile(f.name)
	}
	if !slices.Contains(Presets, f.name) {
		return nil, fmt.Errorf("no preset %q, only %s; files end with .yaml", f.name, strings.Join(Presets, ", "))
	}
	f.preset = true
	return presetFiles.ReadFile("presets/" + f.name + ".yaml")
}

// add adds r behind the rules that are there. One of a user's that can never be reached is a mistake; a preset may be
// replaced by rules in front of it.
func (s *Set) add(r *rule) error {
	if r.newForm != nil {
		r.form = r.newForm(s, r)
	}
	for _, p := range r.patterns {
		for _, earlier := range s.patterns {
			if e := earlier.rule; e != r && e.when == 0 && earlier.covers(p) && (!r.file.preset || e.file == r.file) {
				return fmt.Errorf("%s:%d: topic: %s never gets to rule %q, because rule %q (%s:%d) takes it", r.file.name, r.line, p.filter(), r.name, e.name, e.file.name, e.line)
			}
		}
	}
	for _, p := range r.patterns {
		p.order = len(s.patterns)
		s.patterns = append(s.patterns, p)
		s.topics.add(p, 0)
	}
	return nil
}

// Filters returns MQTT filters that select the topics which s reads: those it was told to select or, without any, as few
// as say what its rules are for, and none that another one contains.
func (s *Set) Filters() []string {
	if s.selected != nil {
		return s.selected.filters
	}
	return filters(s.patterns)
}

// Zone returns the zone of times that say none.
func (s *Set) Zone() *time.Location { return s.zone }

// Match returns the way that messages on a topic take, and whether there is one.
func (s *Set) Match(topic string) (Route, bool) {
	if s.selected != nil && s.selected.find(topic, -1) == nil {
		return Route{}, false
	}
	p := s.topics.find(topic, true, 0, -1)
	if p == nil {
		p = s.memory.discovered.pattern(topic)
	}
	if p == nil && s.selected != nil {
		return s.selected.route(s, topic), true
	}
	return Route{set: s, pattern: p, topic: topic}, p != nil
}

// Route is a topic with the first rule for it.
type Route struct {
	set     *Set
	pattern *pattern
	topic   string
}

// Rule returns the name of the rule.
func (r Route) Rule() string { return r.pattern.rule.name }

// Device returns what the topic, by itself, calls the device; "" where the message has a say in it.
func (r Route) Device() string {
	t := r.pattern.rule.device
	var parts [maxParts]string
	r.pattern.split(r.topic, &parts)
	if len(t) == 1 && t[0].kind == segmentTopic {
		return parts[t[0].index]
	}
	if _, message := t.sources(); message {
		return ""
	}
	return r.known()
}

// of returns the way that messages take of who speaks for some devices: where several devices say that a topic is theirs, the
// one of his.
func (r Route) of(speaks func(iot.DeviceID) bool) Route {
	if speaks == nil || len(r.pattern.others) == 0 || speaks(r.pattern.rule.owner) {
		return r
	}
	for _, p := range r.pattern.others {
		if speaks(p.rule.owner) {
			r.pattern = p
			break
		}
	}
	return r
}

// next returns the way by the rule behind, if there is one.
func (r Route) next() (Route, bool) {
	r.pattern = r.set.topics.find(r.topic, true, 0, r.pattern.order)
	return r, r.pattern != nil
}
