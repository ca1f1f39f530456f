package mapping_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/telltale-iot/telltale/pkg/mapping"
)

// discoveryStep is a message, and what writeDecoded says of it.
type discoveryStep struct{ topic, payload, want string }

func (s discoveryStep) run(set *mapping.Set) string {
	topic, flags, _ := strings.Cut(s.topic, " ")
	var b bytes.Buffer
	writeDecoded(&b, set, topic, mapping.Message{
		Payload: []byte(s.payload), Received: received, Ordered: flags != "alone", Retained: flags == "retained",
	})
	return strings.ReplaceAll(strings.TrimSpace(b.String()), "\n\t", "; ")
}

func TestDiscovery(t *testing.T) {
	const at = " at 2026-11-27T02:00:00.000Z by server: "
	for _, tt := range []struct {
		name  string
		steps []discoveryStep
	}{
		{"values of a message", []discoveryStep{
			{"my/attic", `{"t":1}`, "no rule for the topic"},
			{"homeassistant/sensor/attic/t/config retained", `{"device":{"identifiers":"attic-7"},"state_topic":"my/attic","value_template":"{{ value_json.t }}"}`, "no reading"},
			{"homeassistant/sensor/attic/p/config", `{"dev":{"ids":["attic-7","x"]},"~":"my/attic","stat_t":"~","val_tpl":"{{value_json['BMP 280'][\"p\"]|float(0)|round( 1 )}}"}`, "no reading"},
			{"homeassistant/binary_sensor/attic/door/config", `{"dev":{"ids":["attic-7"]},"~":"my","stat_t":"~/attic","pl_on":"open","pl_off":"shut","val_tpl":"{{- value_json.doors[1] | int -}}"}`, "no reading"},
			{"my/attic", `{"t":"21.5","BMP 280":{"p":1013},"doors":["shut","open"],"other":5}`, "attic-7" + at + `"BMP 280_p"=1013 doors_1=1 t=21.5`},
			{"my/attic", `{"t":null,"BMP 280":{}}`, "no_metrics: none of its values is a number"},
			{"my/attic", `hello`, `invalid_json: byte 0: "h" where a value is expected`},
			{"my/attic retained", `{"t":21.5}`, "retained_without_timestamp: a retained message with no timestamp that can be used"},
			{"homeassistant/sensor/attic/t/config", ``, "no reading"},
			{"my/attic", `{"t":21.5,"doors":[0,"shut"]}`, "attic-7" + at + "doors_1=0"},
		}},
		{"a message that is a value", []discoveryStep{
			{"homeassistant/sensor/temp/config", `{"dev":{"cns":[["mac","02:5b:26:a8:dc:12"]]},"unit_of_meas":"°F","stat_t":"my/temp"}`, "no reading"},
			{"homeassistant/switch/pump/relay/config", `{"dev":{"ids":"pump"},"stat_t":"my/pump","val_tpl":"{{ value }}","pl_on":"1on","stat_off":"0off"}`, "no reading"},
			{"my/temp", "70.7", "02:5b:26:a8:dc:12" + at + `temperature=21.5 temperature_unit="°C"`},
			{"my/pump", "1on", "pump" + at + "relay=1"},
			{"my/pump", "0off", "pump" + at + "relay=0"},
			{"my/pump", "unavailable", "no_metrics: none of its values is a number"},
		}},
		{"what a config says of the device, and of what its values are measured in", []discoveryStep{
			{"homeassistant/sensor/a/t/config", `{"dev":{"ids":"a","name":"Attic","sa":"Upstairs"},"unit_of_meas":"K","stat_t":"my/a","val_tpl":"{{ value_json.temp }}"}`, "no reading"},
			{"homeassistant/sensor/a/p/config", `{"device":{"identifiers":"a","name":"Attic, again","suggested_area":"` + strings.Repeat("x", 256) + `"},"unit_of_measurement":"hPa","stat_t":"my/a","val_tpl":"{{ value_json.p }}"}`, "no reading"},
			{"my/a", `{"temp":295.15,"p":1013}`, "a" + at + `p=1013 temperature=22 device_location="Upstairs" device_name="Attic, again" p_unit="hPa" temperature_unit="°C"`},
			{"homeassistant/sensor/b/config", `{"dev":{"ids":"b","name":"B"},"stat_t":"my/b","val_tpl":"{{ value_json.device_name }}"}`, "no reading"},
			{"my/b", `{"device_name":5}`, "b" + at + "device_name=5"},
		}},
		{"a device with all that it has", []discoveryStep{
			{"homeassistant/device/x/config", `{"dev":{"ids":"x"},"stat_t":"my/x","cmps":{"a":{"p":"sensor","val_tpl":"{{ value_json.a }}"},"b":{"p":"sensor","stat_t":"my/x/b"},"l":{"p":"light"}}}`, "no reading"},
			{"my/x", `{"a":1}`, "x" + at + "a=1"},
			{"my/x/b", "2", "x" + at + "b=2"},
			{"homeassistant/device/x/config", `{"dev":{"ids":"x"},"stat_t":"my/x","cmps":{"b":{"p":"sensor","stat_t":"my/x/b"}}}`, "no reading"},
			{"my/x", `{"a":1}`, "no rule for the topic"},
			{"my/x/b", "2", "x" + at + "b=2"},
		}},
		{"what is left out", []discoveryStep{
			{"homeassistant/sensor/a/config", `{"dev":{"ids":"x"},"stat_t":"my/x","val_tpl":"{{ value_json.a / 10 }}"}`, "no reading; without a: its value_template computes, which is not read: {{ value_json.a / 10 }}"},
			{"homeassistant/sensor/a/config", `{"dev":{"ids":"x"},"stat_t":"my/x","val_tpl":"{% if value %}1{% endif %}"}`, "no reading; without a: its value_template computes, which is not read: {% if value %}1{% endif %}"},
			{"homeassistant/sensor/a/config", `{"dev":{"ids":"x"},"stat_t":"my/x","val_tpl":"{{ value_json }}"}`, "no reading; without a: its value_template computes, which is not read: {{ value_json }}"},
			{"homeassistant/sensor/a/config", `{"dev":{"name":"x"},"stat_t":"my/x"}`, "no reading; without a: the config does not identify its device:"},
			{"homeassistant/sensor/a/config", `{"dev":{"ids":"x"}}`, "no reading; without a: the config has no state topic:"},
			{"homeassistant/sensor/a/config", `{"dev":{"ids":"x"},"stat_t":"#"}`, "no reading; without a: the config has no state topic: #"},
			{"homeassistant/light/a/config", `{"dev":{"ids":"x"},"stat_t":"my/x"}`, "no reading"},
			{"homeassistant/sensor/a/config", `{"dev":`, "invalid_json: a config that is no JSON object"},
			{"homeassistant/sensor/a/config", `{"x":"` + strings.Repeat("x", 65536) + `"}`, "too_large: a config of 65544 bytes, over 65536"},
			{"homeassistant/sensor/a/config", `{"dev":{"ids":"x"},"stat_t":"my/x"}`, "no reading"},
			{"homeassistant/sensor/b/config", `{"dev":{"ids":"x"},"stat_t":"my/x"}`, "no reading; without b: another value of the device is in the same message: my/x"},
			{"homeassistant/sensor/c/config", `{"dev":{"ids":"y"},"stat_t":"my/x"}`, "no reading; without b: another value of the device is in the same message: my/x; without c: another device has the same state topic: y"},
			{"my/x", "1", "x" + at + "a=1"},
		}},
		{"a rule goes before, and what is tried out changes nothing", []discoveryStep{
			{"homeassistant/sensor/a/config", `{"dev":{"ids":"x"},"stat_t":"sensors/kitchen/data","val_tpl":"{{ value_json.a }}"}`, "no reading"},
			{"sensors/kitchen/data", `{"a":1,"b":2}`, "kitchen" + at + "a=1 b=2"},
			{"homeassistant/sensor/a/config alone", `{"dev":{"ids":"x"},"stat_t":"my/x"}`, "no reading"},
			{"my/x", "1", "no rule for the topic"},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			set := load(t)
			for _, step := range tt.steps {
				if got := step.run(set); got != step.want {
					t.Errorf("%s %.200s\ngot  %s\nwant %s", step.topic, step.payload, got, step.want)
				}
			}
		})
	}
}

