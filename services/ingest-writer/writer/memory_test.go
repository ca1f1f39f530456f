package writer_test

import (
	"strings"
	"testing"

	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/heaptest"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka"
)

// TestMemory bounds what the writer takes, and with it the broker in this process, while it handles what is small on
// the topic and large in memory.
func TestMemory(t *testing.T) {
	const most = 32 << 20
	ones := func(n int) []byte { return []byte("[" + strings.Repeat("1,", n-1) + "1]") }
	for _, tt := range []struct {
		name        string
		records     int
		value       []byte
		deadLetters int // of each
	}{
		{"records of a megabyte", 32, ones(499_999), 1},
		{"a hundred thousand dead letters", 10, ones(10_000), 10_000},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := newEnvironment(t)
			for range tt.records {
				e.produce(kafka.Record{Topic: e.kafka.Topic, Value: tt.value})
			}
			grown := heaptest.Watch(t)
			e.start()
			e.expectCounts(map[string]float64{"rejected": float64(tt.records * tt.deadLetters)})
			if n := grown(); n > most {
				t.Errorf("%d MiB, want %d at most", n>>20, most>>20)
			} else {
				t.Logf("%d MiB", n>>20)
			}
		})
	}
}

// TestMemoryInABacklog bounds what the writer takes, and with it the broker in this process, while there are more readings
// on each of the usual 12 partitions than it has in memory, and the store is away.
func TestMemoryInABacklog(t *testing.T) {
	const readings, most = 100_000, 20 << 20
	e := newEnvironmentOf(t, 12)
	for ms := range readings / 1000 {
		var records []kafka.Record
		for device := range 1000 {
			records = append(records, event.Record(e.kafka.Topic, measured(iot.DeviceID(1+device), ms, 1)))
		}
		e.produce(records...)
	}
	e.store.down.Store(true)
	grown := heaptest.Watch(t)
	e.start()
	e.eventually("the first batches refused some times", func() bool { return e.store.refused.Load() > 3*12 })
	if n := grown(); n > most {
		t.Errorf("%d MiB, want %d at most", n>>20, most>>20)
	} else {
		t.Logf("%d MiB", n>>20)
	}
}
