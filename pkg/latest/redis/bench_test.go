package redis_test

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// cpu is the processor time that this process has used.
func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkPutLatest writes batches in which each reading is of another device, so that none is saved, and batches of
// devices that send each of 20 values by itself.
func BenchmarkPutLatest(b *testing.B) {
	b.Run("same members", func(b *testing.B) { benchmarkPut(b, 1000, 1) })
	b.Run("one value at a time", func(b *testing.B) { benchmarkPut(b, 50, 20) })
	b.Run("one value of each device", func(b *testing.B) { benchmarkPut(b, 1000, 20) })
}

func benchmarkPut(b *testing.B, devices, metrics int) {
	c := open(b, realServerURL(b))
	batch := make([]iot.Reading, 1000)
	name := 0
	next := func() {
		for i := range batch {
			if i%devices == 0 {
				name++
			}
			r := &batch[i]
			r.Metrics[0].Name = fmt.Sprintf("m%d", name%metrics)
			r.At = r.At.Add(time.Millisecond)
		}
	}
	for i := range batch {
		batch[i] = reading(iot.DeviceID(1_000_000*metrics+i%devices), 21.5)
		batch[i].Stamped = iot.StampDevice
	}
	before := cpu()
	for b.Loop() {
		next()
		if _, err := c.PutLatest(b.Context(), batch, time.Hour); err != nil {
			b.Fatal(err)
		}
	}
	readings := float64(b.N * len(batch))
	b.ReportMetric(float64(cpu()-before)/readings, "cpu-ns/reading")
	b.ReportMetric(readings/b.Elapsed().Seconds(), "readings/s")
}

// BenchmarkLatest reads from as many goroutines as an HTTP server under load has, and says how much processor time
// that takes for each GET of a bare client.
func BenchmarkLatest(b *testing.B) {
	u := realServerURL(b)
	c := open(b, u)
	if _, err := c.PutLatest(b.Context(), []iot.Reading{reading(1, 21.5)}, time.Hour); err != nil {
		b.Fatal(err)
	}
	option := rueidis.MustParseURL(u.String())
	option.ForceSingleClient, option.DisableCache = true, true
	client, err := rueidis.NewClient(option)
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()

	perCall := func(call func() error) float64 {
		before := cpu()
		b.SetParallelism(16)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if err := call(); err != nil {
					b.Error(err)
					return
				}
			}
		})
		return float64(cpu()-before) / float64(b.N)
	}
	floor := perCall(func() error {
		_, err := client.Do(b.Context(), client.B().Get().Key("latest:device1").Build()).AsBytes()
		return err
	})
	b.ReportAllocs()
	b.ResetTimer()
	ours := perCall(func() error {
		_, err := c.Latest(b.Context(), 1)
		return err
	})
	b.ReportMetric(ours, "cpu-ns/op")
	b.ReportMetric(ours/floor, "×floor")
}
