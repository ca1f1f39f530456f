package replay_test

import (
	"fmt"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// TestMemory holds what calls at the same time, as many as the API lets in, take beside their letters.
func TestMemory(t *testing.T) {
	const calls, letters = 8, 32
	for _, tt := range []struct {
		name, payload string
		most          uint64
	}{
		{"long batches", "[" + strings.Repeat(`{"x":1},`, 9_999) + `{}]`, 32 << 20},
		{"long readings", `{"x":1,"text":"` + strings.Repeat("t", 900_000) + `"}`, (32 + 16 + 8) << 20},
	} {
		t.Run(tt.name, func(t *testing.T) {
			defer debug.SetGCPercent(debug.SetGCPercent(10)) // so that what is live is known often
			w := newWorld(t)
			w.startKafka(t)
			call := make([]iot.DeadLetter, letters)
			for i := range call { // they share their bytes
				call[i] = iot.DeadLetter{Rejection: iot.Rejection{Bytes: []byte(tt.payload)}, ID: iot.LetterID{byte(i)}, TopicDevice: fmt.Sprint(i + 1), Received: noon}
				call[i].Bytes = call[0].Bytes
			}
			stop := make(chan struct{})
			peak := make(chan uint64)
			before := live()
			go func() {
				most := before
				for {
					select {
					case <-stop:
						peak <- most
						return
					case <-time.After(time.Millisecond):
						most = max(most, live())
					}
				}
			}()
			var wait sync.WaitGroup
			for range calls {
				wait.Go(func() { _, _ = w.replayer.Replay(t.Context(), call) }) // some of it may come too late
			}
			wait.Wait()
			close(stop)
			if grown := <-peak - before; grown > tt.most {
				t.Errorf("%d MiB, want %d at most", grown>>20, tt.most>>20)
			} else {
				t.Logf("%d MiB", grown>>20)
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