func discover(set *mapping.Set, object, device, state string) string {
	return discoveryStep{topic: "homeassistant/sensor/" + object + "/config", payload: fmt.Sprintf(`{"dev":{"ids":%q},"stat_t":%q}`, device, state)}.run(set)
}

// State topics are told once, unless it was said which topics are read.
func TestDiscoveredTopics(t *testing.T) {
	var got []string
	set := load(t)
	set.OnState(func(topic string) { got = append(got, topic) })
	for range 2 {
		discover(set, "a", "x", "my/a")
		discover(set, "b", "x", "my/b")
		discover(set, "c", "x", "sensors/x/data")
	}
	if diff := cmp.Diff([]string{"my/a", "my/b"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	set, err := load(t).Select([]string{"homeassistant/#", "my/a"})
	if err != nil {
		t.Fatal(err)
	}
	set.OnState(func(topic string) { t.Errorf("%s is told", topic) })
	discover(set, "a", "x", "my/a")
	discover(set, "b", "x", "my/b")
	if route, ok := set.Match("my/a"); !ok || route.Device() != "x" {
		t.Error("a topic that is selected is not read")
	}
	if _, ok := set.Match("my/b"); ok {
		t.Error("a topic that is not selected is read")
	}
}

// The order in which configs come does not matter.
func TestDiscoveryCommutes(t *testing.T) {
	configs := []string{"a x", "b x", "c a", "d y"}
	want := ""
	for turn := range 24 {
		order, rest := []string{}, slices.Clone(configs)
		for n, i := 4, turn; n > 0; n-- {
			order, rest = append(order, rest[i%n]), slices.Delete(rest, i%n, i%n+1)
			i /= n
		}
		set := load(t, "homeassistant-discovery")
		for _, c := range order {
			object, device, _ := strings.Cut(c, " ")
			discover(set, object, device, "my/x")
		}
		if got := (discoveryStep{topic: "my/x", payload: "1"}).run(set); want == "" {
			want = got
		} else if got != want {
			t.Errorf("%v: %s, want %s", order, got, want)
		}
	}
}

// What is remembered is bounded, and what there is no room for is told.
func TestDiscoveryIsBounded(t *testing.T) {
	set, one := load(t, "homeassistant-discovery"), load(t, "homeassistant-discovery")
	for i := range 1001 {
		got := discover(one, fmt.Sprint("o", i), "x", fmt.Sprint("my/", i))
		if full := strings.Contains(got, "too much is discovered"); full != (i == 1000) {
			t.Fatalf("%d of one device: %s", i, got)
		}
	}
	for i := range 10_001 {
		got := discover(set, fmt.Sprint("o", i), fmt.Sprint("x", i/1000), fmt.Sprint("my/", i))
		if full := strings.Contains(got, "too much is discovered"); full != (i == 10_000) {
			t.Fatalf("%d: %s", i, got)
		}
	}
	discoveryStep{topic: "homeassistant/sensor/o5/config"}.run(set)
	if got := discover(set, "new", "x", "my/new"); got != "no reading" {
		t.Error(got)
	}
}

// Configs and messages come at the same time.
func TestDiscoveryIsConcurrent(t *testing.T) {
	set := load(t, "homeassistant-discovery")
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			for n := range 200 {
				discover(set, fmt.Sprint(i, n%7), "x", fmt.Sprint("my/", n%3))
				discoveryStep{topic: fmt.Sprint("my/", n%3), payload: "1"}.run(set)
			}
		})
	}
	all.Wait()
}

