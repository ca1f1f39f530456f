package payload_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/payload"
)

// elements are what a batch may hold, and no syntax error.
var elements = []string{
	`{"x":1}`, `{"device_id":42,"temperature":21.5,"room":"lab"}`, ` {"values":{"a":1},"ts":1767323045678} `, `{"x":NaN}`,
	`1`, `"text"`, `null`, `[[1],{"x":2}]`, `{}`, `{"x":1,"x":2}`, `{"x":"` + strings.Repeat("text ", 200) + `","y":1}`,
}

// steps decodes text in steps, and returns how many readings and rejections each gave.
func steps(t *testing.T, text string) (sizes []int, readings []iot.Reading, rejected []iot.Rejection) {
	t.Helper()
	var d payload.Decoder
	d.Start(payload.Message{DeviceID: "42", Payload: []byte(text), Received: received})
	var out payload.Result
	for before := 0; d.More(); before = len(out.Readings) + len(out.Rejected) {
		d.Next(&out)
		sizes = append(sizes, len(out.Readings)+len(out.Rejected)-before)
	}
	return sizes, out.Readings, out.Rejected
}

func TestLongBatches(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	long := make([]string, 4000)
	var wantReadings []iot.Reading
	var wantRejected []iot.Reason
	for i := range long {
		long[i] = elements[r.IntN(len(elements))]
		_, readings, rejected := steps(t, "["+long[i]+"]")
		wantReadings = append(wantReadings, readings...)
		for _, r := range rejected {
			wantRejected = append(wantRejected, r.Reason)
		}
	}
	t.Run("become what their elements would alone, in steps", func(t *testing.T) {
		sizes, readings, rejected := steps(t, "["+strings.Join(long, ",")+"]")
		var reasons []iot.Reason
		for _, r := range rejected {
			reasons = append(reasons, r.Reason)
		}
		if !cmp.Equal(wantReadings, readings) || !slices.Equal(wantRejected, reasons) {
			t.Errorf("%d readings and %d rejections, which are not the %d and %d of the elements",
				len(readings), len(rejected), len(wantReadings), len(wantRejected))
		}
		for _, n := range sizes {
			if n > 1000 {
				t.Errorf("a step of %d", n)
			}
		}
	})
	t.Run("with a mistake anywhere become one rejection, and nothing else", func(t *testing.T) {
		for range 30 {
			text := "[" + strings.Join(long, ",") + "]"
			at := r.IntN(len(text))
			text = text[:at] + "\x00" + text[at:]
			sizes, readings, rejected := steps(t, text)
			if len(sizes) != 1 || len(readings) > 0 || len(rejected) != 1 || string(rejected[0].Bytes) != text {
				t.Fatalf("a mistake in byte %d: %d steps, %d readings, %d rejections", at, len(sizes), len(readings), len(rejected))
			}
		}
	})
	t.Run("of few bytes take several steps", func(t *testing.T) {
		if sizes, _, _ := steps(t, "["+strings.Repeat("1,", 9999)+"1]"); len(sizes) < 10 {
			t.Errorf("%d steps", len(sizes))
		}
	})
}
