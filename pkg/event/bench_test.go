package event_test

import (
	"context"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/proto"

	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka"
	telltalev1 "github.com/telltale-iot/telltale/proto/telltale/v1"
)

func BenchmarkRecord(b *testing.B) {
	r := reading()
	b.Run("by hand", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			event.Record("raw-data", r)
		}
	})
	b.Run("generated code", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := proto.Marshal(toProto(r)); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	rec := consumed(event.Record("raw-data", reading()))
	keyed := reading()
	keyed.Key, keyed.Device = "kitchen-1", iot.KeyID("kitchen-1")
	for name, r := range map[string]iot.Reading{"by hand": reading(), "with a key": keyed} {
		b.Run(name, func(b *testing.B) {
			rec := consumed(event.RecordFrom("raw-data", r, event.NewSource("sensors/42/data", "client")))
			out := make([]iot.Reading, 1, 2)
			out[0] = r
			b.ReportAllocs()
			for b.Loop() {
				if got, _ := event.Decode(&rec, out); len(got) != 2 {
					b.Fatal("no reading")
				}
			}
		})
	}
	b.Run("generated code", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var m telltalev1.Reading
			if err := proto.Unmarshal(rec.Value, &m); err != nil {
				b.Fatal(err)
			}
			if r := fromProto(&m); r.Validate() != nil {
				b.Fatal(r)
			}
		}
	})
}

// consumed is rec as it comes from Kafka, with the time of its arrival.
func consumed(rec kafka.Record) kafka.Record {
	rec.Timestamp = time.Now().Truncate(time.Millisecond)
	return rec
}

// TestDecodeAllocations bounds what a reading takes to decode: its metrics, where the names are those of the one before it.
func TestDecodeAllocations(t *testing.T) {
	rec, out := consumed(event.Record("raw-data", reading())), make([]iot.Reading, 1, 2)
	out[0] = reading()
	if n := testing.AllocsPerRun(100, func() { event.Decode(&rec, out) }); n > 1 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkSink handles a usual batch, and reports the time of a reading.
func BenchmarkSink(b *testing.B) {
	batch := make([]kafka.Record, 1000)
	for i := range batch {
		batch[i] = consumed(event.Record("raw-data", reading()))
	}
	sink := &event.Sink{
		Account: event.NewAccount(prometheus.NewRegistry(), "bench", "stored"),
		Store: func(_ context.Context, batch []iot.Reading) (event.Stored, error) {
			return event.Stored{Outcomes: []int{len(batch)}}, nil
		},
		DeadLetter: func(context.Context, []event.DeadLetter) error { return nil },
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := sink.Handle(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(batch)), "ns/reading")
}
