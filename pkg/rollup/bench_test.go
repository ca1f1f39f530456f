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

// BenchmarkDay has days of two metrics and the readings, and the year's worth that a chart reads.
func BenchmarkDay(b *testing.B) {
	d := seasons(day20)
	data := d.AppendBinary(nil)
	b.Run("encode", func(b *testing.B) {
		for b.Loop() {
			data = d.AppendBinary(data[:0])
		}
		b.ReportMetric(float64(len(data)), "B/day")
	})
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := rollup.Decode(data); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("replace-an-hour", func(b *testing.B) {
		hour := rollup.Day{Start: day20}
		hour.Replace(day20+4*quarter, day20+8*quarter, d.Metrics)
		for b.Loop() {
			d, err := rollup.Decode(data)
			if err != nil {
				b.Fatal(err)
			}
			d.Replace(day20+4*quarter, day20+8*quarter, hour.Metrics)
			data = d.AppendBinary(data[:0])
		}
	})
	b.Run("totals", func(b *testing.B) {
		var r rollup.Reader
		for b.Loop() {
			if err := r.Reset(data); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("one-metric", func(b *testing.B) {
		var r rollup.Reader
		var dst []iot.Bucket
		b.ReportAllocs()
		for b.Loop() {
			err := r.Reset(data)
			if err == nil {
				dst, err = r.Append(dst[:0], 2)
			}
			if err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("a-year-of-one-metric-in-12h", func(b *testing.B) {
		var r rollup.Reader
		var quarters, dst []iot.Bucket
		zone := zone(b, "Europe/Berlin")
		for b.Loop() {
			g := rollup.Hours12.In(zone)
			dst = dst[:0]
			for k := range int64(365) {
				err := r.Reset(data)
				if err == nil {
					quarters, err = r.Append(quarters[:0], 2)
				}
				if err != nil {
					b.Fatal(err)
				}
				for i := range quarters {
					quarters[i].Start += k * dayLong
				}
				dst = rollup.AppendBuckets(dst, g, quarters)
			}
		}
	})
}

func BenchmarkSpan(b *testing.B) {
	r := iot.Reading{Metrics: []iot.Metric{{Name: iot.Humidity, Value: 45}, {Name: iot.Temperature, Value: 21}}}
	var s rollup.Span
	at := day20
	for b.Loop() {
		if at += 1000; at >= day20+dayLong {
			s, at = rollup.Span{}, day20
		}
		r.At = time.UnixMilli(at)
		s.Add(&r)
	}
}
