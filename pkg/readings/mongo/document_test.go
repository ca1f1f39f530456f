package mongo

import (
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
)

func BenchmarkDocument(b *testing.B) {
	r := iot.Reading{
		Device: 12, At: time.UnixMilli(1_700_000_000_000), Received: time.UnixMilli(1_700_000_000_007), Stamped: iot.StampDevice,
		Metrics: []iot.Metric{{Name: iot.Humidity, Value: 40.5}, {Name: iot.Temperature, Value: 21.5}},
	}
	document, err := appendDocument(nil, &r, r.At.UnixMilli())
	if err != nil {
		b.Fatal(err)
	}
	b.Run("append", func(b *testing.B) {
		b.ReportAllocs()
		buf := make([]byte, 0, 1024)
		for b.Loop() {
			if _, err := appendDocument(buf, &r, r.At.UnixMilli()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("read", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, ok := readDocument(document); !ok {
				b.Fatal("no reading")
			}
		}
	})
}
