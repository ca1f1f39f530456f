package column_test

import (
	"syscall"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/column"
	"github.com/telltale-iot/telltale/pkg/iot"
)

var loads = []struct {
	name string
	rows []column.Row
}{
	{"3600", ordinary(3600, time.Second)},
	{"60", ordinary(60, time.Minute)},
	{"noisy", noisy(3600)},
}

// perRow has b report the time of processors for a row: others may be using them too.
func perRow(b *testing.B, rows int, run func()) {
	b.ReportAllocs()
	before := processorTime(b)
	for b.Loop() {
		run()
	}
	b.ReportMetric(float64(processorTime(b)-before)/float64(b.N)/float64(rows), "cpu-ns/row")
}

func processorTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func BenchmarkEncode(b *testing.B) {
	for _, load := range loads {
		b.Run(load.name, func(b *testing.B) {
			var data []byte
			perRow(b, len(load.rows), func() {
				var err error
				if data, err = column.Encode(data[:0], load.rows); err != nil {
					b.Fatal(err)
				}
			})
			b.ReportMetric(float64(len(data))/float64(len(load.rows)), "B/row")
		})
	}
}

// BenchmarkChart is what a chart does with a block.
func BenchmarkChart(b *testing.B) {
	for _, load := range loads {
		data, err := column.Encode(nil, load.rows)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(load.name, func(b *testing.B) {
			var block column.Block
			perRow(b, len(load.rows), func() {
				if err := block.Reset(data); err != nil {
					b.Fatal(err)
				}
				times, values, err := block.Metric(iot.Temperature)
				if err != nil {
					b.Fatal(err)
				}
				var sum, least, greatest float64
				start := times[0]
				for i, v := range values {
					if times[i] > start+900_000 {
						start = times[i]
						sum, least, greatest = 0, v, v
					}
					sum += v
					least, greatest = min(least, v), max(greatest, v)
				}
			})
		})
	}
}

func BenchmarkRows(b *testing.B) {
	for _, load := range loads {
		data, err := column.Encode(nil, load.rows)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(load.name, func(b *testing.B) {
			var block column.Block
			var row column.Row
			perRow(b, len(load.rows), func() {
				if err := block.Reset(data); err != nil {
					b.Fatal(err)
				}
				for i := range block.Len() {
					if err := block.Row(i, &row); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}
