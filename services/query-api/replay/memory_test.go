package replay_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/telltale-iot/telltale/pkg/heaptest"
	"github.com/telltale-iot/telltale/pkg/iot"
)

// TestMemory bounds what calls at the same time, as many as the API lets in, take beside their dead letters.
func TestMemory(t *testing.T) {
	const calls, deadLetters = 8, 32
	for _, tt := range []struct {
		name, payload string
		most          int
	}{
		{"long batches", "[" + strings.Repeat(`{"x":1},`, 9_999) + `{}]`, 32 << 20},
		{"long readings", `{"x":1,"text":"` + strings.Repeat("t", 900_000) + `"}`, (32 + 16 + 8) << 20},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.startKafka(t)
			call := make([]iot.DeadLetter, deadLetters)
			for i := range call { // they share their bytes
				call[i] = iot.DeadLetter{Rejection: iot.Rejection{Bytes: []byte(tt.payload)}, ID: iot.DeadLetterID{byte(i)}, TopicDevice: fmt.Sprint(i + 1), Received: noon}
				call[i].Bytes = call[0].Bytes
			}
			grown := heaptest.Watch(t)
			var wait sync.WaitGroup
			for range calls {
				wait.Go(func() { _, _ = w.replayer.Replay(t.Context(), call) }) // some of it may come too late
			}
			wait.Wait()
			if n := grown(); n > tt.most {
				t.Errorf("%d MiB, want %d at most", n>>20, tt.most>>20)
			} else {
				t.Logf("%d MiB", n>>20)
			}
		})
	}
}
