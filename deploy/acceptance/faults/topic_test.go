package main

import (
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/protobuf/proto"

	"github.com/telltale-iot/telltale/deploy/acceptance/ledger"
	"github.com/telltale-iot/telltale/pkg/iot"
	telltalev1 "github.com/telltale-iot/telltale/proto/telltale/v1"
)

func TestOrder(t *testing.T) {
	f := &fleet{first: 7, size: fleetOf{devices: 2}}
	for name, test := range map[string]struct {
		of       map[iot.DeviceID][]int64
		repeated int
		wrong    bool
	}{
		"in the order of publishing":                 {map[iot.DeviceID][]int64{7: {1, 2, 3}, 8: {2, 3}}, 0, false},
		"sent again":                                 {map[iot.DeviceID][]int64{7: {1, 2, 3, 2, 3, 4}}, 2, false},
		"an older one for the first time":            {map[iot.DeviceID][]int64{7: {1, 3, 2}}, 0, true},
		"devices of another fleet are not looked at": {map[iot.DeviceID][]int64{9: {3, 2, 2}}, 0, false},
	} {
		repeated, err := records{dated: test.of}.order(f)
		if repeated != test.repeated || (err != nil) != test.wrong {
			t.Errorf("%s: %d repeated, error %v", name, repeated, err)
		}
	}
}

func TestComplete(t *testing.T) {
	l, err := ledger.Parse(strings.NewReader(
		`{"event":"sent","reading":{"device_id":7,"temperature":1,"timestamp":"2026-03-01T12:00:01Z"}}` + "\n" +
			`{"event":"acknowledged","reading":{"device_id":7,"temperature":1,"timestamp":"2026-03-01T12:00:01Z"}}` + "\n" +
			`{"event":"sent","reading":{"device_id":7,"temperature":1,"timestamp":"2026-03-01T12:00:02Z"}}` + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 3, 1, 12, 0, 1, 0, time.UTC)
	there := records{dated: map[iot.DeviceID][]int64{7: {at.UnixMilli()}}}
	missing := records{dated: map[iot.DeviceID][]int64{7: {at.Add(time.Second).UnixMilli()}, 8: {at.UnixMilli()}}}
	for _, test := range []struct {
		name  string
		of    records
		since time.Time
		wrong bool
	}{
		{"what was acknowledged is there", there, time.Time{}, false},
		{"one is not", missing, time.Time{}, true},
		{"one is not that was dated before the topic was made anew", missing, at.Add(time.Millisecond), false},
	} {
		if err := test.of.complete(l, test.since); (err != nil) != test.wrong {
			t.Errorf("%s: error %v", test.name, err)
		}
	}
}

func TestUndecodable(t *testing.T) {
	reading, err := proto.Marshal(&telltalev1.Reading{DeviceId: 7, TimestampMs: 1, TimestampSource: telltalev1.TimestampSource_TIMESTAMP_SOURCE_DEVICE})
	if err != nil {
		t.Fatal(err)
	}
	const legacy = `{"device_id": 7, "temperature": 1, "timestamp": "2026-03-01T12:00:01Z"}`
	for _, test := range []struct {
		name, contentType, value string
		undecodable              int
	}{
		{"a reading", "application/x-protobuf", string(reading), 0},
		{"a reading cut off", "application/x-protobuf", string(reading[:len(reading)-1]), 1},
		{"nothing", "application/x-protobuf", "", 1},
		{"JSON as protobuf", "application/x-protobuf", legacy, 1},
		{"legacy JSON", "", legacy, 0},
		{"legacy JSON that says so", "application/json", legacy, 0},
		{"JSON that is no reading", "", `{"device_id": 7}`, 1},
		{"a reading as a picture", "image/png", string(reading), 1},
	} {
		all := records{dated: map[iot.DeviceID][]int64{}}
		r := &kgo.Record{Value: []byte(test.value)}
		if test.contentType != "" {
			r.Headers = []kgo.RecordHeader{{Key: "content-type", Value: []byte(test.contentType)}}
		}
		all.add(r)
		if all.undecodable != test.undecodable || len(all.dated) != 1-test.undecodable {
			t.Errorf("%s: %+v", test.name, all)
		}
		if all.err(test.undecodable) != nil || all.err(1-test.undecodable) == nil {
			t.Errorf("%s: errors are %v, %v", test.name, all.err(test.undecodable), all.err(1-test.undecodable))
		}
	}
}
