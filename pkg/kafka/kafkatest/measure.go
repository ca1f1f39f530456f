//go:build unix

package kafkatest

import (
	"syscall"
	"testing"
	"time"
)

// Measure reports the CPU and wall time of what happens until the returned function is called.
func Measure(b *testing.B) (stop func()) {
	cpu := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	began, before := time.Now(), cpu()
	b.ReportAllocs()
	b.ResetTimer()
	return func() {
		b.StopTimer()
		b.ReportMetric((cpu()-before).Seconds()/float64(b.N)*1e6, "CPU-s/M")
		b.ReportMetric(float64(b.N)/time.Since(began).Seconds(), "records/s")
	}
}
