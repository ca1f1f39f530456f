package payload_test

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/payload"
)

var received = time.Date(2026, 1, 2, 3, 4, 6, 0, time.UTC)

// decode decodes a payload of device 42.
func decode(text string) ([]iot.Reading, []iot.Rejection) {
	return decodeMessage(payload.Message{DeviceID: "42", Payload: []byte(text), Received: received})
}

func decodeMessage(m payload.Message) ([]iot.Reading, []iot.Rejection) {
	var out payload.Result
	payload.Decode(m, &out)
	return out.Readings, out.Rejected
}

func TestReadingsAreAppended(t *testing.T) {
	before := iot.Reading{Device: 7}
	for _, text := range []string{`{"x":1}`, `[{"x":1},{"x":2}]`, `[{"x":1},{"x":`} {
		out := payload.Result{Readings: []iot.Reading{before}}
		payload.Decode(payload.Message{DeviceID: "42", Payload: []byte(text), Received: received}, &out)
		if diff := cmp.Diff(before, out.Readings[0]); diff != "" {
			t.Errorf("after %s the reading in front is another (-want +got):\n%s", text, diff)
		}
	}
}

func TestReadingsShareNoMemoryWithThePayload(t *testing.T) {
	const text = `{"temperature":1,"some name":2,"an attribute":"its value","escaped\n":"\u0041 value"}`
	m := payload.Message{DeviceID: "42", Payload: []byte(text), Received: received}
	got, _ := decodeMessage(m)
	clear(m.Payload)
	want, _ := decode(text)
	if diff := cmp.Diff(want, got); diff != "" || len(got) != 1 {
		t.Errorf("the payload was overwritten, and the reading with it (-want +got):\n%s", diff)
	}
}

func TestTheTimeOfReceiptIsKeptToTheMillisecond(t *testing.T) {
	berlin := time.FixedZone("CET", 3600)
	m := payload.Message{DeviceID: "42", Payload: []byte(`{"x":1}`), Received: time.Date(2026, 1, 2, 4, 4, 6, 999_999_999, berlin)}
	out, _ := decodeMessage(m)
	want := time.Date(2026, 1, 2, 3, 4, 6, 999_000_000, time.UTC)
	if len(out) != 1 || out[0].Received != want || out[0].At != want {
		t.Errorf("got %+v, want one received at %v", out, want)
	}
}

