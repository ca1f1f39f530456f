package payload_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/payload"
)

// FuzzDecode checks what Decode promises for any bytes at all, and compares it with the standard library in
// what is JSON and what it means.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		legacy,
		`[{"device_id":1,"x":1},{"device_id":2,"y":NaN},7]`,
		`{"ts":1767323045678,"values":{"a":1.5e3,"b":"\u00e9\ud83d\ude00"}}`,
		`{"metrics":{"x":true,"y":null},"z":[[{}]]}`,
		`{"time":"2026-01-02T03:04:05","last_seen":1767323045,"x":-Infinity,"y":"nan","z":1e999,"":2,"v":1}`,
		"\xef\xbb\xbf{\"Time\":12,\"datetime\":[],\"x\":\"1\",\"y\":2}\x00\r\n",
		"{\"x\":1,\"\xff\":\"\\ud800\"} x",
	} {
		f.Add([]byte(seed), "42", false)
		f.Add([]byte(seed), "kitchen-1", false)
		f.Add([]byte(seed), "", true)
	}
	f.Fuzz(func(t *testing.T, text []byte, device string, retained bool) {
		m := payload.Message{DeviceID: device, Payload: bytes.Clone(text), Received: received, Retained: retained}
		var out payload.Result
		payload.Decode(m, &out)
		readings, rejections := out.Readings, out.Rejected
		if !bytes.Equal(m.Payload, text) {
			t.Fatal("the payload was changed")
		}
		if len(readings)+len(rejections) == 0 {
			t.Error("neither a reading nor a rejection")
		}
		for _, r := range readings {
			if err := r.Validate(); err != nil {
				t.Errorf("%+v: %v", r, err)
			}
			if retained && r.Stamped != iot.StampDevice {
				t.Errorf("a retained message without a time of its own became %+v", r)
			}
		}
		for _, r := range rejections {
			checkRejection(t, r, m.Payload)
		}
		for _, o := range out.Omitted {
			checkOmitted(t, o)
		}
		if len(readings) == 0 && len(out.Omitted) > 0 {
			t.Errorf("there is no reading, but %+v that it is kept without", out.Omitted)
		}
		agreeOnObjects(t, m, readings, rejections)
		if bytes.Count(text, []byte("["))+bytes.Count(text, []byte("{")) < 5000 { // further than json.Valid goes
			agreeOnSyntax(t, text, rejections)
		}
		if len(readings) == 1 && len(rejections) == 0 && text[bytes.IndexAny(text, "[{")] == '{' {
			agreeOnValues(t, trim(text), readings[0])
		}
	})
}

func checkRejection(t *testing.T, r iot.Rejection, text []byte) {
	t.Helper()
	if r.Reason == "" || r.Detail == "" || len(r.Detail) > 200 || !utf8.ValidString(r.Detail) {
		t.Errorf("unexplained or wordy: %+v", r)
	}
	if len(text) > 0 && (len(r.Bytes) == 0 || lastByte(r.Bytes) != lastByte(text)) {
		t.Errorf("rejected %q, which is no part of the message", r.Bytes)
	}
}

func checkOmitted(t *testing.T, o iot.Omitted) {
	t.Helper()
	if o.Why == "" || len(o.Member) > iot.MaxShownBytes || len(o.Example) > iot.MaxShownBytes || !utf8.ValidString(o.Member+o.Example) {
		t.Errorf("unexplained, wordy or no text: %+v", o)
	}
}

