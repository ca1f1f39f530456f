package event_test

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/iot"
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
	rec := event.Record("raw-data", reading())
	b.Run("by hand", func(b *testing.B) {
		out := make([]iot.Reading, 1, 2)
		out[0] = reading()
		b.ReportAllocs()
		for b.Loop() {
			if got, _ := event.Decode(&rec, out); len(got) != 2 {
				b.Fatal("no reading")
			}
		}
	})
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
