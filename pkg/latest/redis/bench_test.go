package redis_test

import (
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

// BenchmarkPutLatest writes batches in which each reading is of another device, so that none is saved.
func BenchmarkPutLatest(b *testing.B) {
	c := open(b, realServerURL(b))
	batch := make([]iot.Reading, 1000)
	for i := range batch {
		batch[i] = reading(iot.DeviceID(i+1), 21.5)
		batch[i].Stamped = iot.StampDevice
	}
	before := cpu()
	for b.Loop() {
		for i := range batch {
			batch[i].At = batch[i].At.Add(time.Millisecond)
		}
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
