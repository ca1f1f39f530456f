package readingjson_test

import (
	"encoding/json"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/readingjson"
)

var at = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func legacy() iot.Reading {
	return iot.Reading{Device: 42, At: at, Stamped: iot.StampDevice, Metrics: []iot.Metric{
		{Name: "humidity", Value: 45.2}, {Name: "temperature", Value: 21.5},
	}}
}

func TestAppend(t *testing.T) {
	tests := []struct {
		name string
		r    iot.Reading
		want string
	}{
		{
			"the four legacy members come first, in their order",
			legacy(),
			`{"device_id":42,"temperature":21.5,"humidity":45.2,"timestamp":"2026-03-01T12:00:00.000Z","timestamp_source":"device"}`,
		},
		{
			"a legacy member that was not measured is null",
			iot.Reading{Device: 1, At: at, Metrics: []iot.Metric{{Name: "humidity", Value: 0}}},
			`{"device_id":1,"temperature":null,"humidity":0,"timestamp":"2026-03-01T12:00:00.000Z"}`,
		},
		{
			"other metrics, attributes and the source follow",
			iot.Reading{Device: iot.MaxDeviceID, At: at.Add(7 * time.Millisecond), Stamped: iot.StampServer,
				Metrics:    []iot.Metric{{Name: "a", Value: 1}, {Name: "temperature", Value: -3}, {Name: "z", Value: 0.25}},
				Attributes: []iot.Attribute{{Name: "firmware", Value: "1.2"}, {Name: "site", Value: ""}}},
			`{"device_id":9007199254740991,"temperature":-3,"humidity":null,"timestamp":"2026-03-01T12:00:00.007Z",` +
				`"metrics":{"a":1,"z":0.25},"attributes":{"firmware":"1.2","site":""},"timestamp_source":"server"}`,
		},
		{
			"a key, and what the device gave as its time, are last",
			iot.Reading{Device: iot.KeyID(`a "key"`), Key: `a "key"`, At: at, Stamped: iot.StampServer, Said: "noon\n",
				Metrics: []iot.Metric{{Name: "humidity", Value: 1}}},
			`{"device_id":` + iot.KeyID(`a "key"`).String() + `,"temperature":null,"humidity":1,"timestamp":"2026-03-01T12:00:00.000Z",` +
				`"timestamp_source":"server","device_key":"a \"key\"","device_timestamp":"noon\u000a"}`,
		},
		{
			"the times of what is older are last",
			iot.Reading{Device: 1, At: at, Metrics: []iot.Metric{{Name: "humidity", Value: 1}, {Name: "a\"", Value: 2}},
				Times: []iot.MemberTime{{Name: "a\"", At: at.Add(-time.Second)}, {Name: "humidity", At: at.Add(-time.Minute)}}},
			`{"device_id":1,"temperature":null,"humidity":1,"timestamp":"2026-03-01T12:00:00.000Z","metrics":{"a\"":2},` +
				`"times":{"a\"":"2026-03-01T11:59:59.000Z","humidity":"2026-03-01T11:59:00.000Z"}}`,
		},
		{
			"a time in another zone is written in UTC",
			iot.Reading{Device: 1, At: at.In(time.FixedZone("", 3600)), Metrics: []iot.Metric{{Name: "humidity", Value: 1}}},
			`{"device_id":1,"temperature":null,"humidity":1,"timestamp":"2026-03-01T12:00:00.000Z"}`,
		},
		{
			"strings are escaped only where JSON asks for it",
			iot.Reading{Device: 1, At: at, Metrics: []iot.Metric{{Name: `"\` + "\n\x1f", Value: 1}},
				Attributes: []iot.Attribute{{Name: "ort", Value: "Küche </br> 温度 \U0001F321"}}},
			`{"device_id":1,"temperature":null,"humidity":null,"timestamp":"2026-03-01T12:00:00.000Z",` +
				`"metrics":{"\"\\\u000a\u001f":1},"attributes":{"ort":"Küche </br> 温度 ` + "\U0001F321" + `"}}`,
		},
		{
			"a value that JSON cannot write is null",
			iot.Reading{Device: 1, At: at, Metrics: []iot.Metric{{Name: "x", Value: math.Inf(1)}, {Name: "y", Value: math.NaN()}}},
			`{"device_id":1,"temperature":null,"humidity":null,"timestamp":"2026-03-01T12:00:00.000Z","metrics":{"x":null,"y":null}}`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := string(readingjson.Append([]byte("["), tt.r))
			if diff := cmp.Diff("["+tt.want, got); diff != "" {
				t.Error(diff)
			}
			if !json.Valid([]byte(got[1:])) {
				t.Errorf("not JSON: %s", got)
			}
		})
	}
}

func TestAppendOnline(t *testing.T) {
	got := string(readingjson.AppendOnline(nil, legacy()))
	want := `{"device_id":42,"temperature":21.5,"humidity":45.2,"timestamp":"2026-03-01T12:00:00.000Z","timestamp_source":"device","status":"online"}`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestNumbersReadBackExactly(t *testing.T) {
	for _, v := range []float64{
		0, math.Copysign(0, -1), 1, -1, 21, 21.5, 0.1, 1.0 / 3, 1e-6, 9.99e-7, 5e-324, 1e20, 1e21, -1e21,
		1<<53 + 2, math.MaxFloat64, -math.MaxFloat64, 1e100, 123456789.123456789,
	} {
		r := iot.Reading{Device: 1, At: at, Metrics: []iot.Metric{{Name: "v", Value: v}}}
		text := readingjson.Append(nil, r)
		got, err := readingjson.Parse(text)
		if err != nil {
			t.Fatalf("%v: %v", v, err)
		}
		if back, _ := got.Metric("v"); math.Float64bits(back) != math.Float64bits(v) {
			t.Errorf("%v came back as %v from %s", v, back, text)
		}
	}
}

func TestParse(t *testing.T) {
	t.Run("every field but Received comes back", func(t *testing.T) {
		want := iot.Reading{
			Device: iot.KeyID("a \"key\""), Key: "a \"key\"", Said: "a\u2028\x00b", At: at.Add(123 * time.Millisecond), Stamped: iot.StampServer,
			Metrics: []iot.Metric{
				{Name: "Temperature", Value: 2}, {Name: "a\"\\\x01é", Value: 1e-9},
				{Name: "humidity", Value: 0}, {Name: "temperature", Value: -40}, {Name: "z", Value: 3},
			},
			Attributes: []iot.Attribute{{Name: "\t", Value: "a\u2028b"}, {Name: "n", Value: ""}},
		}
		sent := want
		sent.Received = at
		for name, text := range map[string][]byte{
			"Append":       readingjson.Append(nil, sent),
			"AppendOnline": readingjson.AppendOnline(nil, sent),
		} {
			got, err := readingjson.Parse(text)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
		}
	})

	for name, text := range map[string]string{
		"nothing":                      ``,
		"another type":                 `"x"`,
		"an array":                     `[]`,
		"no device":                    `{"timestamp":"2026-03-01T12:00:00.000Z","temperature":1}`,
		"no timestamp":                 `{"device_id":1,"temperature":1}`,
		"no metric":                    `{"device_id":1,"temperature":null,"timestamp":"2026-03-01T12:00:00.000Z"}`,
		"a metric that is there twice": `{"device_id":1,"temperature":1,"metrics":{"temperature":2},"timestamp":"2026-03-01T12:00:00.000Z"}`,
		"a timestamp with no zone":     `{"device_id":1,"temperature":1,"timestamp":"2026-03-01T12:00:00"}`,
		"bytes behind it":              `{"device_id":1,"temperature":1,"timestamp":"2026-03-01T12:00:00.000Z"} x`,
	} {
		t.Run(name+" is no reading", func(t *testing.T) {
			if r, err := readingjson.Parse([]byte(text)); !errors.Is(err, iot.ErrInvalid) {
				t.Errorf("got %+v, %v", r, err)
			}
		})
	}
}

func BenchmarkAppend(b *testing.B) {
	r := legacy()
	dst := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		dst = readingjson.Append(dst[:0], r)
	}
}

func BenchmarkParse(b *testing.B) {
	text := readingjson.Append(nil, legacy())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := readingjson.Parse(text); err != nil {
			b.Fatal(err)
		}
	}
}
