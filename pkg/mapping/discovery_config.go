package mapping

import (
	"encoding/json"
	"errors"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// entity is a value of a device as a config of Home Assistant's discovery describes it.
type entity struct {
	owner   iot.DeviceID // the id of device; 0 where it is none
	config  string       // the topic of the config
	device  string
	state   string   // the topic of its values
	path    []string // to the value in the message; nil: the message is it
	name    string
	unit    string
	on, off string // words for 1 and 0

	deviceName, location string // that the config says; "" where it does not
}

// components are those whose state is a value.
var components = map[string]bool{"sensor": true, "binary_sensor": true, "number": true, "switch": true}

// fields are the members of an object in a config. Most have a short name, too.
type configFields map[string]json.RawMessage

func (f configFields) get(long, short string) json.RawMessage {
	if raw, ok := f[long]; ok {
		return raw
	}
	return f[short]
}

// text returns a member that is a text; "" for none.
func (f configFields) text(long, short string) (s string) {
	_ = json.Unmarshal(f.get(long, short), &s)
	return s
}

// object returns a member that is an object; nil for none.
func (f configFields) object(long, short string) (o configFields) {
	_ = json.Unmarshal(f.get(long, short), &o)
	return o
}

// readConfig returns what a config describes. It calls omit for what there is no reading.
func readConfig(topic, component, object string, payload []byte, omit func(name, why, example string)) ([]entity, error) {
	var root configFields
	if err := json.Unmarshal(payload, &root); err != nil {
		return nil, err
	}
	described := root.object("device", "dev")
	device := deviceOf(described)
	base := root.text("~", "~")
	var all []entity
	add := func(component, object string, f configFields) {
		if !components[component] {
			return
		}
		state := f.text("state_topic", "stat_t")
		if state == "" {
			state = root.text("state_topic", "stat_t")
		}
		e := entity{
			config: topic, device: device, state: withBase(state, base), name: object,
			unit: f.text("unit_of_measurement", "unit_of_meas"), on: "ON", off: "OFF",
			deviceName: described.text("name", "name"), location: described.text("suggested_area", "sa"),
		}
		switch component {
		case "binary_sensor":
			e.on, e.off = orText(f.text("payload_on", "pl_on"), e.on), orText(f.text("payload_off", "pl_off"), e.off)
		case "switch":
			e.on = orText(f.text("state_on", "stat_on"), orText(f.text("payload_on", "pl_on"), e.on))
			e.off = orText(f.text("state_off", "stat_off"), orText(f.text("payload_off", "pl_off"), e.off))
		}
		var err error
		source := f.text("value_template", "val_tpl")
		if e.path, err = readTemplate(source); err != nil {
			omit(object, err.Error(), source)
			return
		}
		if len(e.path) > 0 {
			e.name = strings.Join(e.path, "_")
		}
		switch {
		case e.device == "":
			omit(object, "the config does not identify its device", "")
		case e.state == "" || len(e.state) > maxTopic || strings.ContainsAny(e.state, "+#\x00") || e.state[0] == '$':
			omit(object, "the config has no state topic", e.state)
		case iot.ValidateName(e.name) != nil:
			omit(object, "no metric can be called so", e.name)
		default:
			all = append(all, e)
		}
	}
	if component != "device" {
		add(component, object, root)
		return all, nil
	}
	parts := root.object("components", "cmps")
	for _, name := range slices.Sorted(maps.Keys(parts)) {
		var f configFields
		if json.Unmarshal(parts[name], &f) == nil {
			add(f.text("platform", "p"), name, f)
		}
	}
	return all, nil
}

func orText(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// withBase puts the base topic in the place of the ~ that a topic may begin or end with.
func withBase(topic, base string) string {
	if rest, ok := strings.CutPrefix(topic, "~"); ok {
		return base + rest
	}
	if rest, ok := strings.CutSuffix(topic, "~"); ok {
		return rest + base
	}
	return topic
}

// deviceOf returns the first identifier of a device, or of its connections; "" where it has none that can be a key.
func deviceOf(f configFields) string {
	var many []string
	raw := f.get("identifiers", "ids")
	if json.Unmarshal(raw, &many) != nil {
		many = []string{f.text("identifiers", "ids")}
	}
	var connections [][]string
	if _ = json.Unmarshal(f.get("connections", "cns"), &connections); len(many) == 0 || many[0] == "" {
		for _, c := range connections {
			if len(c) == 2 {
				many = append(many[:0], c[1])
				break
			}
		}
	}
	if len(many) == 0 {
		return ""
	}
	if _, _, err := iot.ParseDevice(many[0]); err != nil {
		return ""
	}
	return many[0]
}

// Templates that are read: the message, or a member of it, through filters that only say what kind of number it is.
var (
	valueTemplate = regexp.MustCompile(`^\{\{-?\s*value(_json)?((?:\.[A-Za-z_]\w*|\[\s*(?:'[^'\\]*'|"[^"\\]*"|\d{1,4})\s*\])*)\s*(?:\|\s*(?:float|int|round)\s*(?:\(\s*\d*\s*\))?\s*)*-?\}\}$`)
	valueStep     = regexp.MustCompile(`\.([A-Za-z_]\w*)|\[\s*(?:'([^'\\]*)'|"([^"\\]*)"|(\d{1,4}))\s*\]`)
	errTemplate   = errors.New("its value_template computes, which is not read")
)

// readTemplate returns the path to the value that a template is for; none for the whole message.
func readTemplate(text string) (path []string, err error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return nil, nil
	}
	m := valueTemplate.FindStringSubmatch(text)
	if m == nil || (m[1] == "") != (m[2] == "") {
		return nil, errTemplate
	}
	for _, step := range valueStep.FindAllStringSubmatch(m[2], -1) {
		path = append(path, step[1]+step[2]+step[3]+step[4])
	}
	return path, nil
}
