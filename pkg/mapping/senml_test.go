package mapping_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/mapping"
)

// senMLLabels are CBOR's, by the RFC.
var senMLLabels = map[string]int{
	"bver": -1, "bn": -2, "bt": -3, "bu": -4, "bv": -5, "bs": -6,
	"n": 0, "u": 1, "v": 2, "vs": 3, "vb": 4, "s": 5, "t": 6, "ut": 7, "vd": 8,
}

// senMLInCBOR returns a pack in JSON as one in CBOR, if it is JSON at all.
func senMLInCBOR(t testing.TB, text []byte) ([]byte, bool) {
	var value any
	if json.Unmarshal(text, &value) != nil {
		return nil, false
	}
	records, ok := value.([]any)
	if !ok {
		records = []any{value}
	}
	for i, r := range records {
		fields, ok := r.(map[string]any)
		if !ok {
			continue
		}
		inCBOR := make(map[any]any)
		for label, value := range fields {
			if number, ok := senMLLabels[label]; ok {
				inCBOR[number] = value
			} else {
				inCBOR[label] = value
			}
		}
		records[i] = inCBOR
	}
	b, err := cbor.Marshal(records)
	if err != nil {
		t.Fatal(err)
	}
	return b, true
}

// What is in a pack does not depend on how it is written: each of the golden ones says the same in CBOR.
func TestSenMLInCBOR(t *testing.T) {
	archive, err := txtar.ParseFile("testdata/senml.txtar")
	if err != nil {
		t.Fatal(err)
	}
	set, compared := load(t), 0
	for _, section := range archive.Files {
		topic, flags, _ := strings.Cut(section.Name, " ")
		for line := range bytes.Lines(section.Data) {
			inCBOR, ok := senMLInCBOR(t, line)
			if !ok || bytes.Contains(line, []byte(",7,")) { // a record that is none costs the pack in CBOR
				continue
			}
			m := mapping.Message{Payload: bytes.TrimSpace(line), Received: received, Retained: flags == "retained"}
			want, _ := decode(set, topic, m)
			m.Payload = inCBOR
			got, _ := decode(set, topic, m)
			if diff := cmp.Diff(want.Readings, got.Readings); diff != "" {
				t.Errorf("%s (-JSON +CBOR):\n%s", line, diff)
			}
			if diff := cmp.Diff(reasons(want), reasons(got)); diff != "" {
				t.Errorf("%s (-JSON +CBOR):\n%s", line, diff)
			}
			compared++
		}
	}
	if compared < 30 {
		t.Errorf("only %d packs", compared)
	}
}

func reasons(r mapping.Result) (all []iot.Reason) {
	for _, rejected := range r.Rejected {
		all = append(all, rejected.Reason)
	}
	return all
}

// What is rejected of a pack that is read otherwise is a pack that says the same by itself.
func TestRejectedSenMLIsSenML(t *testing.T) {
	set := load(t)
	m := mapping.Message{Received: received, Payload: []byte(
		`[{"bn":"a/","bt":1795742000,"bu":"V","bv":1,"n":"x","v":1},{"bn":"lonely","t":2,"v":1.5,"s":2},{"n":"2","t":-5e9,"vb":true},{"bn":"b/","n":"y","vs":"\"é"},{"n":"z","vd":"AA"}]`)}
	first, _ := decode(set, "senml", m)
	if len(first.Readings) != 1 || len(first.Rejected) != 3 {
		t.Fatalf("%+v", first)
	}
	for _, r := range first.Rejected {
		m.Payload = r.Bytes
		again, _ := decode(set, "senml", m)
		if len(again.Readings) != 0 || len(again.Rejected) != 1 || again.Rejected[0].Reason != r.Reason || again.Rejected[0].Detail != r.Detail {
			t.Errorf("%s became %+v", r.Bytes, again)
		}
	}
	m.Payload = bytes.ReplaceAll(first.Rejected[0].Bytes, []byte(`"lonely"`), []byte(`"found/x"`))
	again, _ := decode(set, "senml", m)
	if len(again.Readings) != 1 || again.Readings[0].At.Unix() != 1795742002 || again.Readings[0].Key != "found" ||
		!cmp.Equal(again.Readings[0].Metrics, []iot.Metric{{Name: "x", Value: 2.5}, {Name: "x_sum", Value: 2}}) {
		t.Errorf("%s became %+v", m.Payload, again)
	}
}

