package contract

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	telltalev1 "github.com/telltale-iot/telltale/proto/telltale/v1"
)

const protobufType = "application/x-protobuf"

func TestRecord(t *testing.T) {
	t.Parallel()
	device, before := newDevice(), time.Now()
	publish(t, topicOf(device), `{"temperature": 21.5, "site": "x", "pressure": 1013, "door": true, "area": "y", "timestamp": "2024-02-29T12:34:56.789Z"}`)
	r := produced(t, device, 1)[0]
	t.Run("the key is the device id in decimal ASCII", func(t *testing.T) {
		if want := strconv.FormatInt(device, 10); string(r.Key) != want {
			t.Errorf("key %q, want %q", r.Key, want)
		}
	})
	t.Run("the only header is content-type", func(t *testing.T) {
		if diff := gocmp.Diff(map[string]string{"content-type": protobufType}, r.headers); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("the value is a telltale.v1.Reading, sorted by name", func(t *testing.T) {
		got := new(telltalev1.Reading)
		if err := proto.Unmarshal(r.Value, got); err != nil {
			t.Fatal(err)
		}
		received := time.UnixMilli(got.ReceivedAtMs)
		if received.Before(before.Add(-time.Minute)) || received.After(time.Now().Add(time.Minute)) {
			t.Errorf("received_at_ms is %v", received)
		}
		want := &telltalev1.Reading{
			DeviceId: device, TimestampMs: time.Date(2024, 2, 29, 12, 34, 56, 789e6, time.UTC).UnixMilli(), ReceivedAtMs: got.ReceivedAtMs,
			TimestampSource: telltalev1.TimestampSource_TIMESTAMP_SOURCE_DEVICE,
			Metrics:         []*telltalev1.Metric{{Name: "door", Value: 1}, {Name: "pressure", Value: 1013}, {Name: "temperature", Value: 21.5}},
			Attributes:      []*telltalev1.Attribute{{Name: "area", Value: "y"}, {Name: "site", Value: "x"}},
			Topic:           topicOf(device), ClientId: got.ClientId, // which nobody knows behind a broker
		}
		if diff := gocmp.Diff(want, got, protocmp.Transform()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestConsumers(t *testing.T) {
	for _, test := range []struct {
		name, value string // D is the device
		headers     []string
		keyless     bool
	}{
		{"legacy JSON without a content type", `{"device_id": %d, "temperature": 21.5, "humidity": 40, "timestamp": "2024-02-29T12:34:56.789000"}`, nil, false},
		{"legacy JSON with application/json", `{"device_id": "%d", "temperature": 21.5, "humidity": 40, "timestamp": "2024-02-29 12:34:56.789"}`, []string{"content-type", "application/json"}, false},
		{"legacy JSON without a key", `{"device_id": %d, "temperature": 21.5, "humidity": 40, "timestamp": 1709210096789}`, nil, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			device := newDevice()
			key := strconv.FormatInt(device, 10)
			if test.keyless {
				key = ""
			}
			produce(t, key, fmt.Sprintf(test.value, device), test.headers...)
			consumed(t, device, "2024-02-29T12:34:56.789Z")
		})
	}
	t.Run("protobuf of another program", func(t *testing.T) {
		t.Parallel()
		device := newDevice()
		value, err := proto.Marshal(&telltalev1.Reading{DeviceId: device, TimestampMs: 1709210096789, ReceivedAtMs: time.Now().UnixMilli(),
			TimestampSource: telltalev1.TimestampSource_TIMESTAMP_SOURCE_DEVICE,
			Metrics:         []*telltalev1.Metric{{Name: "humidity", Value: 40}, {Name: "temperature", Value: 21.5}}})
		if err != nil {
			t.Fatal(err)
		}
		produce(t, strconv.FormatInt(device, 10), string(value), "content-type", protobufType)
		consumed(t, device, "2024-02-29T12:34:56.789Z")
	})
}

// consumed checks that all three groups have taken the one reading of a device: 21.5 °C, 40 %.
func consumed(t *testing.T, device int64, timestamp string) {
	t.Helper()
	waitForConsumers(t)
	got := readingsOf(t, device)
	if len(got) != 1 {
		t.Fatalf("%d readings stored, want 1", len(got))
	}
	if r := got[0]; r.Time != timestamp || r.Temperature == nil || *r.Temperature != 21.5 || r.Humidity == nil || *r.Humidity != 40 {
		t.Errorf("stored %+v", r)
	}
	if got := call(t, "GET", fmt.Sprintf("/api/devices/%d/latest/", device), ""); got.status != 200 {
		t.Errorf("latest: %d %s", got.status, got.body)
	}
	if got := call(t, "GET", fmt.Sprintf("/api/devices/%d/", device), ""); got.status != 200 {
		t.Errorf("the device is not registered: %d %s", got.status, got.body)
	}
}

func TestRejectedRecords(t *testing.T) {
	for _, test := range []struct {
		name, value, reason string // D is the device; no reason: more than one is right
		headers             []string
	}{
		{"an unknown content type", `<temperature>1</temperature>`, "unknown_content_type", []string{"content-type", "text/xml"}},
		{"what is no protobuf", "\xff\xff\xff", "invalid_protobuf", []string{"content-type", protobufType}},
		{"protobuf without a device", "\x10\x01", "", []string{"content-type", protobufType}},
		{"an empty value that is said to be protobuf", "", "", []string{"content-type", protobufType}},
		{"what is no JSON", "{", "invalid_json", nil},
		{"nothing", "", "invalid_json", nil},
		{"legacy JSON without a device", `{"temperature": 1}`, "missing_device_id", nil},
		{"legacy JSON without a metric", `{"device_id": D}`, "no_metrics", []string{"content-type", "application/json"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			key := strconv.FormatInt(newDevice(), 10)
			value := strings.ReplaceAll(test.value, "D", key)
			source := produce(t, key, value, test.headers...)
			waitForConsumers(t)
			deadLetters := waitForDeadLetters(t, source, 1)
			if len(deadLetters) != 1 {
				t.Errorf("%d dead letters, want one, though three groups consume", len(deadLetters))
			}
			rec := deadLetters[0]
			checkDeadLetter(t, rec, value, cmp.Or(test.reason, rec.headers["reason"]))
			if string(rec.Key) != key {
				t.Errorf("key %q, want the source's %q", rec.Key, key)
			}
		})
	}
}
