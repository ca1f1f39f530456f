package registrar_test

import (
	"strings"
	"testing"

	"github.com/telltale-iot/telltale/pkg/heaptest"
	"github.com/telltale-iot/telltale/pkg/kafka"
)

// TestMemory bounds what a registrar takes while it passes over what is small on the topic and large in memory.
func TestMemory(t *testing.T) {
	const most = 24 << 20
	w := newWorld(t)
	junk := kafka.Record{Topic: w.kafka.Topic, Key: []byte("7"), Value: []byte("[" + strings.Repeat("1,", 9_999) + "1]")}
	for range 20 {
		w.send(t, junk)
	}
	w.publish(t, 7)
	grown := heaptest.Watch(t)
	w.start(t, w.store)
	w.awaitDevice(t, 7)
	if n := grown(); n > most {
		t.Errorf("%d MiB, want %d at most", n>>20, most>>20)
	} else {
		t.Logf("%d MiB", n>>20)
	}
}
