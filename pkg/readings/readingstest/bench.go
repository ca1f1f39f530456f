package readingstest

import (
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// Benchmark measures inserts in batches of 1,000 and finds of 100 readings. Beside the time that passes it
// reports the processor time of this process, which holds on a busy machine and leaves out a server's.
func Benchmark(b *testing.B, open Open) {
	const devices, perBatch = 1000, 1000
	batchAt := func(n int) []iot.Reading {
		batch := make([]iot.Reading, perBatch)
		for i := range batch {
			batch[i] = reading(iot.DeviceID(1+i%devices), 1000*n+i%devices, float64(i))
		}
		return batch
	}
	b.Run("insert", func(b *testing.B) {
		store := open(b)
		batches := make([][]iot.Reading, b.N)
		for n := range batches {
			batches[n] = batchAt(n)
		}
		report := measure(b, perBatch, "reading")
		for _, batch := range batches {
			insert(b, store, batch...)
		}
		report()
	})
	b.Run("insert from 12 partitions at once", func(b *testing.B) {
		const partitions = 12
		store := open(b)
		report := measure(b, perBatch/partitions*partitions, "reading")
		var wg sync.WaitGroup
		for p := range partitions {
			wg.Go(func() {
				for n := range b.N {
					batch := batchAt(n)
					insert(b, store, batch[p*(perBatch/partitions):(p+1)*(perBatch/partitions)]...)
				}
			})
		}
		wg.Wait()
		report()
	})
	b.Run("insert moments", func(b *testing.B) { benchmarkMoments(b, open) })
	store := open(b)
	for n := range 100 {
		insert(b, store, batchAt(n)...)
	}
	for name, devices := range map[string][]iot.DeviceID{"find newest 100": nil, "find newest 100 of a device": {7}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			report := measure(b, 1, "find")
			for range b.N {
				if page := find(b, store, iot.ReadingQuery{Devices: devices, Limit: 100}); len(page.Readings) != 100 {
					b.Fatalf("found %d", len(page.Readings))
				}
			}
			report()
		})
	}
}

// benchmarkMoments inserts moments of five members: as one reading, as five in a batch, and as five in batches of their
// own, which have to be merged into what is stored.
func benchmarkMoments(b *testing.B, open Open) {
	const perRound, members = 1000, 5
	moment := func(n, i int, names []string) iot.Reading {
		r := reading(iot.DeviceID(1+i), 1000*n, 0)
		r.Metrics = nil
		for _, name := range names {
			r.Metrics = append(r.Metrics, metric(name, float64(n)))
		}
		return r
	}
	names := [members]string{"a", "b", iot.Humidity, iot.Temperature, "voltage"}
	for _, c := range []struct {
		name          string
		perMessage    int // members
		batchesOfThem bool
	}{{"whole", members, false}, {"in five messages", 1, false}, {"in five batches", 1, true}} {
		b.Run(c.name, func(b *testing.B) {
			store := open(b)
			rounds := make([][][]iot.Reading, b.N)
			for n := range rounds {
				batch := []iot.Reading{}
				for names := range slices.Chunk(names[:], c.perMessage) {
					for i := range perRound {
						batch = append(batch, moment(n, i, names))
					}
				}
				rounds[n] = [][]iot.Reading{batch}
				if c.batchesOfThem {
					rounds[n] = slices.Collect(slices.Chunk(batch, perRound))
				}
			}
			report := measure(b, perRound, "moment")
			for _, round := range rounds {
				for _, batch := range round {
					insert(b, store, batch...)
				}
			}
			report()
		})
	}
}

// measure begins a measurement. The function that it returns reports what passed since then per unit, of
// which one round of b has perRound.
func measure(b *testing.B, perRound int, unit string) (report func()) {
	b.ResetTimer()
	began, cpu := time.Now(), processorTime(b)
	return func() {
		b.StopTimer()
		n := float64(b.N * perRound)
		b.ReportMetric(float64((processorTime(b)-cpu).Nanoseconds())/1e3/n, "cpu-µs/"+unit)
		b.ReportMetric(float64(time.Since(began).Nanoseconds())/1e3/n, "µs/"+unit)
	}
}

func processorTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
