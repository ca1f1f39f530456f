package event_test

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka"
	telltalev1 "github.com/telltale-iot/telltale/proto/telltale/v1"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, int(678*time.Millisecond), time.UTC)

// reading is what the legacy payload says, in a record of noon.
func reading() iot.Reading {
	return iot.Reading{
		Device: 42, At: noon, Received: noon, Stamped: iot.StampDevice,
		Metrics: []iot.Metric{{Name: iot.Humidity, Value: 40.25}, {Name: iot.Temperature, Value: 21.5}},
	}
}

// randomReading is any valid reading.
func randomReading(r *rand.Rand) iot.Reading {
	out := iot.Reading{
		Device:  iot.DeviceID(1 + r.Int64N(int64(iot.MaxDeviceID)>>r.IntN(52))),
		At:      time.UnixMilli(1 + r.Int64N(253402300799999>>r.IntN(40))).UTC(),
		Stamped: iot.Stamp(r.IntN(3)),
	}
	out.Received = time.UnixMilli(out.At.UnixMilli() + r.Int64N(253402300800000-out.At.UnixMilli())).UTC()
	if out.Stamped == iot.StampServer {
		out.Origin = 1 + r.Uint64()>>(1+r.IntN(63))
		out.Said = strings.Repeat("ß", r.IntN(32))
	}
	if r.IntN(2) == 0 {
		out.Key = "key " + strings.Repeat("ü", r.IntN(100))
		out.Device = iot.KeyID(out.Key)
	}
	for i := range 1 + r.IntN(12) {
		value := math.Float64frombits(r.Uint64())
		if r.IntN(4) == 0 || math.IsNaN(value) || math.IsInf(value, 0) {
			value = []float64{0, math.Copysign(0, -1), 1, 21.5}[r.IntN(4)]
		}
		out.Metrics = append(out.Metrics, iot.Metric{Name: fmt.Sprintf("%c %s", 'a'+i, strings.Repeat("ü", r.IntN(100))), Value: value})
	}
	for i := range r.IntN(4) {
		out.Attributes = append(out.Attributes, iot.Attribute{Name: fmt.Sprint(i), Value: strings.Repeat("é", r.IntN(300))})
	}
	return out
}

// toProto is r by way of the generated code.
func toProto(r iot.Reading) *telltalev1.Reading {
	out := &telltalev1.Reading{
		DeviceId:        int64(r.Device),
		TimestampMs:     r.At.UnixMilli(),
		ReceivedAtMs:    r.Received.UnixMilli(),
		TimestampSource: telltalev1.TimestampSource(r.Stamped),
		Origin:          r.Origin,
		DeviceKey:       r.Key,
		DeviceTimestamp: r.Said,
	}
	for _, m := range r.Metrics {
		out.Metrics = append(out.Metrics, &telltalev1.Metric{Name: m.Name, Value: m.Value})
	}
	for _, a := range r.Attributes {
		out.Attributes = append(out.Attributes, &telltalev1.Attribute{Name: a.Name, Value: a.Value})
	}
	return out
}

