package mapping_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/telltale-iot/telltale/pkg/mapping"
)

// A mistake is one line that says where it is and what is wrong.
func TestMistakesInRules(t *testing.T) {
	for _, tt := range []struct{ rules, want string }{
		{"", `:1: no rules`},
		{"name: x\n", `:1: want a list of rules, not an object`},
		{"- {name: x, topic: [a\n", `:1: did not find expected ',' or ']'`},
		{"- {name: x, topic: a/{device}}\n", `:1: did not find expected ',' or '}'`},
		{"- {name: x, topic: 'a/{device}'}\n---\n- {}\n", `:2: a second document`},
		{"- name: x\n  topic: a/{device}\n  colour: red\n", `:3: colour: unknown member`},
		{"- name: x\n  topic: a/{device}\n  values: {flaten: ''}\n", `:3: values.flaten: unknown member`},
		{"- name: x\n  topic: a/{device}\n  name: y\n", `:3: "name" stands twice`},
		{"- topic: a/{device}\n", `:1: name: is missing`},
		{"- name: x\n", `:1: topic: is missing`},
		{"- name: x\n  topic: a/+\n", `:1: device: is missing, and the topic has no {device}`},
		{"- name: x\n  topic: {a: b}\n", `:2: topic: want a text, not an object`},
		{"- name: x\n  topic: ['a/{device}', b/+/c+]\n", `:2: topic[1]: level "c+": +, # and {name} must be whole levels`},
		{"- name: x\n  topic: a/#/{device}\n", `:2: topic: # must be the last level`},
		{"- name: x\n  topic: a/{device...}/{y...}\n", `:2: topic: only one level may stand for several`},
		{"- name: x\n  topic: a/{device}/{device}\n", `:2: topic: level "{device}": the name stands twice`},
		{"- name: x\n  topic: a/{device}x\n", `:2: topic: level "{device}x": want {name}, {name:pattern*} or {name...}`},
		{"- name: x\n  topic: a/{device:b+c}\n", `:2: topic: level "{device:b+c}": +, # and { are no part of a pattern`},
		{"- name: x\n  topic: ''\n", `:2: topic: is no MQTT topic`},
		{"- name: x\n  topic: ['a/{device}', 'a/{y}/b']\n  device: '{device}'\n", `:1: topic: a/+/b has no {device}`},
		{"- name: x\n  topic: a/{device}\n  device: '{devcie}'\n", `:3: device: {devcie} is no part of the topic`},
		{"- name: x\n  topic: a/{device}\n  device: '{device'\n", `:3: device: a { without }`},
		{"- name: x\n  topic: a/{device}\n  device: '{.a..b}'\n", `:3: device: a path is names with dots between them, not "a..b"`},
		{"- name: x\n  topic: a/{device}\n  time: {at: t, zone: Europe/Berln}\n", `:3: time.zone: no time zone "Europe/Berln"`},
		{"- name: x\n  topic: a/{device}\n  time: {at: t, unit: min}\n", `:3: time.unit: want s, ms, us or ns, not "min"`},
		{"- name: x\n  topic: a/{device}\n  time: {at: t, relative: yes}\n", `:3: time.relative: want after or before, not "yes"`},
		{"- name: x\n  topic: a/{device}\n  time:\n", `:3: time: want a text, not nothing`},
		{"- name: x\n  topic: a/{device}\n  retained: maybe\n", `:3: retained: want live or old, not "maybe"`},
		{"- name: x\n  topic: a/{device}\n  form: cbor\n", `:3: form: no form "cbor"`},
		{"- name: x\n  topic: a/{device}\n  form: telltale\n  values: {flatten: ''}\n", `:1: a rule with form or ignore says no more of the message`},
		{"- name: x\n  topic: a/{device}\n  values: {drop: ['a*b*c*d*e*f']}\n", `:3: values.drop[0]: a pattern has at most 4 *`},
		{"- name: x\n  topic: a/{device}\n  values: {numbers_in_strings: 1}\n", `:3: values.numbers_in_strings: want true or false, not "1"`},
		{"- name: x\n  topic: a/{device}\n  values: {words: {ON: high}}\n", `:3: values.words.ON: want a number, or a fraction like 5/9, not "high"`},
		{"- name: x\n  topic: a/{device}\n  values: {pairs: {at: x}}\n", `:3: values.pairs: want name and value`},
		{"- name: x\n  topic: a/{device}\n  values: {scalar: x}\n  each: y\n", `:3: values.scalar: a message that is a value has no members: scalar stands alone`},
		{"- name: x\n  topic: a/{device}\n  rename: {a: '*'}\n", `:3: rename.a: "*" has a * that "a" has not`},
		{"- name: x\n  topic: a/{device}\n  rename: {a: ''}\n", `:3: rename.a: an empty name`},
		{"- name: x\n  topic: a/{device}\n  scale: {a: {factor: 1/0}}\n", `:3: scale.a.factor: want a number, or a fraction like 5/9, not "1/0"`},
		{"- name: x\n  topic: a/{device}\n  scale: {a: {factor: nan}}\n", `:3: scale.a.factor: want a number, or a fraction like 5/9, not "nan"`},
		{"- {name: x, topic: 'a/{device}'}\n- {name: y, topic: 'a/b', device: d}\n", `:2: topic: a/b never gets to rule "y", because rule "x" (own.yaml:1) takes it`},
	} {
		want := "own.yaml" + tt.want
		if _, err := mapping.Parse("own.yaml", []byte(tt.rules), time.UTC); err == nil || err.Error() != want {
			t.Errorf("%s\ngot  %v\nwant %s", tt.rules, err, want)
		}
	}
	if _, err := mapping.Load([]string{"tasmoto"}, time.UTC); err == nil || !strings.HasPrefix(err.Error(), `no preset "tasmoto", only `) {
		t.Errorf("got %v", err)
	}
	if _, err := mapping.Load([]string{"/nowhere/rules.yaml"}, time.UTC); err == nil {
		t.Error("a file that is not there was read")
	}
}

