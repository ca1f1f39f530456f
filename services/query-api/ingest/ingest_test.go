package ingest_test

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	diff "github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/telltale-iot/telltale/pkg/embedded"
	"github.com/telltale-iot/telltale/pkg/embedded/embeddedtest"
	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/heaptest"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/kafka/kafkatest"
	"github.com/telltale-iot/telltale/pkg/kafka/producer"
	"github.com/telltale-iot/telltale/pkg/mapping"
	"github.com/telltale-iot/telltale/services/query-api/ingest"
)

// world is an Ingester on a topic of its own.
type world struct {
	*ingest.Ingester
	kafka    kafka.Config
	producer *producer.Producer
	metrics  *prometheus.Registry
}

// newWorld starts an Ingester on brokers, which runs until t ends.
func newWorld(t *testing.T, brokers []string) *world {
	t.Helper()
	w := &world{kafka: kafkatest.NewTopic(t, brokers, 2), metrics: prometheus.NewRegistry()}
	w.producer = producer.New(w.kafka, kafkatest.Discard(), prometheus.NewRegistry())
	kafkatest.Start(t, w.producer.Run)
	kafkatest.WantWell(t, w.producer.Check)
	rules, err := mapping.Load(nil, time.FixedZone("", 3600))
	if err != nil {
		t.Fatal(err)
	}
	w.Ingester = ingest.New(w.producer, w.kafka, rules, kafkatest.Discard(), w.metrics)
	return w
}

