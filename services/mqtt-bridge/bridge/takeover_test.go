package bridge_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
)

func TestListenWhileAnotherTakesTheClientID(t *testing.T) {
	t.Parallel()
	k := newKafka(t)
	b := endpoint(t, k, defaults())
	const connections, messages = 10, 2000
	acked := make(map[int]bool) // by the second of the reading
	d := connect(t, b.addr, connectPacket("a"))
	for round := range connections {
		var sent sync.WaitGroup
		sent.Go(func() {
			for i := range messages {
				if publication(1, i+1, "sensors/data", reading(1, round*messages+i)).Write(d.conn) != nil {
					return
				}
			}
		})
		for _, id := range d.acks(messages / 4) {
			acked[round*messages+id-1] = true
		}
		next := connect(t, b.addr, connectPacket("a"))
		for _, id := range d.acksUntilEnd() {
			acked[round*messages+id-1] = true
		}
		sent.Wait()
		d = next
	}
	d.quiet()
	b.reaches("connections", 1)
	b.reaches("readings_in_flight", 0)
	inKafka := keys(k.readings(int(b.count("readings_total:produced"))))
	for second := range acked {
		at := time.Date(2026, 1, 2, 0, 0, second, 0, time.UTC).UnixMilli()
		if inKafka[key{1, at}] == 0 {
			t.Fatalf("reading %d was acknowledged and is not in Kafka", second)
		}
	}
	b.conserved()
}

// After a power cut all devices come back at the same moment, before their old connections are known to be
// dead.
func TestListenReconnectStorm(t *testing.T) {
	t.Parallel()
	const devices, storms = 1000, 3
	k := newKafka(t)
	cfg := defaults()
	cfg.Listen.MaxConnections = 2 * devices
	b := endpoint(t, k, cfg)
	for storm := range storms {
		var all sync.WaitGroup
		for i := range devices {
			all.Go(func() {
				d := connect(t, b.addr, connectPacket(fmt.Sprint("device", i)))
				d.publish(1, 1, "sensors/data", reading(i+1, storm))
				d.wantAcks(1)
			})
		}
		all.Wait()
		if t.Failed() {
			return
		}
		b.reaches("connections", devices) // the old ones were closed
	}
	got := keys(k.readings(devices * storms))
	for i := range devices {
		for storm := range storms {
			at := time.Date(2026, 1, 2, 0, 0, storm, 0, time.UTC).UnixMilli()
			if got[key{iot.DeviceID(i + 1), at}] != 1 {
				t.Fatalf("device %d's reading in storm %d is in Kafka %d times", i+1, storm, got[key{iot.DeviceID(i + 1), at}])
			}
		}
	}
	b.conserved()
}
