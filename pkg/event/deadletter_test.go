package event_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/mapping"
)

// noMetrics is the dead letter of a message to sensors/42/data.
func noMetrics() event.DeadLetter {
	return event.DeadLetter{DeadLetter: iot.DeadLetter{
		Rejection: iot.Rejection{Reason: iot.ReasonNoMetrics, Detail: "nothing", Device: 42, Bytes: []byte("\x00 any bytes \xff")},
		Source:    "sensors/42/data",
		Received:  time.Date(2026, 1, 2, 4, 0, 0, 0, time.FixedZone("CET", 3600)),
	}}
}

func TestDeadLetterRecord(t *testing.T) {
	deadLetter := noMetrics()
	want := kafka.Record{
		Topic: "raw-data.dlq",
		Key:   []byte("42"),
		Value: []byte("\x00 any bytes \xff"),
		Headers: []kafka.Header{
			{Key: "reason", Value: []byte("no_metrics")},
			{Key: "detail", Value: []byte("nothing")},
			{Key: "source", Value: []byte("sensors/42/data")},
			{Key: "received_at", Value: []byte("2026-01-02T03:00:00.000Z")},
		},
	}
	if diff := cmp.Diff(want, deadLetter.Record("raw-data.dlq")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	deadLetter.Device = 0
	if key := deadLetter.Record("raw-data.dlq").Key; key != nil {
		t.Errorf("the dead letter of an unknown device has the key %q", key)
	}

	t.Run("the key is the rejected record's, whatever device its value names", func(t *testing.T) {
		deadLetter := noMetrics()
		deadLetter.Key = []byte("950887278628441")
		rec := deadLetter.Record("raw-data.dlq")
		if string(rec.Key) != "950887278628441" || string(rec.Header("device_id")) != "42" {
			t.Errorf("key %q, device_id %q", rec.Key, rec.Header("device_id"))
		}
	})
}

func TestReadDeadLetter(t *testing.T) {
	full := noMetrics()
	full.Received = time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)
	full.TopicDevice, full.Retained, full.ContentType = "042", true, "application/json; charset=utf-8"
	full.Client, full.Principal = "a client", "a gateway"
	keyed := full
	keyed.Key = []byte("not a device")
	nobodys := full
	nobodys.Device = 0
	for name, deadLetter := range map[string]event.DeadLetter{
		"a dead letter comes back as it was sent": full, "its device too, where the key is another": keyed, "or there is none": nobodys,
	} {
		t.Run(name, func(t *testing.T) {
			rec := deadLetter.Record("raw-data.dlq")
			got := event.ReadDeadLetter(&rec)
			want := deadLetter.DeadLetter
			want.ID = got.ID
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}

	t.Run("a record that is no dead letter is one all the same", func(t *testing.T) {
		for _, rec := range []kafka.Record{
			{Timestamp: noon},
			{Timestamp: noon, Headers: []kafka.Header{{Key: "received_at", Value: []byte("noon")}}},
			{Timestamp: noon, Headers: []kafka.Header{{Key: "received_at", Value: []byte("1969-12-31T00:00:00Z")}, {Key: "reason", Value: []byte("\xff")}}},
		} {
			got := event.ReadDeadLetter(&rec)
			if diff := cmp.Diff(iot.DeadLetter{ID: got.ID, Received: noon}, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		}
	})

	t.Run("an id is of one record, and the same each time", func(t *testing.T) {
		rec := full.Record("raw-data.dlq")
		rec.Partition, rec.Offset, rec.Timestamp = 3, 42, noon
		seen := map[iot.DeadLetterID]string{}
		for name, change := range map[string]func(*kafka.Record){
			"itself":            func(*kafka.Record) {},
			"another topic":     func(r *kafka.Record) { r.Topic = "other.dlq" },
			"another partition": func(r *kafka.Record) { r.Partition++ },
			"another offset":    func(r *kafka.Record) { r.Offset++ },
			"another time":      func(r *kafka.Record) { r.Timestamp = noon.Add(time.Millisecond) },
			"another key":       func(r *kafka.Record) { r.Key = nil },
			"other bytes":       func(r *kafka.Record) { r.Value = []byte("x") },
			"other headers":     func(r *kafka.Record) { r.Headers = r.Headers[1:] },
		} {
			other := rec
			change(&other)
			id := event.ReadDeadLetter(&other).ID
			if same, taken := seen[id]; taken {
				t.Errorf("%s has the id of %s", name, same)
			}
			if again := event.ReadDeadLetter(&other).ID; again != id {
				t.Errorf("%s is %v, and then %v", name, id, again)
			}
			seen[id] = name
		}
	})
}

func TestDeadLetterHead(t *testing.T) {
	deadLetter := event.DeadLetter{DeadLetter: iot.DeadLetter{Rejection: iot.Rejection{Reason: iot.ReasonTooLarge, Detail: strings.Repeat("é", 100)}}}
	deadLetter.Bytes = bytes.Repeat([]byte("0123456789"), 200_000)
	head := deadLetter.Head()
	if !bytes.Equal(head.Bytes, deadLetter.Bytes[:64<<10]) {
		t.Errorf("%d bytes are left", len(head.Bytes))
	}
	if d := head.Detail; !strings.HasPrefix(d, "the first 65536 of 2000000 bytes: é") || len(d) > 200 || !utf8.ValidString(d) {
		t.Errorf("detail %q", d)
	}

	deadLetter.Key, deadLetter.ContentType = bytes.Repeat([]byte("k"), 5000), strings.Repeat("t", 5000)
	if head := deadLetter.Head(); head.Key != nil || len(head.ContentType) > 256 {
		t.Errorf("of the key %d bytes are left, of the content type %d", len(head.Key), len(head.ContentType))
	}

	deadLetter.Bytes, deadLetter.Key, deadLetter.ContentType = deadLetter.Bytes[:64<<10], []byte("42"), "text/plain"
	if diff := cmp.Diff(deadLetter, deadLetter.Head()); diff != "" {
		t.Errorf("a dead letter that is small enough was changed (-want +got):\n%s", diff)
	}
}

func TestDecodingAgain(t *testing.T) {
	for _, tt := range []struct {
		promise    string
		deadLetter iot.DeadLetter
		want       []string // device, ms after noon, stamp; or the reason of a rejection
	}{
		{"the topic names the device", iot.DeadLetter{TopicDevice: "42", Rejection: iot.Rejection{Bytes: []byte(`{"x": 1}`)}}, []string{"42 0 server"}},
		{"it may disagree", iot.DeadLetter{TopicDevice: "42", Rejection: iot.Rejection{Bytes: []byte(`{"x": 1, "device_id": 7}`)}}, []string{"device_id_mismatch"}},
		{"it may be a key", iot.DeadLetter{TopicDevice: "kitchen-1", Rejection: iot.Rejection{Bytes: []byte(`{"x": 1}`)}}, []string{"7380597148161619 0 server"}},
		{"a topic with a bad device id is no better than before", iot.DeadLetter{TopicDevice: "\x7f", Rejection: iot.Rejection{Bytes: []byte(`{"x": 1}`)}}, []string{"invalid_device_id"}},
		{"a retained message needs a timestamp", iot.DeadLetter{Retained: true, TopicDevice: "42", Rejection: iot.Rejection{Bytes: []byte(`{"x": 1}`)}}, []string{"retained_without_timestamp"}},
		{"readings without a timestamp do not take each other's place",
			iot.DeadLetter{Rejection: iot.Rejection{Bytes: []byte(`[{"x": 1, "device_id": 7}, {"x": 1, "device_id": 8}, {"x": 1, "device_id": 7}, {"x": 2, "device_id": 7, "timestamp": "2026-01-02T12:00:00.683Z"}, {"x": 3, "device_id": 7}]`)}},
			[]string{"7 0 server", "8 0 server", "7 1 server", "7 5 device", "7 2 server"}},
		{"a Kafka record is decoded by its content type",
			iot.DeadLetter{ContentType: "application/x-protobuf", Rejection: iot.Rejection{Bytes: event.Record("raw-data", reading()).Value}}, []string{"42 0 device"}},
		{"one that is unknown stays so", iot.DeadLetter{ContentType: "text/plain", Rejection: iot.Rejection{Bytes: []byte(`{"x": 1, "device_id": 7}`)}}, []string{"unknown_content_type"}},
		{"a legacy record is JSON", iot.DeadLetter{ContentType: "application/json", Rejection: iot.Rejection{Bytes: []byte(`{"x": 1, "device_id": 7}`)}}, []string{"7 0 server"}},
	} {
		t.Run(tt.promise, func(t *testing.T) {
			tt.deadLetter.Received = noon
			for range 2 {
				var got []string
				var readings []iot.Reading
				var rejected []iot.Rejection
				var d event.Decoder
				for d.StartReplay(tt.deadLetter, nil); d.More(); {
					readings, rejected = d.Next(readings, rejected)
				}
				for _, r := range readings {
					got = append(got, fmt.Sprint(r.Device, r.At.Sub(noon).Milliseconds(), r.Stamped))
				}
				for _, r := range rejected {
					got = append(got, string(r.Reason))
				}
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			}
		})
	}
}

// TestDecodingByRules: what came before there was a rule for it is read by the rules of today.
func TestDecodingByRules(t *testing.T) {
	rules, err := mapping.Parse("test.yaml", []byte(`
- name: plug
  topic: tele/{device}/SENSOR
  time: {at: Time, zone: Europe/Berlin}
  values: {drop: [TempUnit]}
  rename: {"*_Temperature": temperature}
- {name: sheds, topic: sheds/report, each: "", device: "shed/{key}"}
- {name: all, topic: "+/+/+", device: anybody, when: {never: "*"}}
`), time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	plug, shed1 := iot.KeyID("plug").String(), iot.KeyID("shed/1").String()
	for _, tt := range []struct {
		promise    string
		deadLetter iot.DeadLetter
		want       []string // device, ms after noon, stamp, metrics; or the reason of a rejection
	}{
		{"a message is read by the rule that is for its topic, with its own time",
			iot.DeadLetter{Source: "tele/plug/SENSOR", TopicDevice: "tele", Rejection: iot.Rejection{Bytes: []byte(`{"Time": "2026-01-02T13:00:00.679", "SI7021": {"Temperature": 21.5}, "TempUnit": "C"}`)}},
			[]string{plug + " 1 device temperature=21.5"}},
		{"or with that of its receipt",
			iot.DeadLetter{Source: "tele/plug/SENSOR", Rejection: iot.Rejection{Bytes: []byte(`{"SI7021": {"Temperature": 21.5}}`)}},
			[]string{plug + " 0 server temperature=21.5"}},
		{"which is a millisecond of its own for each of a device",
			iot.DeadLetter{Source: "sheds/report", Rejection: iot.Rejection{Bytes: []byte(`{"1": {"x": 1}, "2": {"x": 2}, "1": {"x": 3}}`)}},
			[]string{shed1 + " 0 server x=1", iot.KeyID("shed/2").String() + " 0 server x=2", shed1 + " 1 server x=3"}},
		{"a retained message needs a time here too",
			iot.DeadLetter{Source: "tele/plug/SENSOR", Retained: true, Rejection: iot.Rejection{Bytes: []byte(`{"SI7021": {"Temperature": 21.5}}`)}},
			[]string{"retained_without_timestamp"}},
		{"a rule may not want it", iot.DeadLetter{Source: "a/b/c", TopicDevice: "42", Rejection: iot.Rejection{Bytes: []byte(`{"x": 1}`)}}, []string{"no_rule"}},
		{"a topic without a rule is read in Telltale's own form, with the device that it named",
			iot.DeadLetter{Source: "attic/42", TopicDevice: "42", Rejection: iot.Rejection{Bytes: []byte(`{"x": 1}`)}}, []string{"42 0 server x=1"}},
		{"what has a content type is of no device's family",
			iot.DeadLetter{Source: "tele/plug/SENSOR", ContentType: "application/json", Rejection: iot.Rejection{Bytes: []byte(`{"x": 1, "device_id": 7}`)}}, []string{"7 0 server x=1"}},
	} {
		t.Run(tt.promise, func(t *testing.T) {
			tt.deadLetter.Received = noon
			origins := map[uint64]bool{}
			for range 2 {
				var got []string
				var readings []iot.Reading
				var rejected []iot.Rejection
				var d event.Decoder
				for d.StartReplay(tt.deadLetter, rules); d.More(); {
					readings, rejected = d.Next(readings, rejected)
				}
				for _, r := range readings {
					line := fmt.Sprint(r.Device, r.At.Sub(noon).Milliseconds(), r.Stamped)
					for _, m := range r.Metrics {
						line += fmt.Sprintf(" %s=%v", m.Name, m.Value)
					}
					got = append(got, line)
					if r.Stamped == iot.StampServer {
						origins[r.Origin] = true
					}
				}
				for _, r := range rejected {
					got = append(got, string(r.Reason))
				}
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			}
			if stamped := strings.Count(fmt.Sprint(tt.want), "server"); len(origins) != stamped || origins[0] {
				t.Errorf("origins %v, want the same %d each time", origins, stamped)
			}
		})
	}
}

func TestOriginsOfDeadLetters(t *testing.T) {
	origins := func(deadLetter iot.DeadLetter) (origins []uint64) {
		var d event.Decoder
		var readings []iot.Reading
		for d.StartReplay(deadLetter, nil); d.More(); {
			readings, _ = d.Next(readings, nil)
		}
		for _, r := range readings {
			origins = append(origins, r.Origin)
		}
		return origins
	}
	deadLetter := func(id byte, content string) iot.DeadLetter {
		return iot.DeadLetter{ID: iot.DeadLetterID{id}, Received: noon, Rejection: iot.Rejection{Bytes: []byte(content)}}
	}
	const batch = `[{"x": 1, "device_id": 7}, {"x": 1, "device_id": 7}]`
	seen := map[uint64]bool{0: true}
	for _, l := range []iot.DeadLetter{deadLetter(1, batch), deadLetter(2, batch), deadLetter(1, `{"x": 2, "device_id": 7}`)} {
		first := origins(l)
		if diff := cmp.Diff(first, origins(l)); diff != "" {
			t.Errorf("another replay has other origins (-first +second):\n%s", diff)
		}
		for _, origin := range first {
			seen[origin] = true
		}
	}
	if len(seen) != 6 {
		t.Errorf("origins %v, want 5 different ones: of each dead letter, element and correction", seen)
	}
}