func (w *world) ingest(t *testing.T, m ingest.Message) ingest.Result {
	t.Helper()
	result, err := w.Ingest(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// readings returns what is on the topic, by device and time.
func (w *world) readings(t *testing.T) (all []iot.Reading) {
	t.Helper()
	for _, rec := range kafkatest.ReadAll(t, w.kafka.Brokers, w.kafka.Topic) {
		var rejected []iot.Rejection
		if all, rejected = event.Decode(&rec, all); len(rejected) > 0 {
			t.Errorf("%+v", rejected)
		}
	}
	slices.SortStableFunc(all, func(a, b iot.Reading) int {
		return cmp.Or(cmp.Compare(a.Device, b.Device), a.At.Compare(b.At))
	})
	return all
}

func (w *world) deadLetters(t *testing.T) (all []iot.DeadLetter) {
	t.Helper()
	for _, rec := range kafkatest.ReadAll(t, w.kafka.Brokers, w.kafka.DeadLetterTopic()) {
		all = append(all, event.ReadDeadLetter(&rec))
	}
	return all
}

// wantCounts checks the account of what was received.
func (w *world) wantCounts(t *testing.T, received, inFlight, finished int) {
	t.Helper()
	const name = "telltale_http_readings"
	got := []float64{kafkatest.Metric(t, w.metrics, name+"_received_total"), kafkatest.Metric(t, w.metrics, name+"_in_flight"), kafkatest.Metric(t, w.metrics, name+"_total")}
	if want := []float64{float64(received), float64(inFlight), float64(finished)}; !slices.Equal(got, want) {
		t.Errorf("received, in flight and finished are %v, want %v", got, want)
	}
}

const dated = `{"device_id": 42, "timestamp": "2026-03-01T12:00:00Z", "x": 1}`

// isProduce reports whether a packet begins with a produce request.
func isProduce(packet []byte) bool {
	return len(packet) > 5 && binary.BigEndian.Uint16(packet[4:]) == 0
}

func TestAcceptsAfterKafka(t *testing.T) {
	for name, payload := range map[string]string{"a reading": dated, "a dead letter": `{"device_id": 42}`} {
		t.Run(name, func(t *testing.T) {
			cluster, proxy := kafkatest.FakeBehindProxy(t)
			w := newWorld(t, cluster.ListenAddrs())
			proxy.HangResponses(isProduce)
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			if result, err := w.Ingest(ctx, ingest.Message{Payload: []byte(payload)}); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("without an acknowledgement: %+v, %v", result, err)
			}
			w.wantCounts(t, 1, 1, 0)
			proxy.Resume()
			kafkatest.WantWell(t, w.producer.Check)
			w.ingest(t, ingest.Message{Payload: []byte(payload)}) // of its sender, who got no answer
			w.wantCounts(t, 2, 0, 2)
			if readings := w.readings(t); len(readings) > 0 && (len(readings) != 2 || !readings[0].SameContent(readings[1])) {
				t.Errorf("%+v", readings)
			}
		})
	}
}

func TestIngest(t *testing.T) {
	t.Run("readings and dead letters say where they came from", func(t *testing.T) {
		w := newWorld(t, kafkatest.Brokers(t))
		result := w.ingest(t, ingest.Message{
			Source: "/api/devices/kitchen-1/readings/", Client: "http:192.0.2.7", Device: "kitchen-1",
			Payload: []byte(`[{"x": 1}, 5, {"x": 2}, {"device_id": 7, "x": 3}]`),
		})
		var rejected []string
		for _, r := range result.Rejected {
			rejected = append(rejected, fmt.Sprint(r.Index, " ", r.Reason))
		}
		if want := []string{"1 not_an_object", "3 device_id_mismatch"}; result.Accepted != 2 || !slices.Equal(rejected, want) {
			t.Errorf("%d accepted, %q rejected, want 2 and %q", result.Accepted, rejected, want)
		}
		readings := w.readings(t)
		if len(readings) != 2 || readings[0].Key != "kitchen-1" || readings[0].Metrics[0].Value != 1 || !readings[0].At.Before(readings[1].At) {
			t.Errorf("readings are %+v, want two of one device in their order", readings)
		}
		for _, rec := range kafkatest.ReadAll(t, w.kafka.Brokers, w.kafka.Topic) {
			if !strings.Contains(string(rec.Value), "/api/devices/kitchen-1/readings/") || !strings.Contains(string(rec.Value), "http:192.0.2.7") {
				t.Errorf("%q does not say where it came from", rec.Value)
			}
		}
		var dead []string
		for _, d := range w.deadLetters(t) {
			dead = append(dead, fmt.Sprintf("%s %s %s %s %s", d.Bytes, d.Reason, d.Source, d.Client, d.TopicDevice))
		}
		slices.Sort(dead)
		want := []string{
			`5 not_an_object /api/devices/kitchen-1/readings/ http:192.0.2.7 kitchen-1`,
			`{"device_id": 7, "x": 3} device_id_mismatch /api/devices/kitchen-1/readings/ http:192.0.2.7 kitchen-1`,
		}
		if d := diff.Diff(want, dead); d != "" {
			t.Errorf("dead letters (-want +got):\n%s", d)
		}
		w.wantCounts(t, 4, 0, 4)
	})
	t.Run("a time without a zone is in the zone of the rules", func(t *testing.T) {
		w := newWorld(t, kafkatest.Brokers(t))
		w.ingest(t, ingest.Message{Payload: []byte(`{"device_id": 42, "timestamp": "2026-03-01T12:00:00", "x": 1}`)})
		if got := w.readings(t); len(got) != 1 || got[0].At.Hour() != 11 {
			t.Errorf("%+v", got)
		}
	})
	t.Run("what nobody reads, and the members that a reading is kept without, are listed as ignored", func(t *testing.T) {
		w := newWorld(t, kafkatest.Brokers(t))
		kafkatest.Start(t, w.Run)
		w.Ignore(ingest.Message{Source: "of/nobody", Client: "http:192.0.2.7", Payload: []byte("{}")})
		w.ingest(t, ingest.Message{Source: "/api/readings/", Payload: []byte(`{"device_id": 42, "x": 1, "y": NaN}`)})
		var listed []string
		kafkatest.Eventually(t, kafkatest.Timeout, "both are on the topic", func() bool {
			listed = nil
			for _, rec := range kafkatest.ReadAll(t, w.kafka.Brokers, w.kafka.IgnoredTopic()) {
				i, err := event.ReadIgnored(rec.Value)
				if err != nil {
					t.Fatal(err)
				}
				listed = append(listed, i.Topic+" "+i.Member)
			}
			return len(listed) == 2
		})
		slices.Sort(listed)
		if !slices.Equal(listed, []string{"/api/readings/ y", "of/nobody "}) || kafkatest.Metric(t, w.metrics, "telltale_http_incomplete_total") != 1 {
			t.Errorf("%q", listed)
		}
	})
	t.Run("a long batch is all there", func(t *testing.T) {
		w := newWorld(t, kafkatest.Brokers(t))
		const n = 10_000
		batch := "[" + strings.Repeat(`{"x":1},`, n-1) + `{}]`
		result := w.ingest(t, ingest.Message{Device: "42", Payload: []byte(batch)})
		if result.Accepted != n-1 || len(result.Rejected) != 1 || result.Rejected[0].Index != n-1 {
			t.Errorf("%d accepted, %+v rejected", result.Accepted, result.Rejected)
		}
		readings := w.readings(t)
		moments := slices.CompactFunc(slices.Clone(readings), func(a, b iot.Reading) bool { return a.At.Equal(b.At) })
		if len(readings) != n-1 || len(moments) != n-1 {
			t.Errorf("%d readings of %d moments", len(readings), len(moments))
		}
	})
}

// TestKafkaAway: what waits for a Kafka that is away is bounded, answered in time, and is sent in the end.
func TestKafkaAway(t *testing.T) {
	cluster, proxy := kafkatest.FakeBehindProxy(t)
	w := newWorld(t, cluster.ListenAddrs())
	proxy.Hang()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	batch := []byte("[" + strings.Repeat(`{"x":1},`, 9999) + `{"x":1}]`)
	var wait sync.WaitGroup
	for range 50 {
		wait.Go(func() {
			if result, err := w.Ingest(ctx, ingest.Message{Device: "42", Payload: batch}); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%+v, %v", result, err)
			}
		})
	}
	wait.Wait()
	sent := int(kafkatest.Metric(t, w.metrics, "telltale_http_readings_received_total"))
	if sent == 0 || sent > 20_000 {
		t.Errorf("%d readings are in flight: of 50 batches there is room for some, with 1,000 of each", sent)
	}
	kafkatest.Eventually(t, kafkatest.Timeout, "it is known that kafka is away", func() bool { return w.producer.Check(t.Context()) != nil })
	if result, err := w.Ingest(t.Context(), ingest.Message{Payload: []byte(dated)}); err == nil {
		t.Errorf("%+v", result)
	}
	proxy.Resume()
	kafkatest.WantWell(t, w.producer.Check)
	w.ingest(t, ingest.Message{Payload: []byte(dated)})
	kafkatest.Eventually(t, kafkatest.Timeout, "all is sent", func() bool {
		return kafkatest.Metric(t, w.metrics, "telltale_http_readings_in_flight") == 0
	})
	w.wantCounts(t, sent+1, 0, sent+1)
	if n := len(kafkatest.ReadAll(t, w.kafka.Brokers, w.kafka.Topic)); n != sent+1 {
		t.Errorf("%d readings are in Kafka, want %d", n, sent+1)
	}
}

