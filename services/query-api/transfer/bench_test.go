package transfer

import (
	"io"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// BenchmarkEncoder writes readings of two metrics, which move in steps of 0.01.
func BenchmarkEncoder(b *testing.B) {
	for _, format := range Formats {
		b.Run(format.Name, func(b *testing.B) {
			r := iot.Reading{Stamped: iot.StampDevice, Metrics: []iot.Metric{{Name: iot.Humidity}, {Name: iot.Temperature}}}
			first, i := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), 0
			e := NewEncoder(io.Discard, format, nil, false)
			for b.Loop() {
				r.Device, r.At = iot.DeviceID(i%20+1), first.Add(time.Duration(i/20)*time.Second)
				r.Metrics[0].Value, r.Metrics[1].Value = float64(4000+i%997)/100, float64(2100+i%613)/100
				if err := e.Write(&r); err != nil {
					b.Fatal(err)
				}
				i++
			}
			if err := e.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}
