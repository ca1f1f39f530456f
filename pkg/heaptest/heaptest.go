// Package heaptest measures for tests how much memory something takes.
package heaptest

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"time"
)

// Watch begins to watch how much memory is in use. The function that it returns ends that, and returns by how many
// bytes it had grown at most. Garbage does not count; what else goes on in the process does.
func Watch(t testing.TB) (grown func() int) {
	t.Helper()
	percent := debug.SetGCPercent(10) // so that what is in use is known often
	runtime.GC()
	before := inUse()
	stop, peak := make(chan struct{}), make(chan int)
	go func() {
		most := before
		for {
			select {
			case <-stop:
				peak <- most
				return
			case <-time.After(time.Millisecond):
				most = max(most, inUse())
			}
		}
	}()
	return func() int {
		close(stop)
		debug.SetGCPercent(percent)
		return <-peak - before
	}
}

// InUse returns the bytes that are in use now, without garbage.
func InUse() int {
	runtime.GC()
	runtime.GC() // what a sync.Pool has goes with the second
	return inUse()
}

// inUse returns the bytes that were in use when the garbage was collected last.
func inUse() int {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return int(sample[0].Value.Uint64())
}
