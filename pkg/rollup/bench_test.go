package rollup_test

import (
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/rollup"
)

func BenchmarkAppendSamples(b *testing.B) {
	const n = 86_400
	times, values := make([]int64, n), make([]float64, n)
	v := 20.0
	for i := range times {
		times[i] = int64(i) * 1000
		v += float64(i*7919%13-6) / 100
		values[i] = v
	}
	zone, err := rollup.LoadZone("Europe/Berlin")
	if err != nil {
		b.Fatal(err)
	}
	for _, i := range []rollup.Interval{rollup.Second, rollup.Minute, rollup.Quarter, rollup.Hour, rollup.Daily} {
		b.Run(i.String(), func(b *testing.B) {
			var dst []iot.Bucket
			g := i.In(zone)
			for b.Loop() {
				dst = rollup.AppendSamples(dst[:0], g, times, values)
			}
			b.ReportMetric(float64(b.Elapsed())/float64(b.N)/n, "ns/value")
		})
	}
}

func BenchmarkGrid(b *testing.B) {
	zone, err := rollup.LoadZone("Europe/Berlin")
	if err != nil {
		b.Fatal(err)
	}
	from := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()
	for _, i := range []rollup.Interval{rollup.Quarter, rollup.Hour, rollup.Daily, rollup.Monthly} {
		b.Run(i.String(), func(b *testing.B) {
			g, at := i.In(zone), from
			for n := 0; b.Loop(); n++ {
				if n%1000 == 0 {
					at = from
				}
				at = g.Next(at)
			}
		})
	}
}
