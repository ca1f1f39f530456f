package bridge_test

import (
	"slices"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/kafka"
)

// What is seen of devices and their clients is told on a topic of its own.
func TestTrace(t *testing.T) {
	t.Parallel()
	k := newKafka(t)
	parts := map[int]event.Seen{}
	k.consume(k.cfg.TraceTopic(), func(records []kafka.Record) {
		for i := range records {
			seen, err := event.ReadSeen(records[i].Value)
			if err != nil {
				t.Error(err)
			}
			parts[seen.Part] = seen
		}
	})
	b := endpoint(t, k, defaults())
	begin := time.Now().Truncate(time.Millisecond)
	d := connect(t, b.addr, connectPacket("thermo"))
	d.publish(1, 1, "sensors/42/data", `{"temperature": 21}`)
	d.publish(1, 2, "sensors/43/data", `{"temperature": `)
	d.wantAcks(1, 2)
	d5, _ := connect5(t, b.addr, connectPacket5("five"))
	_ = d5.conn.Close()

	var devices []event.SeenDevice
	var clients []event.SeenClient
	k.await("what is seen", func() bool {
		devices, clients = nil, nil
		for _, seen := range parts {
			devices, clients = append(devices, seen.Devices...), append(clients, seen.Clients...)
		}
		return len(devices) == 2 && len(clients) == 2 && slices.ContainsFunc(clients, func(c event.SeenClient) bool { return !c.Until.IsZero() })
	})
	k.mu.Lock()
	defer k.mu.Unlock()
	if alive := parts[0]; alive.Replica != "telltale-bridge-test" || !alive.Listens {
		t.Errorf("of the bridge: %+v", alive)
	}
	slices.SortFunc(devices, func(a, b event.SeenDevice) int { return int(a.Device - b.Device) })
	for i, d := range devices {
		if d.Topic != []string{"sensors/42/data", "sensors/43/data"}[i] || d.DeadLetter != (i == 1) || !slices.Equal(d.Clients, []string{"thermo"}) || d.At.Before(begin) {
			t.Errorf("of a device: %+v", d)
		}
	}
	slices.SortFunc(clients, func(a, b event.SeenClient) int { return len(a.ID) - len(b.ID) })
	if five := clients[0]; five.ID != "five" || five.Protocol != "MQTT 5" || five.Until.Before(five.Since) {
		t.Errorf("of a client that has left: %+v", five)
	}
	if thermo := clients[1]; thermo.ID != "thermo" || thermo.Protocol != "MQTT 3.1.1" || !thermo.Until.IsZero() || thermo.Since.Before(begin) || thermo.Address == "" {
		t.Errorf("of a client that is there: %+v", thermo)
	}
}
