package mapping_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/mapping"
)

func TestSelect(t *testing.T) {
	standard := []string{"sensors/data", "sensors/+/data"}
	for _, tt := range []struct {
		name    string
		filters []string
		topic   string
		rule    string // "" for a topic that is not read
		device  string
	}{
		{"the legacy topic names no device", standard, "sensors/data", "telltale", ""},
		{"a rule names the device", standard, "sensors/42/data", "telltale", "42"},
		{"an empty level names no device", standard, "sensors//data", "telltale", ""},
		{"a topic of rules that is not selected", standard, "tele/a/SENSOR", "", ""},
		{"a topic of the preset that is not selected", standard, "sensors/42/status", "", ""},
		{"a rule reads what is selected", []string{"tele/#"}, "tele/a/SENSOR", "tasmota-zigbee", ""},
		{"the first + is the device, where no rule is for the topic", []string{"plant/+/+"}, "plant/7/8", "filter", "7"},
		{"a longer topic", []string{"plant/+/data"}, "plant/42/data/more", "", ""},
		{"a shorter topic", []string{"plant/+/data"}, "plant", "", ""},
		{"a prefix of a level", []string{"plant/data"}, "plant/dat", "", ""},
		{"case counts", []string{"plant/data"}, "Plant/data", "", ""},
		{"an empty topic", standard, "", "", ""},
		{"# is any number of levels", []string{"plant/+/#"}, "plant/7/a/b", "filter", "7"},
		{"# is no level too", []string{"plant/#"}, "plant", "filter", ""},
		{"a filter that names the device goes first", []string{"plant/#", "plant/+/data"}, "plant/7/data", "filter", "7"},
		{"also where the first + of another is an empty level", []string{"+/+/x", "/+/x"}, "/9/x", "filter", "9"},
		{"wildcards leave the broker's own topics out", []string{"#", "+/broker"}, "$SYS/broker", "", ""},
		{"braces are text", []string{"plant/{device}/+"}, "plant/{device}/5", "filter", "5"},
		{"spaces around a filter are none of its own", []string{" a/b ", "c"}, "a/b", "filter", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			set, err := load(t).Select(tt.filters)
			if err != nil {
				t.Fatal(err)
			}
			route, ok := set.Match(tt.topic)
			if ok != (tt.rule != "") {
				t.Fatalf("Match says %v", ok)
			}
			if ok && (route.Rule() != tt.rule || route.Device() != tt.device) {
				t.Errorf("rule %q, device %q", route.Rule(), route.Device())
			}
			if n := testing.AllocsPerRun(100, func() { set.Match(tt.topic) }); n > 0 {
				t.Errorf("%v allocations", n)
			}
		})
	}
	t.Run("the filters are those that were selected", func(t *testing.T) {
		filters := []string{"a/+", "a/b", "#"}
		set, err := load(t).Select(filters)
		if err != nil || !slices.Equal(set.Filters(), filters) {
			t.Errorf("%q, %v", set.Filters(), err)
		}
	})
	t.Run("what no rule is for is read in Telltale's own form, in the zone of the set", func(t *testing.T) {
		set, err := load(t).Select([]string{"plant/+/x"})
		if err != nil {
			t.Fatal(err)
		}
		const local = `{"x": 1, "timestamp": "2026-11-27T01:30:00"}`
		result, _ := decode(set, "plant/kitchen/x", mapping.Message{Payload: []byte(local), Received: received})
		if len(result.Readings) != 1 || result.Readings[0].Key != "kitchen" || result.Readings[0].At.Hour() != 0 {
			t.Errorf("%+v", result)
		}
	})
	t.Run("the rules of a topic have it for themselves", func(t *testing.T) {
		set, err := loadText(t, "- {name: x, topic: 'plant/{device}', when: {kind: sensor}}").Select([]string{"plant/+"})
		if err != nil {
			t.Fatal(err)
		}
		result, _ := decode(set, "plant/7", mapping.Message{Payload: []byte(`{"x": 1}`), Received: received})
		if len(result.Readings) != 0 || len(result.Rejected) != 1 || result.Rejected[0].Reason != "no_rule" {
			t.Errorf("%+v", result)
		}
	})
}

func TestSelectRefuses(t *testing.T) {
	for name, list := range map[string][]string{
		"no filter":              nil,
		"an empty filter":        {"a", ""},
		"# before the last":      {"a/#/b"},
		"# as a part of a level": {"a/b#"},
		"+ as a part of a level": {"a/+b/c"},
		"a shared subscription":  {"$share/group/a"},
		"NUL":                    {"a\x00b"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := load(t).Select(list); err == nil {
				t.Errorf("Select(%q) is fine", list)
			}
		})
	}
}

// TestRouteDevice: what a topic calls the device is known without the message.
func TestRouteDevice(t *testing.T) {
	set := load(t)
	for topic, want := range map[string]string{
		"sensors/kitchen/temperature": "kitchen",
		"tele/home/boiler/SENSOR":     "", // perhaps one of a bridge
		"zigbee2mqtt/floor/lamp":      "floor/lamp",
		"sensors/data":                "",
	} {
		route, ok := set.Match(topic)
		if !ok || route.Device() != want {
			t.Errorf("%s: device %q, %v, want %q", topic, route.Device(), ok, want)
		}
	}
}

// TestRejectedDevice: what is rejected as a whole is of the device that the topic names.
func TestRejectedDevice(t *testing.T) {
	set := load(t)
	for _, text := range []string{`{"AHT2X":{"Temperature":2`, strings.Repeat(" ", 1_000_001), `1`} {
		result, _ := decode(set, "tele/boiler/SENSOR", mapping.Message{Payload: []byte(text), Received: received})
		if len(result.Rejected) != 1 {
			t.Fatalf("%.30q: %+v", text, result)
		}
		if r := result.Rejected[0]; r.Device != iot.KeyID("boiler") && r.Reason != iot.ReasonTooLarge {
			t.Errorf("%.30q: %s, device %v", text, r.Reason, r.Device)
		}
	}
}