// FuzzDiscovery holds any config, and any message to its state topic, to what is promised of all.
func FuzzDiscovery(f *testing.F) {
	f.Add([]byte(`{"dev":{"ids":["x"]},"stat_t":"s","unit_of_meas":"°F","val_tpl":"{{ value_json.t | round(1) }}"}`), []byte(`{"t":70.7}`))
	f.Add([]byte(`{"dev":{"cns":[["mac","x"]]},"~":"s","stat_t":"~","pl_on":"1"}`), []byte(`ON`))
	f.Add([]byte(`{"dev":{"ids":"x"},"cmps":{"a":{"p":"sensor","stat_t":"s","val_tpl":"{{ value_json['a'][0] }}"}}}`), []byte(`{"a":["1"]}`))
	f.Fuzz(func(t *testing.T, config, message []byte) {
		set := load(t, "homeassistant-discovery")
		for _, topic := range []string{"homeassistant/sensor/a/config", "homeassistant/device/a/config", "s"} {
			m := mapping.Message{Payload: config, Received: received, Ordered: true}
			if topic == "s" {
				m.Payload = message
			}
			result, _ := decode(set, topic, m)
			for _, r := range result.Readings {
				if err := r.Validate(); err != nil {
					t.Errorf("%+v: %v", r, err)
				}
			}
			for _, r := range result.Rejected {
				if r.Reason == "" || r.Detail == "" || len(r.Detail) > 200 {
					t.Errorf("unexplained: %+v", r)
				}
			}
		}
	})
}