// TestMemory bounds what calls at the same time take beside their messages.
func TestMemory(t *testing.T) {
	rules, err := mapping.Load([]string{"senml"}, time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	route, _ := rules.Match("senml")
	cbor := []byte("\x99\x03\xe8") // an array of 1,000 records, each with a name, a time before now, and a value
	for i := range 1000 {
		cbor = append(binary.BigEndian.AppendUint16(append(cbor, "\xa3\x00\x62a/\x06\x39"...), uint16(i)), "\x02\x01"...)
	}
	for _, tt := range []struct {
		name, payload string
		calls         int
		route         *mapping.Route
	}{
		{"packs in CBOR", string(cbor), 200, &route},
		{"batches", "[" + strings.Repeat(`{"x":1},`, 999) + `{}]`, 200, nil}, // as many as are in flight of a longer one
		{"rejections", "[" + strings.Repeat("1,", 999) + `1]`, 200, nil},
		{"long readings", `{"x":1,"text":"` + strings.Repeat("t", 900_000) + `"}`, 100, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			broker := embeddedtest.StartWith(t, embedded.KafkaConfig{Dir: t.TempDir()})
			w := newWorld(t, []string{broker.Addr()})
			payload := []byte(tt.payload)
			grown := heaptest.Watch(t)
			var wait sync.WaitGroup
			for i := range tt.calls {
				wait.Go(func() { // some of it may come too late
					_, _ = w.Ingest(t.Context(), ingest.Message{Route: tt.route, Device: fmt.Sprint(i + 1), Payload: payload})
				})
			}
			wait.Wait()
			if n := grown(); n > 48<<20 {
				t.Errorf("%d MiB", n>>20)
			} else {
				t.Logf("%d MiB", n>>20)
			}
		})
	}
}
