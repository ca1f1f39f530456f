package updater_test

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/heaptest"
	"github.com/telltale-iot/telltale/pkg/kafka"
)

// TestMemory bounds what an updater takes while it passes over what is small on the topic and large in memory, and
// fills a new cache from there too.
func TestMemory(t *testing.T) {
	const most = 24 << 20
	s, want := embeddedServers(t), reading(1, 0, 1)
	cfg, cache := s.newTopic(t), s.openCache(t)
	junk := kafka.Record{Topic: cfg.Topic, Key: []byte("1"), Value: []byte("[" + strings.Repeat("1,", 9_999) + "1]"), Timestamp: want.Received}
	for range 20 {
		produce(t, cfg, junk)
	}
	produce(t, cfg, event.Record(cfg.Topic, want))
	grown := heaptest.Watch(t)
	metrics := start(t, cfg, cache)
	await(t, cache, want)
	for deadline := time.Now().Add(testTimeout); rejected(t, metrics) < 20*10_000; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the consumer does not come to an end")
		}
	}
	if n := grown(); n > most {
		t.Errorf("%d MiB, want %d at most", n>>20, most>>20)
	} else {
		t.Logf("%d MiB", n>>20)
	}
}

// rejected is how many readings an updater has passed over.
func rejected(t *testing.T, metrics *prometheus.Registry) (n float64) {
	t.Helper()
	families, err := metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "telltale_updater_readings_total" && m.GetLabel()[0].GetValue() == "rejected" {
				n = m.GetCounter().GetValue()
			}
		}
	}
	return n
}