func marshal(tb testing.TB, m proto.Message) []byte {
	tb.Helper()
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// record is a Kafka record with a content type, "" for none.
func record(contentType string, value []byte) *kafka.Record {
	rec := &kafka.Record{Topic: "raw-data", Partition: 3, Offset: 7, Key: []byte("42"), Value: value, Timestamp: noon}
	if contentType != "" {
		rec.Headers = []kafka.Header{{Key: "content-type", Value: []byte(contentType)}}
	}
	return rec
}

func TestRecord(t *testing.T) {
	rec := event.Record("raw-data", reading())
	want := kafka.Record{
		Topic:   "raw-data",
		Key:     []byte("42"),
		Value:   marshal(t, toProto(reading())),
		Headers: []kafka.Header{{Key: "content-type", Value: []byte("application/x-protobuf")}},
	}
	if diff := cmp.Diff(want, rec); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	again := event.RecordAgain("raw-data", reading(), event.Source{})
	want.Headers = append(want.Headers, kafka.Header{Key: "received_at", Value: []byte("2026-01-02T12:00:00.678Z")})
	if diff := cmp.Diff(want, again); diff != "" {
		t.Errorf("again (-want +got):\n%s", diff)
	}
}

func TestSourceInARecord(t *testing.T) {
	longest := strings.Repeat("ü", 128)
	for _, tt := range []struct{ topic, client, wantTopic, wantClient string }{
		{"sensors/42/data", "a client", "sensors/42/data", "a client"},
		{"sensors/42/data", "", "sensors/42/data", ""},
		{longest, longest, longest, longest},
		{longest + "x", "a client", "", "a client"},
		{"\xff", "\xff", "", ""},
	} {
		from := event.NewSource(tt.topic, tt.client)
		rec := event.RecordFrom("raw-data", reading(), from)
		want := toProto(reading())
		want.Topic, want.ClientId = tt.wantTopic, tt.wantClient
		if !bytes.Equal(rec.Value, marshal(t, want)) || from.Len() != len(want.Topic)+len(want.ClientId) {
			t.Errorf("%q and %q: %d bytes, in a record %x", tt.topic, tt.client, from.Len(), rec.Value)
		}
		rec.Timestamp = noon
		expectReading(t, &rec, reading())
	}
}

func TestNeighboursShareNamesAndKeys(t *testing.T) {
	r := reading()
	r.Key, r.Device = "kitchen-1", iot.KeyID("kitchen-1")
	rec := event.Record("raw-data", r)
	out := make([]iot.Reading, 1, 2)
	out[0] = r
	if n := testing.AllocsPerRun(100, func() { event.Decode(&rec, out) }); n != 1 { // the slice of metrics
		t.Errorf("%v allocations for a reading, want 1", n)
	}
}

func TestKeyAndValueCanBeAppendedTo(t *testing.T) {
	rec := event.Record("raw-data", reading())
	_ = append(rec.Value, "xxx"...)
	if string(rec.Key) != "42" {
		t.Errorf("appending to the value made the key %q", rec.Key)
	}
}

func TestAnyReadingIsWrittenAsTheGeneratedCodeWritesItAndReadBack(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var before []iot.Reading
	for range 1000 {
		want := randomReading(r)
		if err := want.Validate(); err != nil {
			t.Fatal(err)
		}
		rec := event.Record("raw-data", want)
		rec.Timestamp = want.Received
		if generated := marshal(t, toProto(want)); !bytes.Equal(generated, rec.Value) {
			t.Fatalf("%+v: bytes differ from the generated code's:\n%x\n%x", want, generated, rec.Value)
		}
		out, rejected := event.Decode(&rec, before)
		if len(rejected) > 0 {
			t.Fatalf("%+v: rejected %+v", want, rejected)
		}
		if diff := cmp.Diff(want, out[len(out)-1]); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
		before = out
	}
}

func TestDecodeProtobuf(t *testing.T) {
	t.Run("what other producers do not sort is sorted", func(t *testing.T) {
		m := toProto(reading())
		m.Metrics[0], m.Metrics[1] = m.Metrics[1], m.Metrics[0]
		m.Attributes = []*telltalev1.Attribute{{Name: "b", Value: "2"}, {Name: "a", Value: "1"}}
		want := reading()
		want.Attributes = []iot.Attribute{{Name: "a", Value: "1"}, {Name: "b", Value: "2"}}
		expectReading(t, record("application/x-protobuf", marshal(t, m)), want)
	})
	t.Run("fields of a later version are passed over", func(t *testing.T) {
		later := []byte("\x7a\x03new" + "\xf8\x07\x05" + "\x7d\x01\x02\x03\x04" + "\x7b\x08\x01\x7c")
		m := toProto(reading())
		m.ProtoReflect().SetUnknown(later)
		m.Metrics[0].ProtoReflect().SetUnknown(later)
		expectReading(t, record("application/x-protobuf", marshal(t, m)), reading())
	})
	t.Run("fields of another type are passed over", func(t *testing.T) {
		expectReading(t, record("application/x-protobuf", append(marshal(t, toProto(reading())), "\x0a\x01x"...)), reading())
	})
	t.Run("an unknown timestamp source is none", func(t *testing.T) {
		m := toProto(reading())
		m.TimestampSource = 9
		want := reading()
		want.Stamped = iot.StampUnknown
		expectReading(t, record("application/x-protobuf", marshal(t, m)), want)
	})
	t.Run("a reading was received when its record came, whatever the producer says", func(t *testing.T) {
		for _, claimed := range []time.Duration{-time.Hour, time.Hour} {
			m := toProto(reading())
			m.ReceivedAtMs += claimed.Milliseconds()
			expectReading(t, record("application/x-protobuf", marshal(t, m)), reading())
		}
	})
	t.Run("or when a header says that it arrived before", func(t *testing.T) {
		rec := record("application/x-protobuf", marshal(t, toProto(reading())))
		want := reading()
		want.Again = true
		for value, received := range map[string]time.Time{
			"2026-01-02T11:58:00Z": noon.Add(-2*time.Minute - 678*time.Millisecond),
			"2026-01-03T12:00:00Z": noon, "yesterday": noon,
		} {
			rec.Headers = append(rec.Headers[:1], kafka.Header{Key: "received_at", Value: []byte(value)})
			want.Received = received
			expectReading(t, rec, want)
		}
	})
	t.Run("a record without a time leaves the one that the producer says", func(t *testing.T) {
		rec := record("application/x-protobuf", marshal(t, toProto(reading())))
		rec.Timestamp = time.Time{}
		expectReading(t, rec, reading())
	})
	t.Run("what is dated more than 5 minutes after its arrival takes that time, whoever dated it", func(t *testing.T) {
		m := toProto(reading())
		m.TimestampMs = noon.Add(iot.MaxAhead).UnixMilli()
		want := reading()
		want.At = noon.Add(iot.MaxAhead)
		expectReading(t, record("application/x-protobuf", marshal(t, m)), want)
		origins := map[uint64]bool{}
		for i, millis := range []int64{m.TimestampMs + 1, noon.AddDate(0, 0, 1).UnixMilli(), math.MaxInt64} {
			for _, source := range []iot.Stamp{iot.StampUnknown, iot.StampDevice, iot.StampServer} {
				m.TimestampMs, m.TimestampSource, m.Origin = millis, telltalev1.TimestampSource(source), 7
				rec := record("application/x-protobuf", marshal(t, m))
				rec.Offset = int64(10*i) + int64(source)
				out, _ := event.Decode(rec, nil)
				want := reading()
				want.Stamped, want.Origin = iot.StampServer, out[0].Origin
				if source != iot.StampServer {
					want.Said = time.UnixMilli(millis).UTC().Format("2006-01-02T15:04:05.000Z")
				}
				expectReading(t, rec, want) // with the same origin again
				origins[want.Origin] = true
			}
		}
		if len(origins) != 9 || origins[0] || origins[7] {
			t.Errorf("origins %v, want 9 different ones", origins)
		}
	})
	t.Run("what the device itself gave as its time is kept", func(t *testing.T) {
		m := toProto(reading())
		m.TimestampMs, m.DeviceTimestamp = noon.AddDate(0, 0, 1).UnixMilli(), "tomorrow"
		out, _ := event.Decode(record("application/x-protobuf", marshal(t, m)), nil)
		if len(out) != 1 || out[0].Said != "tomorrow" {
			t.Errorf("got %+v", out)
		}
	})
	t.Run("a device with a key", func(t *testing.T) {
		m, want := toProto(reading()), reading()
		want.Key, want.Device = "kitchen-1", 7380597148161619 // see package iot's test
		m.DeviceKey, m.DeviceId = "kitchen-1", 7380597148161619
		expectReading(t, record("application/x-protobuf", marshal(t, m)), want)
	})
	t.Run("what a server stamped keeps its origin, or has one of its place", func(t *testing.T) {
		m := toProto(reading())
		m.TimestampSource, m.Origin = telltalev1.TimestampSource_TIMESTAMP_SOURCE_SERVER, 7
		want := reading()
		want.Stamped, want.Origin = iot.StampServer, 7
		rec := record("application/x-protobuf", marshal(t, m))
		expectReading(t, rec, want)
		m.Origin = 0
		origins := map[uint64]bool{0: true}
		for range 3 {
			rec := record("application/x-protobuf", marshal(t, m))
			rec.Offset, rec.Partition = int64(len(origins)/2), int32(len(origins)%2)
			out, _ := event.Decode(rec, nil)
			want.Origin = out[0].Origin
			expectReading(t, rec, want)
			origins[want.Origin] = true
		}
		if len(origins) != 4 {
			t.Errorf("origins %v, want 3 different ones", origins)
		}
	})

	for _, tt := range []struct {
		name   string
		change func(*telltalev1.Reading)
	}{
		{"no device", func(m *telltalev1.Reading) { m.DeviceId = 0 }},
		{"a device id out of range", func(m *telltalev1.Reading) { m.DeviceId = 1 << 53 }},
		{"the key of another device", func(m *telltalev1.Reading) { m.DeviceKey = "kitchen-1" }},
		{"an id as the key", func(m *telltalev1.Reading) { m.DeviceKey = "42" }},
		{"a long device timestamp", func(m *telltalev1.Reading) { m.DeviceTimestamp = strings.Repeat("1", 65) }},
		{"no timestamp", func(m *telltalev1.Reading) { m.TimestampMs = 0 }},
		{"a timestamp before 1970", func(m *telltalev1.Reading) { m.TimestampMs = -1 }},
		{"no metrics", func(m *telltalev1.Reading) { m.Metrics = nil }},
		{"a metric twice", func(m *telltalev1.Reading) { m.Metrics = append(m.Metrics, m.Metrics[0]) }},
		{"a metric without a name", func(m *telltalev1.Reading) { m.Metrics[0].Name = "" }},
		{"a metric that is not a number", func(m *telltalev1.Reading) { m.Metrics[0].Value = math.NaN() }},
		{"an infinite metric", func(m *telltalev1.Reading) { m.Metrics[0].Value = math.Inf(-1) }},
		{"an attribute twice", func(m *telltalev1.Reading) { m.Attributes = []*telltalev1.Attribute{{Name: "a"}, {Name: "a"}} }},
		{"an attribute with a long name", func(m *telltalev1.Reading) {
			m.Attributes = []*telltalev1.Attribute{{Name: strings.Repeat("n", 300)}}
		}},
	} {
		t.Run(tt.name+" is invalid", func(t *testing.T) {
			m := toProto(reading())
			tt.change(m)
			expectRejection(t, record("application/x-protobuf", marshal(t, m)), iot.ReasonInvalidProtobuf)
		})
	}
	for _, value := range []string{"", "{}", "\x08", "\x08\x2a\xff", "\x2a\x05\x0a", "\x2a\x02\x0a\x05", "\x0c", "\x00\x00"} {
		t.Run(fmt.Sprintf("%q is invalid", value), func(t *testing.T) {
			expectRejection(t, record("application/x-protobuf", []byte(value)), iot.ReasonInvalidProtobuf)
		})
	}
	t.Run("a name that is not UTF-8 is invalid", func(t *testing.T) {
		value := append(marshal(t, toProto(reading())), "\x2a\x03\x0a\x01\xff"...)
		expectRejection(t, record("application/x-protobuf", value), iot.ReasonInvalidProtobuf)
	})
}

func expectReading(t *testing.T, rec *kafka.Record, want iot.Reading) {
	t.Helper()
	out, rejected := event.Decode(rec, nil)
	if diff := cmp.Diff([]iot.Reading{want}, out); diff != "" || len(rejected) > 0 {
		t.Errorf("rejected %+v; readings (-want +got):\n%s", rejected, diff)
	}
}

func expectRejection(t *testing.T, rec *kafka.Record, reason iot.Reason) {
	t.Helper()
	before := []iot.Reading{reading()}
	out, rejected := event.Decode(rec, before)
	if len(out) != 1 || len(rejected) != 1 {
		t.Fatalf("%d readings, rejected %+v, want nothing but one rejection", len(out)-1, rejected)
	}
	r := rejected[0]
	if r.Detail == "" || len(r.Detail) > 200 {
		t.Errorf("detail %q", r.Detail)
	}
	r.Detail = ""
	if diff := cmp.Diff(iot.Rejection{Reason: reason, Device: 42, Bytes: rec.Value}, r); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
