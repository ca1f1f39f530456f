package bridge_test

import (
	"bytes"
	"testing"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/bridge"
)

// What edge nodes of Sparkplug publish, as bytes of the specification: a BIRTH that gives a temperature the alias 1, and two by
// that alias.
const (
	nodeBirth = "\x12\x1a\x0a\x0bTemperature\x10\x01\x20\x0a\x69\x00\x00\x00\x00\x00\x80\x35\x40\x18\x00"
	nodeData  = "\x12\x0b\x10\x01\x69\x00\x00\x00\x00\x00\x00\x36\x40\x18\x01"
	nextData  = "\x12\x0b\x10\x01\x69\x00\x00\x00\x00\x00\x00\x36\x40\x18\x02"
	rebirth   = "Node Control/Rebirth"
)

// A node whose BIRTH was not seen is asked for it, and read from then on; a new connection may have missed another one.
func TestSparkplug(t *testing.T) {
	t.Parallel()
	asked := func(d *device) {
		t.Helper()
		p, ok := d.receive().(*packets.PublishPacket)
		if !ok || p.TopicName != "spBv1.0/plant/NCMD/press" || !bytes.Contains(p.Payload, []byte(rebirth)) || p.Qos != 0 || p.Retain {
			t.Errorf("the node gets %v", p)
		}
	}
	values := func(k *testKafka, n int, want float64) {
		t.Helper()
		if v, _ := k.readings(n)[n-1].Metric("temperature"); v != want {
			t.Errorf("temperature %v, want %v", v, want)
		}
	}

	t.Run("listen", func(t *testing.T) {
		t.Parallel()
		k := newKafka(t)
		cfg := defaults()
		cfg.Topics = nil
		d := connect(t, endpoint(t, k, cfg).addr, connectPacket("press"))
		s := packets.NewControlPacket(packets.Subscribe).(*packets.SubscribePacket)
		s.MessageID, s.Topics, s.Qoss = 1, []string{"spBv1.0/plant/NCMD/press/#"}, []byte{1}
		d.send(s)
		if _, ok := d.receive().(*packets.SubackPacket); !ok {
			t.Fatal("no SUBACK")
		}
		d.publish(0, 0, "spBv1.0/plant/NDATA/press", nodeData)
		asked(d)
		k.wantDeadLetters(deadLetter{"unknown_alias", "spBv1.0/plant/NDATA/press", iot.KeyID("plant/press").String(), nodeData})
		d.publish(0, 0, "spBv1.0/plant/NBIRTH/press", nodeBirth)
		d.publish(0, 0, "spBv1.0/plant/NDATA/press", nodeData)
		values(k, 2, 22)
	})

	t.Run("subscribe", func(t *testing.T) {
		t.Parallel()
		k, broker := newKafka(t), newBroker(t)
		broker.subscribe(k, func(cfg *bridge.Config) { cfg.Topics = nil })
		d := broker.session()
		d.publish(0, 0, "spBv1.0/plant/NBIRTH/press", nodeBirth)
		d.publish(0, 0, "spBv1.0/plant/NDATA/press", nodeData)
		values(k, 2, 22)
		_ = d.conn.Close()
		d = broker.session()
		d.publish(0, 0, "spBv1.0/plant/NDATA/press", nextData)
		asked(d)
	})
}