func TestLimitsOfSenML(t *testing.T) {
	set := load(t)
	pack := func(n int, record string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, ",%s", strings.ReplaceAll(record, "%", fmt.Sprint(i)))
		}
		return "[" + b.String()[1:] + "]"
	}
	for _, tt := range []struct {
		name, payload string
		readings      int
		reason        iot.Reason
		omitted       int
	}{
		{"10,000 records of a device are read", pack(10_000, `{"n":"d/x","t":17%,"v":1}`), 10_000, "", 0},
		{"10,000 devices are read", pack(10_000, `{"n":"d%/x","v":1}`), 10_000, "", 0},
		{"more records are too large", pack(10_001, `{"n":"d/x","v":1}`), 0, iot.ReasonTooLarge, 0},
		{"1,000 metrics of a moment are read", pack(1000, `{"n":"d/x%","v":1}`), 1, "", 0},
		{"more are too large", pack(1001, `{"n":"d/x%","v":1}`), 0, iot.ReasonTooLarge, 0},
		{"a name is as long as a key and a metric", `[{"n":"` + strings.Repeat("d", 255) + "/" + strings.Repeat("m", 255) + `","v":1}]`, 1, "", 0},
		{"longer ones are none", `[{"n":"` + strings.Repeat("d", 256) + "/" + strings.Repeat("m", 255) + `","v":1},{"n":"a/b","v":1}]`, 1, "", 1},
		{"and no key has over 255 bytes", `[{"n":"` + strings.Repeat("d", 256) + `/m","v":1},{"n":"a/b","v":1}]`, 1, iot.ReasonInvalidDeviceID, 0},
		{"no metric", `[{"n":"d/` + strings.Repeat("m", 256) + `","v":1},{"n":"a/b","v":1}]`, 1, iot.ReasonInvalidMember, 0},
		{"no sum", `[{"n":"d/` + strings.Repeat("m", 252) + `","v":1,"s":1}]`, 1, "", 1},
		{"a base name of half a million bytes is no name", `[{"bn":"` + strings.Repeat("d", 500_000) + `"},` + pack(9_999, `{"n":"%","v":1}`)[1:], 0, iot.ReasonInvalidMember, 16},
		{"half a million open brackets of CBOR", strings.Repeat("\x81", 500_000), 0, iot.ReasonInvalidCBOR, 0},
		{"10,001 records of CBOR", "\x99\x27\x11" + strings.Repeat("\xa2\x00cd/x\x02\x01", 10_001), 0, iot.ReasonTooLarge, 0},
		{"an array of CBOR that says it is endless", "\x9b\x7f\xff\xff\xff\xff\xff\xff\xff\xa0", 0, iot.ReasonTooLarge, 0},
		{"a record of 65 fields", "\x81\xb8\x41" + strings.Repeat("\x02\x01", 65), 0, iot.ReasonInvalidCBOR, 0},
		{"17 arrays within each other in a field to come", "\x81\xa3\x00cd/x\x02\x01cnew" + strings.Repeat("\x81", 17) + "\x01", 0, iot.ReasonInvalidCBOR, 0},
		{"a number of half a million bytes", "\x82\xa2\x00cd/x\x02\xc2\x5a\x00\x07\xa1\x20" + strings.Repeat("\xff", 500_000) + "\xa2\x00cd/y\x02\x01", 1, "", 1},
		{"an exponent without end", "\x82\xa2\x00cd/x\x02\xc4\x82\x1b\x7f\xff\xff\xff\xff\xff\xff\xff\x01\xa2\x00cd/y\x02\x01", 1, "", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			result, _ := decode(set, "senml", mapping.Message{Payload: []byte(tt.payload), Received: received})
			var want []iot.Reason
			if tt.reason != "" {
				want = []iot.Reason{tt.reason}
			}
			if got := reasons(result); len(result.Readings) != tt.readings || !cmp.Equal(got, want) || len(result.Omitted) != tt.omitted {
				t.Errorf("%d readings, without %d, rejected for %q %.200v", len(result.Readings), len(result.Omitted), got, result.Rejected)
			}
		})
	}
}

// A pack of many readings comes in steps.
func TestSenMLComesInSteps(t *testing.T) {
	var b strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&b, `,{"n":"d/x","t":%d,"v":1}`, 1795742000+i%2500)
	}
	route, _ := load(t).Match("senml")
	var d mapping.Decoder
	steps, readings := 0, 0
	for d.Start(route, mapping.Message{Payload: []byte("[" + b.String()[1:] + "]"), Received: received}); d.More(); steps++ {
		var result mapping.Result
		if d.Next(&result); len(result.Readings) > 1000 {
			t.Errorf("%d readings in a step", len(result.Readings))
		}
		readings += len(result.Readings)
	}
	if readings != 2500 || steps != 5 {
		t.Errorf("%d readings in %d steps", readings, steps)
	}
}

// FuzzSenML holds any pack, in JSON and CBOR, to what is promised of all messages.
func FuzzSenML(f *testing.F) {
	archive, err := txtar.ParseFile("testdata/senml.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, section := range archive.Files {
		for line := range bytes.Lines(section.Data) {
			f.Add(line)
			if b, ok := senMLInCBOR(f, line); ok {
				f.Add(b)
			}
		}
	}
	set := load(f)
	f.Fuzz(func(t *testing.T, payload []byte) {
		for _, topic := range []string{"senml", "senml/x"} {
			m := mapping.Message{Payload: bytes.Clone(payload), Received: received, Retained: len(payload)%2 == 1}
			result, _ := decode(set, topic, m)
			if !bytes.Equal(m.Payload, payload) {
				t.Fatal("the message was changed")
			}
			if len(result.Readings)+len(result.Rejected) == 0 {
				t.Errorf("nothing became of %q", payload)
			}
			moments := map[string]bool{}
			for _, r := range result.Readings {
				if err := r.Validate(); err != nil {
					t.Errorf("%+v: %v", r, err)
				}
				if moment := fmt.Sprint(r.Device, r.At); r.Stamped == iot.StampDevice {
					if moments[moment] {
						t.Errorf("two readings of %s", moment)
					}
					moments[moment] = true
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