// trim returns text without what may stand around a message.
func trim(text []byte) []byte {
	return bytes.TrimRight(bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")), "\x00 \t\r\n")
}

// notNumbers are the words that may stand where JSON has numbers.
var notNumbers = regexp.MustCompile(`(?i)[+-]?\b(nan|inf|infinity)\b`)

// lastByte returns where the memory that b is a part of ends.
func lastByte(b []byte) *byte { return &b[:cap(b)][cap(b)-1] }

// agreeOnObjects compares a batch with its objects decoded alone: neighbours do not matter.
func agreeOnObjects(t *testing.T, m payload.Message, wantReadings []iot.Reading, wantRejections []iot.Rejection) {
	t.Helper()
	if len(wantRejections) > 0 && len(wantRejections[0].Bytes) == len(m.Payload) {
		return // rejected as a whole
	}
	var alone payload.Result
	for _, object := range payload.Objects(m.Payload) {
		m.Payload = object
		payload.Decode(m, &alone)
	}
	if diff := cmp.Diff(wantReadings, alone.Readings); diff != "" {
		t.Errorf("readings (-in the batch +alone):\n%s", diff)
	}
	notObject := func(r iot.Rejection) bool { return r.Bytes[0] != '{' }
	want, got := slices.DeleteFunc(slices.Clone(wantRejections), notObject), slices.DeleteFunc(alone.Rejected, notObject)
	withoutIndex := cmpopts.IgnoreFields(iot.Rejection{}, "Index")
	if diff := cmp.Diff(want, got, withoutIndex, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("rejections (-in the batch +alone):\n%s", diff)
	}
}

// agreeOnSyntax compares which texts are JSON.
func agreeOnSyntax(t *testing.T, text []byte, rejections []iot.Rejection) {
	t.Helper()
	why := make(map[iot.Reason]bool)
	for _, r := range rejections {
		why[r.Reason] = true
	}
	broken := why[iot.ReasonInvalidJSON] || why[iot.ReasonTrailingBytes] || why[iot.ReasonNotANumber]
	valid := json.Valid(trim(text))
	if valid && broken && !notNumbers.Match(text) {
		t.Errorf("valid JSON was rejected: %+v", rejections)
	}
	if !valid && len(rejections) == 0 && !json.Valid(notNumbers.ReplaceAll(trim(text), []byte("0"))) {
		t.Error("invalid JSON was read")
	}
}

// agreeOnValues compares a reading with what the standard library finds in its text.
func agreeOnValues(t *testing.T, text []byte, r iot.Reading) {
	t.Helper()
	var members map[string]any
	if err := json.Unmarshal(text, &members); err != nil {
		if !notNumbers.Match(text) && !strings.Contains(err.Error(), "cannot unmarshal number") {
			t.Fatal(err)
		}
		return
	}
	want := make(map[string][]any) // of several, all but one are null or none that a member can be
	for name, value := range members {
		want[name] = append(want[name], value)
		if object, ok := value.(map[string]any); ok && (name == "metrics" || name == "values") {
			for name, value := range object {
				want[name] = append(want[name], value)
			}
		}
	}
	for _, m := range r.Metrics {
		w := want[m.Name]
		isBool := (m.Value == 0 || m.Value == 1) && slices.Contains(w, any(m.Value == 1))
		if !isBool && !slices.Contains(w, any(m.Value)) {
			t.Errorf("metric %q is %v, want %v", m.Name, m.Value, w)
		}
	}
	for _, a := range r.Attributes {
		if w := want[a.Name]; !slices.Contains(w, any(a.Value)) {
			t.Errorf("attribute %q is %q, want %v", a.Name, a.Value, w)
		}
	}
}

// FuzzNumber compares numbers as metrics with strconv, to the bit, and as device ids and timestamps with
// exact arithmetic.
func FuzzNumber(f *testing.F) {
	for _, seed := range []string{
		"0", "-0", "21.5", "1e22", "1e23", "9007199254740993", "123456789012345678901234567890e-20", "4.2e1",
		"1.7976931348623158e308", "5e-324", "2.4703282292062327e-324", "1767323045.678", "17673230456780000000e-7",
		"0.000000000000000000000000000001", "8.41e21", "9.5367431640625e-7", "1767323045678901234",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if text == "" || text[0] != '-' && (text[0] < '0' || text[0] > '9') || !json.Valid([]byte(text)) || strings.ContainsAny(text, " \t\r\n") {
			t.Skip("not a number")
		}
		readings, rejections := decode(`{"x":` + text + `}`)
		if want, err := strconv.ParseFloat(text, 64); err != nil {
			if len(rejections) != 1 || rejections[0].Reason != iot.ReasonNumberOutOfRange {
				t.Errorf("%s is out of range, got %+v and %+v", text, readings, rejections)
			}
		} else if got := readings[0].Metrics[0].Value; math.Float64bits(got) != math.Float64bits(want) {
			t.Errorf("%s was read as %b, want %b", text, got, want)
		}

		if _, exponent, _ := strings.Cut(strings.ToLower(text), "e"); len(exponent) > 4 {
			return // exact arithmetic on it would take all memory
		}
		exact, ok := new(big.Rat).SetString(text)
		if !ok {
			t.Fatal(text)
		}
		agreeOnDeviceID(t, text, exact)
		agreeOnEpoch(t, text, exact)
	})
}

