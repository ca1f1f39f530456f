package event_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/iot"
)

func TestDecodeLegacyJSON(t *testing.T) {
	const legacy = `{"device_id": 42, "temperature": 21.5, "humidity": 40.25, "timestamp": "2026-01-02T12:00:00.678Z"}`
	want := reading()
	for _, contentType := range []string{"", "application/json", "Application/JSON", " application/json ; charset=utf-8"} {
		t.Run(fmt.Sprintf("content type %q", contentType), func(t *testing.T) {
			expectReading(t, record(contentType, []byte(legacy)), want)
		})
	}
	t.Run("a reading without a timestamp takes the record's, each time", func(t *testing.T) {
		want := want
		want.Stamped = iot.StampServer
		rec := record("", []byte(`{"device_id":42,"temperature":21.5,"humidity":40.25}`))
		out, _ := event.Decode(rec, nil)
		if want.Origin = out[0].Origin; want.Origin == 0 {
			t.Error("it has no origin")
		}
		expectReading(t, rec, want)
	})
	t.Run("a record without a timestamp counts as received now", func(t *testing.T) {
		for _, none := range []time.Time{{}, time.UnixMilli(-1), time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)} {
			rec := record("", []byte(`{"device_id":42,"temperature":21.5}`))
			rec.Timestamp = none
			start := time.Now().Truncate(time.Millisecond)
			out, rejected := event.Decode(rec, nil)
			if len(out) != 1 || out[0].At.Before(start) || out[0].At.After(time.Now()) || out[0].Validate() != nil {
				t.Errorf("got %+v and %+v", out, rejected)
			}
		}
	})
	t.Run("readings of a device in one record that have no timestamp differ in time, the same each time", func(t *testing.T) {
		rec := record("", []byte(`[{"device_id":1,"x":1},{"device_id":2,"x":2},{"device_id":1,"x":3}]`))
		origins := map[uint64]bool{0: true}
		for range 2 {
			out, _ := event.Decode(rec, []iot.Reading{{Device: 1, Stamped: iot.StampServer, At: noon}}) // of another record
			var got []time.Duration
			for _, r := range out[1:] {
				got = append(got, r.At.Sub(noon))
				origins[r.Origin] = true
			}
			if diff := cmp.Diff([]time.Duration{0, 0, time.Millisecond}, got); diff != "" {
				t.Errorf("times after the record's (-want +got):\n%s", diff)
			}
		}
		if len(origins) != 4 {
			t.Errorf("origins %v, want 3 different ones", origins)
		}
	})
	t.Run("a batch gives its readings and rejections", func(t *testing.T) {
		rec := record("", []byte(`[{"device_id":1,"x":1},{"device_id":2},{"device_id":3,"x":3},{"x":4}]`))
		out, rejected := event.Decode(rec, nil)
		if len(out) != 2 || out[0].Device != 1 || out[1].Device != 3 {
			t.Errorf("readings %+v", out)
		}
		want := []iot.Rejection{
			{Reason: iot.ReasonNoMetrics, Device: 2, Index: 1, Bytes: []byte(`{"device_id":2}`)},
			{Reason: iot.ReasonMissingDeviceID, Device: 42, Index: 3, Bytes: []byte(`{"x":4}`)}, // 42 is the record's key
		}
		for i := range rejected {
			rejected[i].Detail = ""
		}
		if diff := cmp.Diff(want, rejected); diff != "" {
			t.Errorf("rejections (-want +got):\n%s", diff)
		}
	})
}

func TestOtherContentTypesAreRejected(t *testing.T) {
	for _, contentType := range []string{"text/plain", "application/x-protobuf2", "application/jsonp", "\xff", strings.Repeat("x", 1000)} {
		t.Run(fmt.Sprintf("%.20q", contentType), func(t *testing.T) {
			expectRejection(t, record(contentType, []byte("anything")), iot.ReasonUnknownContentType)
		})
	}
	t.Run("parameters and case are not another type", func(t *testing.T) {
		expectReading(t, record("Application/X-Protobuf; messageType=telltale.v1.Reading", marshal(t, toProto(reading()))), reading())
	})
}
