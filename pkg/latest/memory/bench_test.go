package memory

import (
	"fmt"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// BenchmarkPutLatest writes batches of 1,000 devices that send all values together, and of as many that send 20 by
// themselves.
func BenchmarkPutLatest(b *testing.B) {
	for _, metrics := range []int{1, 20} {
		b.Run(fmt.Sprint(metrics), func(b *testing.B) {
			c := New()
			batch := make([]iot.Reading, 1000)
			for i := 0; b.Loop(); i++ {
				now := time.Now()
				for j := range batch {
					batch[j] = iot.Reading{
						Device: iot.DeviceID(1 + j), At: now, Received: now,
						Metrics: []iot.Metric{{Name: fmt.Sprint("m", i%metrics), Value: 1}},
					}
				}
				if _, err := c.PutLatest(b.Context(), batch, time.Hour); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(batch)), "ns/reading")
		})
	}
}
