package writer_test

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/kafka"
)

// TestMemory holds what the writer takes, and with it the broker in this process, while it handles what is small on
// the topic and large in memory.
func TestMemory(t *testing.T) {
	const most = 32 << 20
	ones := func(n int) []byte { return []byte("[" + strings.Repeat("1,", n-1) + "1]") }
	for _, tt := range []struct {
		name    string
		records int
		value   []byte
		letters int // of each
	}{
		{"records of a megabyte", 32, ones(499_999), 1},
		{"a hundred thousand dead letters", 10, ones(10_000), 10_000},
	} {
		t.Run(tt.name, func(t *testing.T) {
			defer debug.SetGCPercent(debug.SetGCPercent(10)) // so that what is live is known often
			e := newEnvironment(t)
			for range tt.records {
				e.produce(kafka.Record{Topic: e.kafka.Topic, Value: tt.value})
			}
			before, peak := live(), uint64(0)
			ctx, cancel := context.WithCancel(t.Context())
			sampled := make(chan struct{})
			go func() {
				defer close(sampled)
				for ctx.Err() == nil {
					peak = max(peak, live())
					time.Sleep(time.Millisecond)
				}
			}()
			e.start()
			e.expectCounts(map[string]float64{"rejected": float64(tt.records * tt.letters)})
			cancel()
			<-sampled
			t.Logf("%d MiB", (peak-before)>>20)
			if grown := peak - before; grown > most {
				t.Errorf("%d MiB, want %d at most", grown>>20, most>>20)
			}
		})
	}
}

// live returns the bytes that were in use when the garbage was collected last.
func live() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
