package replay_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/heaptest"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/mapping"
)

// TestMemory bounds what calls at the same time, as many as the API lets in, take beside their dead letters.
func TestMemory(t *testing.T) {
	const calls, deadLetters = 8, 32
	rules, err := mapping.Parse("test.yaml", []byte(`[{name: test, topic: "test/{device}"}]`), time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	var nested strings.Builder
	nested.WriteString(`{"` + strings.Repeat("n", 200) + `":{"x":1`)
	for i := range 500 {
		fmt.Fprintf(&nested, `,"%d":1`, i)
	}
	nested.WriteString("}},")
	for _, tt := range []struct {
		name, topic, payload string
		most                 int
	}{
		{"long batches", "", "[" + strings.Repeat(`{"x":1},`, 9_999) + `{}]`, 32 << 20},
		{"names that stand once and are needed often", "test/", "[" + strings.Repeat(nested.String(), 200) + `{}]`, 32 << 20},
		{"long readings", "", `{"x":1,"text":"` + strings.Repeat("t", 900_000) + `"}`, (32 + 16 + 8) << 20},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.rules = rules
			w.startKafka(t)
			call := make([]iot.DeadLetter, deadLetters)
			for i := range call { // they share their bytes
				call[i] = iot.DeadLetter{Rejection: iot.Rejection{Bytes: []byte(tt.payload)}, ID: iot.DeadLetterID{byte(i)}, Source: tt.topic + fmt.Sprint(i+1), TopicDevice: fmt.Sprint(i + 1), Received: noon}
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
