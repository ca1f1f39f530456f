package bridge_test

import (
	"slices"
	"testing"

	"github.com/eclipse/paho.golang/packets"

	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/kafka"
)

// What becomes no part of a reading is acknowledged, told to MQTT 5, and listed on a topic of its own.
func TestIgnored(t *testing.T) {
	t.Parallel()
	k := newKafka(t)
	var listed []event.Ignored
	k.consume(k.cfg.IgnoredTopic(), func(records []kafka.Record) {
		for i := range records {
			what, err := event.ReadIgnored(records[i].Value)
			if err != nil {
				t.Error(err)
			}
			listed = append(listed, what)
		}
	})
	b := endpoint(t, k, defaults())
	const (
		nobody  = 0x10
		undated = `{"x": 1}`
	)
	d5, _ := connect5(t, b.addr, connectPacket5("five"))
	d5.publish(&packets.Publish{QoS: 1, PacketID: 1, Topic: "/sensors/42/data", Payload: []byte("x")})
	want(d5, puback, 1, nobody)
	d5.publish(&packets.Publish{QoS: 2, PacketID: 2, Topic: "/sensors/42/data", Payload: []byte(undated)})
	want(d5, pubrec, 2, nobody)
	d5.send(packets.PUBREL, 2, &packets.Pubrel{PacketID: 2, Properties: new(packets.Properties)})
	want(d5, pubcomp, 2, 0)
	d5.publish(&packets.Publish{QoS: 1, PacketID: 3, Topic: "sensors/42/data", Payload: []byte(`{"x": 1, "y": NaN}`)})
	want(d5, puback, 3, 0)
	d := connect(t, b.addr, connectPacket("three"))
	d.publish(1, 1, "/sensors/42/data", undated)
	d.publish(1, 2, "sensors/42/data", `{"x": 1}`)
	d.wantAcks(1, 2)
	k.readings(2)

	k.await("what is ignored", func() bool { return len(listed) >= 2 })
	k.mu.Lock()
	defer k.mu.Unlock()
	slices.SortFunc(listed, func(a, b event.Ignored) int { return len(b.Topic) - len(a.Topic) })
	if topic := listed[0]; topic.Topic != "/sensors/42/data" || topic.Member != "" || topic.Count < 1 || topic.Replica != "telltale-bridge-test" ||
		topic.Hint != "did you mean sensors/42/data?" {
		t.Errorf("of the topic: %+v", topic)
	}
	if member := listed[len(listed)-1]; member.Topic != "sensors/42/data" || member.Member != "y" || member.ClientID != "five" || member.Example != "NaN" {
		t.Errorf("of the member: %+v", member)
	}
	if n := b.count("messages_total:ignored"); n != 3 {
		t.Errorf("%v messages are counted as ignored, want 3", n)
	}
	if n := b.count("incomplete_total"); n != 1 {
		t.Errorf("%v members are counted as incomplete, want 1", n)
	}
	b.conserved()
}
