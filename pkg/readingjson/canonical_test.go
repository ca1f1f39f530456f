package readingjson

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/telltale-iot/telltale/pkg/iot"
)

var canonical = []iot.Reading{
	{Device: 42, Metrics: []iot.Metric{{Name: "humidity", Value: 45.2}, {Name: "temperature", Value: 21.5}}, Stamped: iot.StampDevice},
	{Device: iot.MaxDeviceID, Metrics: []iot.Metric{{Name: "humidity", Value: -0.5}}},
	{
		Device: 1, Stamped: iot.StampServer,
		Metrics:    []iot.Metric{{Name: "a", Value: 1e-9}, {Name: "temperature", Value: 0}, {Name: "z", Value: -1e21}},
		Attributes: []iot.Attribute{{Name: "ort", Value: "Küche, {oben}"}, {Name: "site", Value: ""}},
	},
	{
		Device: iot.KeyID("Küche"), Key: "Küche", Stamped: iot.StampServer, Said: "gestern",
		Metrics: []iot.Metric{{Name: "humidity", Value: 45.2}, {Name: "temperature", Value: 21.5}},
	},
	{
		Device: 3, Metrics: []iot.Metric{{Name: "a", Value: 1}, {Name: "humidity", Value: 45.2}, {Name: "temperature", Value: 21.5}},
		Times: []iot.MemberTime{{Name: "a", At: time.Unix(1, 0).UTC()}, {Name: "humidity", At: time.Unix(2, 1e6).UTC()}},
	},
}

// TestCanonicalForm: what Append and AppendOnline write is read without the general parser.
func TestCanonicalForm(t *testing.T) {
	for _, want := range canonical {
		want.At = time.Date(2026, 2, 28, 23, 59, 59, 999e6, time.UTC)
		for _, text := range [][]byte{Append(nil, want), AppendOnline(nil, want)} {
			got, ok := parseCanonical(text)
			if diff := cmp.Diff(want, got); !ok || diff != "" {
				t.Errorf("%s: %v (-want +got):\n%s", text, ok, diff)
			}
		}
	}
}

// FuzzCanonicalForm: what is read as the canonical form means the same to the general parser.
func FuzzCanonicalForm(f *testing.F) {
	for _, r := range canonical {
		f.Add(Append(nil, r))
		f.Add(AppendOnline(nil, r))
	}
	for _, text := range []string{
		`{"device_id":1,"temperature":00.5,"humidity":null,"timestamp":"2026-03-01T12:00:00.000Z"}`,
		`{"device_id":1,"temperature":1.,"humidity":.5,"timestamp":"2026-02-30T12:00:00.000Z"}`,
		`{"device_id":1,"temperature":1.e5,"humidity":+5,"timestamp":"2026-02-28T24:00:00.000Z"}`,
		`{"device_id":01,"temperature":1,"humidity":null,"timestamp":"2026-02-28T12:00:00.000Z"}`,
		`{"device_id":1,"temperature":1,"humidity":null,"timestamp":"2026-02-28T12:00:00.000Z","metrics":{"temperature":2}}`,
		`{"device_id":1,"temperature":1,"humidity":null,"timestamp":"2026-02-28T12:00:00.000Z","metrics":{"a":2,"a":3}}`,
		`{"device_id":1,"temperature":1,"humidity":null,"timestamp":"2026-02-28T12:00:00.000Z","metrics":{"a":null}}`,
		`{"device_id":1,"temperature":1,"humidity":null,"timestamp":"2026-02-28T12:00:00.000Z","metrics":{}}`,
		`{"device_id":1,"temperature":1,"humidity":null,"timestamp":"2026-02-28T12:00:00.000Z","device_key":"a"}`,
		`{"device_id":1,"temperature":1,"humidity":null,"timestamp":"2026-02-28T12:00:00.000Z","times":{"temperature":"2026-02-28T11:00:00.000Z"}}`,
		`{"device_id":1,"temperature":1,"humidity":null,"timestamp":"2026-02-28T12:00:00.000Z","times":{"b":"2026-02-28T11:00:00.000Z","a":"2026-02-30T11:00:00.000Z"}}`,
		`{"device_id":1,"temperature":1,"humidity":null,"timestamp":"2026-02-28T12:00:00.000Z","device_key":"","device_timestamp":""}`,
		"{\"device_id\":1,\"temperature\":1,\"humidity\":null,\"timestamp\":\"2026-02-28T12:00:00.000Z\",\"attributes\":{\"a\":\"\xff\"}}",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, ok := parseCanonical(text)
		if !ok || validate(got) != nil {
			return
		}
		want, err := parseAny(text)
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); err != nil || diff != "" {
			t.Errorf("%q: %v (-any +canonical):\n%s", text, err, diff)
		}
	})
}
