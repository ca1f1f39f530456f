package event_test

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/iot"
)

func TestValues(t *testing.T) {
	r := reading()
	r.Key, r.Device = `"Küche"`, iot.KeyID(`"Küche"`)
	r.Metrics = append(r.Metrics, iot.Metric{Name: "ts", Value: math.Copysign(0, -1)})
	r.Attributes = []iot.Attribute{{Name: `a\b`, Value: "\x00\n\u2028 text"}, {Name: "metrics", Value: ""}}
	got, contentType, ok := event.Values(r, r.Received)
	want := `{"device_id":"\"Küche\"","timestamp":"2026-01-02T12:00:00.678Z","humidity":40.25,"temperature":21.5,"ts":-0,` +
		`"a\\b":"\u0000\u000a` + "\u2028" + ` text","metrics":""}`
	if string(got) != want || contentType != "application/json" || !ok {
		t.Errorf("%s of type %s, %v; want %s", got, contentType, ok, want)
	}

	for name, change := range map[string]func(*iot.Reading){
		"stamped by the server":                func(r *iot.Reading) { r.Stamped, r.Origin = iot.StampServer, 7 },
		"before 2000":                          func(r *iot.Reading) { r.At = iot.MinTime.Add(-time.Millisecond) },
		"a metric with a name that means more": func(r *iot.Reading) { r.Metrics[0].Name = "device_id" },
		"a metric and an attribute of one name": func(r *iot.Reading) {
			r.Attributes = []iot.Attribute{{Name: "humidity", Value: "wet"}}
		},
	} {
		r := reading()
		change(&r)
		if err := r.Validate(); err != nil {
			t.Fatal(err)
		}
		if got, _, ok := event.Values(r, r.Received); ok {
			t.Errorf("%s: %s would be another reading", name, got)
		}
	}
}

// TestAnyValuesAreTheReadingAgain: what Values says that it is, decoded as a dead letter is.
func TestAnyValuesAreTheReadingAgain(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	shown := 0
	for range 2000 {
		want := randomReading(r)
		want.At = iot.MinTime.Add(time.Duration(r.Int64N(1<<40)) * time.Millisecond)
		want.Received = want.At.Add(time.Hour)
		values, contentType, ok := event.Values(want, want.Received)
		if !ok {
			continue
		}
		shown++
		if !json.Valid(values) {
			t.Fatalf("%s is no JSON", values)
		}
		var d event.Decoder
		d.StartReplay(iot.DeadLetter{Rejection: iot.Rejection{Bytes: values}, ContentType: contentType, Received: want.Received}, nil)
		got, rejected := d.Next(nil, nil)
		want.Stamped = iot.StampDevice // it was that, or unknown
		if diff := cmp.Diff([]iot.Reading{want}, got); diff != "" || len(rejected) > 0 {
			t.Fatalf("%s: rejected %+v (-want +got):\n%s", values, rejected, diff)
		}
	}
	if shown < 1000 {
		t.Errorf("%d of 2000 are shown", shown)
	}
}
