package memory

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// TestBytes compares what is counted with what is allocated: for devices that send their values together, and for those
// that send each by itself.
func TestBytes(t *testing.T) {
	for name, values := range map[string]int{"together": 1, "each by itself": 20} {
		t.Run(name, func(t *testing.T) {
			before := live()
			c, now := New(), time.Now().UTC().Truncate(time.Millisecond)
			for round := range 3 {
				for device := range 8000 / values {
					for value := range values {
						at := now.Add(time.Duration(round*values+value-1000) * time.Millisecond)
						r := iot.Reading{Device: iot.DeviceID(1 + device), At: at, Received: at, Metrics: []iot.Metric{{Name: fmt.Sprint("metric", value), Value: 1}, {Name: fmt.Sprint("state", value), Value: 1}}}
						if _, err := c.PutLatest(t.Context(), []iot.Reading{r}, time.Minute); err != nil {
							t.Fatal(err)
						}
					}
				}
			}
			took := live() - before
			if counted := c.bytes; took > counted*5/4 || took < counted/2 {
				t.Errorf("%d KiB are allocated, %d counted", took>>10, counted>>10)
			} else {
				t.Logf("%d KiB are allocated, %d counted, a device %d bytes", took>>10, counted>>10, counted/len(c.entries))
			}
			runtime.KeepAlive(c)
		})
	}
}

// live returns the bytes in use, once nothing else is.
func live() int {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}