func TestLimits(t *testing.T) {
	batch := func(n int) string { return "[" + strings.Repeat(`{"x":1},`, n-1) + `{"x":1}]` }
	members := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `,"m%d":%d`, i, i)
		}
		return "{" + b.String()[1:] + "}"
	}
	note := func(size int) string {
		const frame = `{"x":1,"note":""}`
		return fmt.Sprintf(`{"x":1,"note":"%s"}`, strings.Repeat("n", size-len(frame)))
	}
	name := func(size int) string { return fmt.Sprintf(`{"%s":1}`, strings.Repeat("n", size)) }
	for _, tt := range []struct {
		name     string
		payload  string
		readings int
		reason   iot.Reason
	}{
		{"1 MiB is read", note(1 << 20), 1, ""},
		{"more are too large", note(1<<20 + 1), 0, iot.ReasonTooLarge},
		{"10,000 readings in a batch are read", batch(10_000), 10_000, ""},
		{"more are too large", batch(10_001), 0, iot.ReasonTooLarge},
		{"1,000 members are read", members(1000), 1, ""},
		{"more are too large", members(1001), 0, iot.ReasonTooLarge},
		{"many more are, too", members(50_000), 0, iot.ReasonTooLarge},
		{"a neighbour of too many is read", "[" + members(1001) + `,{"x":1}]`, 1, iot.ReasonTooLarge},
		{"a name of 255 bytes is read", name(255), 1, ""},
		{"a longer one is an invalid member", name(256), 0, iot.ReasonInvalidMember},
		{"half a million open brackets are an unfinished text", strings.Repeat("[", 500_000), 0, iot.ReasonInvalidJSON},
		{"and closed, they are too deep", strings.Repeat("[", 500_000) + strings.Repeat("]", 500_000), 0, iot.ReasonTooDeep},
		{"a number of 100,000 digits is out of range", `{"x":` + strings.Repeat("9", 100_000) + "}", 0, iot.ReasonNumberOutOfRange},
		{"one of 100,000 fraction digits is rounded", `{"x":0.` + strings.Repeat("9", 100_000) + "}", 1, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			readings, rejections := decode(tt.payload)
			if len(readings) != tt.readings {
				t.Errorf("%d readings, want %d", len(readings), tt.readings)
			}
			var reason iot.Reason
			for _, r := range rejections {
				reason = r.Reason
			}
			if reason != tt.reason || len(rejections) > 1 {
				t.Errorf("%d rejections for %q, want %q", len(rejections), reason, tt.reason)
			}
			for _, r := range readings {
				if err := r.Validate(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func TestDetailsAreShortText(t *testing.T) {
	long := strings.Repeat("\u00e4\U0001f600\u202e", 100)
	for _, text := range []string{
		`{"` + long + `":[]}`, `{"` + long + `":1e999}`, `{"device_id":"` + long + `"}`, `{"x":1} ` + long,
		`{"` + long + long + `":1}`, `{"` + long + `":1,"` + long + `":2}`, "{\"x\":1} \xff\xfe\xff\xfe" + long,
	} {
		_, rejections := decode(text)
		if len(rejections) != 1 {
			t.Fatalf("%d rejections of %.40q, want 1", len(rejections), text)
		}
		if d := rejections[0].Detail; len(d) > 200 || !utf8.ValidString(d) {
			t.Errorf("detail of %d bytes, valid %v: %s", len(d), utf8.ValidString(d), d)
		}
	}
}

// Decoders are reused. What one message leaves behind must not be seen by the next, on any goroutine.
func TestDecodingsDoNotDisturbEachOther(t *testing.T) {
	texts := []string{
		`{"x":1,"note":"some \"text\""}`,
		`[{"x":1},{"x":`,
		`[{"device_id":42,"x":1,"timestamp":"2026-01-02T03:04:05Z"},{"x":NaN},{"y":2}]`,
		`{"ts":1767323045678,"values":{"a":1,"b":"two"}}`,
		`{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"g":7,"h":8,"i":9}`,
		`{"x":"\ud800"}`,
		`[]`,
	}
	type result struct {
		Readings   []iot.Reading
		Rejections []iot.Rejection
	}
	want := make([]result, len(texts))
	for i, text := range texts {
		want[i].Readings, want[i].Rejections = decode(text)
	}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 500 {
				n := (g + i) % len(texts)
				var got result
				got.Readings, got.Rejections = decode(texts[n])
				if diff := cmp.Diff(want[n], got); diff != "" {
					t.Errorf("%s (-want +got):\n%s", texts[n], diff)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestObjects(t *testing.T) {
	for _, tt := range []struct{ payload, want string }{
		{` [ 1, {"x":1} , 2,[{"x":3}] ,{"y":"]"}] `, `{"x":1}|{"y":"]"}`},
		{`[{"x":NaN},{"x":1}]`, `{"x":NaN}|{"x":1}`},
		{` {"x":1} `, ` {"x":1} `},
		{`[]`, `[]`},
		{`[1]`, `[1]`},
		{`[1,`, `[1,`},
		{`[1 2]`, `[1 2]`},
		{`[1] 2`, `[1] 2`},
		{``, ``},
	} {
		got := bytes.Join(payload.Objects([]byte(tt.payload)), []byte("|"))
		if string(got) != tt.want {
			t.Errorf("Objects(%s) = %s, want %s", tt.payload, got, tt.want)
		}
	}
}