// What a user puts in front of a preset may take its topics; behind it, rules that never get any are a mistake.
func TestRulesInFrontOfAPreset(t *testing.T) {
	name := filepath.Join(t.TempDir(), "own.yaml")
	if err := os.WriteFile(name, []byte("- {name: own, topic: 'tele/{device}/SENSOR'}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	set := load(t, name, "tasmota")
	if route, ok := set.Match("tele/x/SENSOR"); !ok || route.Rule() != "own" {
		t.Errorf("the rule is %q", route.Rule())
	}
	if _, err := mapping.Load([]string{"tasmota", name}, time.UTC); err == nil {
		t.Error("a rule that never gets a message was taken")
	}
}

func TestFilters(t *testing.T) {
	set := loadText(t, `
- {name: a, topic: ['a/{device}', 'a/{x}/{device}', 'a/{device...}/end']}
- {name: b, topic: ['b/{device}', '$aws/things/{device}', '+/{device}/c', 'b/x', 'd/#'], device: d}
- {name: c, topic: ['{device:sh*}/{x}/e', 'b/{device}/f']}
`)
	want := []string{"a/#", "b/+", "$aws/things/+", "+/+/c", "d/#", "+/+/e", "b/+/f"}
	if diff := cmp.Diff(want, set.Filters()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What the bridge subscribes to with all presets, and a broker's ACL has to admit.
func TestFiltersOfPresets(t *testing.T) {
	want := []string{
		"sensors/data", "sensors/+/+",
		"v1/gateway/telemetry",
		"tele/+/SENSOR", "tele/+/+/SENSOR", "stat/+/STATUS8", "stat/+/STATUS10", "tele/+/STATE",
		"zigbee2mqtt/#",
		"+/events/rpc", "+/status/+", "shellies/+/sensor/+", "shellies/+/+/+/+", "shellies/+/relay/+", "shellies/+/light/+",
		"shellies/+/input/+", "shellies/+/ext_temperature/+", "shellies/+/ext_humidity/+", "shellies/+/ext_switch/+", "shellies/+/adc/+", "shellies/+/temperature",
		"v3/+/devices/+/up",
		"application/+/device/+/event/up", "application/+/device/+/event/status", "chirpstack/event/+",
		"+/sensor/+/state", "+/number/+/state", "+/binary_sensor/+/state", "+/switch/+/state",
		"home/+/BTtoMQTT/+", "home/+/RTL_433toMQTT/#", "senml/#",
		"spBv1.0/+/NBIRTH/+", "spBv1.0/+/NDATA/+", "spBv1.0/+/NDEATH/+",
		"spBv1.0/+/DBIRTH/+/+", "spBv1.0/+/DDATA/+/+", "spBv1.0/+/DDEATH/+/+",
		"homeassistant/+/+/config", "homeassistant/+/+/+/config",
	}
	if diff := cmp.Diff(want, load(t).Filters()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