func agreeOnDeviceID(t *testing.T, text string, exact *big.Rat) {
	t.Helper()
	want := iot.DeviceID(0)
	if exact.IsInt() && exact.Num().IsInt64() && iot.DeviceID(exact.Num().Int64()).Valid() {
		want = iot.DeviceID(exact.Num().Int64())
	}
	m := payload.Message{Payload: []byte(`{"x":1,"device_id":` + text + `}`), Received: received}
	got, rejections := decodeMessage(m)
	switch {
	case want == 0 && (len(got) > 0 || rejections[0].Reason != iot.ReasonInvalidDeviceID):
		t.Errorf("%s is no device id, got %+v and %+v", text, got, rejections)
	case want != 0 && (len(got) != 1 || got[0].Device != want):
		t.Errorf("%s is a device id, got %+v and %+v", text, got, rejections)
	}
}

func agreeOnEpoch(t *testing.T, text string, exact *big.Rat) {
	t.Helper()
	want := received
	for _, unit := range []struct{ below, perMilli int64 }{{1e11, -3}, {1e14, 0}, {1e17, 3}, {math.MaxInt64, 6}} {
		if exact.Cmp(new(big.Rat).SetInt64(unit.below)) >= 0 {
			continue
		}
		scale := new(big.Rat).SetFloat64(math.Pow10(int(max(unit.perMilli, -unit.perMilli))))
		if unit.perMilli > 0 {
			scale.Inv(scale)
		}
		millis := new(big.Rat).Mul(exact, scale)
		if ms := new(big.Int).Quo(millis.Num(), millis.Denom()); ms.IsInt64() {
			at := time.UnixMilli(ms.Int64()).UTC()
			if !at.Before(iot.MinTime) && at.Sub(received) <= iot.MaxAhead {
				want = at
			}
		}
		break
	}
	for _, form := range []string{"%s", "%q"} {
		got, rejections := decode(fmt.Sprintf(`{"x":1,"timestamp":`+form+`}`, text))
		if len(got) != 1 || !got[0].At.Equal(want) {
			t.Errorf("timestamp %s: got %+v and %+v, want %v", text, got, rejections, want)
		}
	}
}

// rfc3339 is what RFC 3339 allows; time.Parse allows some more. It leaves leap seconds out.
var rfc3339 = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:[0-5]\d(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$`)

// FuzzTimestamp compares timestamps with the standard library's reader of RFC 3339.
func FuzzTimestamp(f *testing.F) {
	for _, seed := range []string{
		"2026-01-02T03:04:05.678Z", "2024-02-29T23:59:59+05:30", "2000-01-01T00:00:00.000000001-00:00",
		"20260102T030405Z", "2026-01-02 03:04", "1767323045.678", "2025-12-31T23:59:60Z",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		quoted, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		readings, rejections := decode(fmt.Sprintf(`{"x":1,"timestamp":%s}`, quoted))
		if len(readings) != 1 {
			t.Fatalf("a timestamp %q costs the reading: %+v", text, rejections)
		}
		r := readings[0]
		if err := r.Validate(); err != nil {
			t.Error(err)
		}
		if err := json.Unmarshal(quoted, &text); err != nil { // as characters
			t.Fatal(err)
		}
		if said := strings.ToValidUTF8(text[:min(len(text), iot.MaxSaidBytes)], ""); (r.Stamped == iot.StampServer) != (r.Said != "" || said == "") || r.Said != "" && r.Said != said {
			t.Errorf("%q: %q is kept of it, stamped by the %v", text, r.Said, r.Stamped)
		}
		if r.Stamped == iot.StampServer && !r.At.Equal(received) {
			t.Errorf("%q: stamped by the server at %v, which is not the time of receipt", text, r.At)
		}
		if !rfc3339.MatchString(text) {
			return // Decode reads more than this
		}
		want, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return // no such day
		}
		want = time.UnixMilli(want.UnixMilli()).UTC()
		if want.Before(iot.MinTime) || want.Sub(received) > iot.MaxAhead {
			want = received
		}
		if !r.At.Equal(want) {
			t.Errorf("%q was read as %v, want %v", text, r.At, want)
		}
	})
}
