package mapping_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/mapping"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func presets(t *testing.T, names ...string) *mapping.Set {
	t.Helper()
	set, err := mapping.Config{Mappings: names}.Load()
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func TestExplain(t *testing.T) {
	mine, err := mapping.Parse("/somewhere/mine.yaml", []byte(`
- {name: noise, topic: "noise/#", ignore: true}
- {name: some, topic: "some/{device}", when: {kind: good}}
- {name: batch, topic: "batch/{device}"}
`), time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	plug := `"device_id":` + iot.KeyID("plug").String()
	for _, tt := range []struct {
		promise        string
		rules          *mapping.Set
		topic, payload string
		want           string // all or parts of it
	}{
		{"a message is shown as readings, with the rule that reads it", presets(t), "tele/plug/SENSOR", `{"Time":"2026-01-02T11:00:00","SI7021":{"Temperature":21.5}}`,
			`{"rule":"tasmota","file":"tasmota","detail":null,"readings":[{` + plug + `,"temperature":21.5,"humidity":null,"timestamp":"2026-01-02T11:00:00.000Z",…"device_key":"plug"}],"rejected":[],"omitted":[],"complete":true}`},
		{"what is rejected has its reason", presets(t), "sensors/42/data", `{"x":1,"device_id":7}`,
			`{"rule":"telltale","file":"telltale","detail":null,"readings":[],"rejected":[{"reason":"device_id_mismatch","detail":"device_id 7, but 42 in the topic","device_id":null,"payload":"{\"x\":1,\"device_id\":7}"}],…`},
		{"members that are left out are named", presets(t), "tele/plug/SENSOR", `{"A":{"x":1,"y":NaN}}`,
			`…"omitted":[{"member":"A_y","reason":"…","example":"NaN"}],"complete":true}`},
		{"a topic that is nobody's", presets(t), "nobodys", `{"x":1}`, `{"rule":null,"file":null,"detail":"no rule is for this topic","readings":[],"rejected":[],"omitted":[],"complete":true}`},
		{"or is nearly one", presets(t), "sensor/42/data", `{"x":1}`, `…"detail":"no rule is for this topic; did you mean sensors/42/data?",…`},
		{"or a preset's that is not named", mine, "tele/plug/SENSOR", `{"SI7021":{"Temperature":21.5}}`, `…"detail":"no rule is for this topic; it looks like tasmota, which MAPPINGS does not name",…`},
		{"conditions that do not hold", mine, "some/42", `{"x":1}`, `{"rule":null,"file":null,"detail":null,…"reason":"no_rule",…`},
		{"what a rule leaves out", mine, "noise/1", `{"x":1}`, `{"rule":"noise","file":"mine.yaml","detail":"the rule says that it is no reading",…`},
	} {
		t.Run(tt.promise, func(t *testing.T) {
			got, err := json.Marshal(tt.rules.Explain(tt.topic, mapping.Message{Payload: []byte(tt.payload), Received: noon}))
			if err != nil {
				t.Fatal(err)
			}
			rest := string(got)
			for i, part := range strings.Split(tt.want, "…") {
				at := strings.Index(rest, part)
				if at < 0 || i == 0 && at > 0 {
					t.Fatalf("got  %s\nwant %s", got, tt.want)
				}
				rest = rest[at+len(part):]
			}
		})
	}
	t.Run("of a long batch the beginning is shown", func(t *testing.T) {
		payload := "[" + strings.Repeat(`{"x":1},`, 5000) + `{"x":1}]`
		e := mine.Explain("batch/42", mapping.Message{Payload: []byte(payload), Received: noon})
		if len(e.Readings) != 100 || e.Complete {
			t.Errorf("%d readings, complete: %v", len(e.Readings), e.Complete)
		}
		payload = "[" + strings.Repeat(`{"x":1},`, 99) + `{"x":1}]`
		if e := mine.Explain("batch/42", mapping.Message{Payload: []byte(payload), Received: noon}); len(e.Readings) != 100 || !e.Complete {
			t.Errorf("%d readings, complete: %v", len(e.Readings), e.Complete)
		}
	})
}

func TestParseRule(t *testing.T) {
	set, err := mapping.Config{Mappings: []string{"tasmota"}, Zone: "Europe/Berlin"}.Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		"name: one\ntopic: one/{device}\ntime: at\n", "- name: one\n  topic: one/{device}\n  time: at\n", `{"name": "one", "topic": "one/{device}", "time": "at"}`,
	} {
		one, err := set.ParseRule([]byte(text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		e := one.Explain("one/42", mapping.Message{Payload: []byte(`{"at":"2026-01-02 12:00","x":1}`), Received: noon})
		if len(e.Readings) != 1 || !strings.Contains(string(e.Readings[0]), "2026-01-02T11:00:00.000Z") {
			t.Errorf("%s: %s", text, e.Readings)
		}
		if _, ok := one.Match("tele/plug/SENSOR"); ok {
			t.Errorf("%s: rules of the other set are in it", text)
		}
	}
	for text, want := range map[string]string{
		"- {name: a, topic: a}\n- {name: b, topic: b}": "rule:1: want one rule, not a list",
		"true": `rule:1: want one rule, not "true"`,
		"name: one\ntopic: one/{device}\ncolour: red":        "rule:3: colour: unknown member",
		"name: " + strings.Repeat("x", mapping.MaxRuleBytes): "rule:1: 16390 bytes, over 16384",
	} {
		if _, err := set.ParseRule([]byte(text)); err == nil || err.Error() != want {
			t.Errorf("%.40s: %v, want %s", text, err, want)
		}
	}
}

func TestLooksLike(t *testing.T) {
	for _, tt := range []struct{ topic, payload, want string }{
		{"tele/plug/SENSOR", `{"SI7021":{"Temperature":21.5}}`, "tasmota"},
		{"zigbee2mqtt/kitchen", `{"temperature":21.5,"linkquality":80}`, "zigbee2mqtt"},
		{"sensors/42/data", `{"x":1}`, "telltale"},
		{"tele/plug/SENSOR", `on`, ""},
		{"my/own/topic", `{"x":1}`, ""},
	} {
		if got := mapping.LooksLike(tt.topic, mapping.Message{Payload: []byte(tt.payload), Received: noon}); got != tt.want {
			t.Errorf("%s %s looks like %q, want %q", tt.topic, tt.payload, got, tt.want)
		}
	}
}

func TestFormOf(t *testing.T) {
	for _, tt := range []struct{ payload, want string }{
		{`[{"bn":"urn:dev:ow:10e2073a01080063","n":"temp","u":"Cel","v":23.1}]`, "senml"},
		{`{"device_id":42,"x":1}`, "telltale"},
		{`{"x":1}`, ""},
		{`on`, ""},
	} {
		if got := mapping.FormOf(mapping.Message{Payload: []byte(tt.payload), Received: noon}); got != tt.want {
			t.Errorf("%s is of form %q, want %q", tt.payload, got, tt.want)
		}
	}
}

func TestFilterFor(t *testing.T) {
	mine, err := mapping.Parse("mine.yaml", []byte(`[{name: mine, topic: "plant/{device}/state"}]`), time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	for topic, want := range map[string]string{"plant/pump/state": "plant/+/state", "tele/plug/SENSOR": "tele/+/SENSOR", "nobodys": ""} {
		if got := mine.FilterFor(topic); got != want {
			t.Errorf("%s is of %q, want %q", topic, got, want)
		}
	}
}
