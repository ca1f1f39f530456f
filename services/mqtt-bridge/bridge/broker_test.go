package bridge_test

import (
	"bufio"
	"net"
	"slices"
	"testing"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/telltale-iot/telltale/services/mqtt-bridge/bridge"
)

// testBroker is a broker that a test plays, a packet at a time. What the bridge is to a broker, a device
// is to it: the methods of device serve both.
type testBroker struct {
	t *testing.T
	l net.Listener
}

func newBroker(t *testing.T) *testBroker {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return &testBroker{t, l}
}

// subscribe starts a bridge that subscribes to the broker.
func (broker *testBroker) subscribe(k *testKafka, change func(*bridge.Config)) *testBridge {
	cfg := defaults()
	cfg.Broker.URL = "tcp://" + broker.l.Addr().String()
	if change != nil {
		change(&cfg)
	}
	return start(broker.t, k, cfg, nil)
}

// accept returns the bridge's next connection, and the CONNECT that came over it.
func (broker *testBroker) accept() (*device, *packets.ConnectPacket) {
	broker.t.Helper()
	c, err := broker.l.Accept()
	if err != nil {
		broker.t.Fatal(err)
	}
	broker.t.Cleanup(func() { _ = c.Close() })
	d := &device{t: broker.t, conn: c, r: bufio.NewReader(c)}
	p, ok := d.receive().(*packets.ConnectPacket)
	if !ok {
		broker.t.Fatalf("received %v, want CONNECT", p)
	}
	return d, p
}

func (d *device) connack(code byte, present bool) {
	d.t.Helper()
	p := packets.NewControlPacket(packets.Connack).(*packets.ConnackPacket)
	p.ReturnCode, p.SessionPresent = code, present
	d.send(p)
}

// unsubscribed answers an UNSUBSCRIBE and returns its filters.
func (d *device) unsubscribed() []string {
	d.t.Helper()
	p, ok := d.receive().(*packets.UnsubscribePacket)
	if !ok {
		d.t.Fatalf("received %v, want UNSUBSCRIBE", p)
	}
	ack := packets.NewControlPacket(packets.Unsuback).(*packets.UnsubackPacket)
	ack.MessageID = p.MessageID
	d.send(ack)
	slices.Sort(p.Topics)
	return p.Topics
}

// subscribed answers a SUBSCRIBE with code for each filter, and returns them.
func (d *device) subscribed(code byte) map[string]byte {
	d.t.Helper()
	p, ok := d.receive().(*packets.SubscribePacket)
	if !ok {
		d.t.Fatalf("received %v, want SUBSCRIBE", p)
	}
	filters := make(map[string]byte)
	ack := packets.NewControlPacket(packets.Suback).(*packets.SubackPacket)
	ack.MessageID = p.MessageID
	for i, f := range p.Topics {
		filters[f] = p.Qoss[i]
		ack.ReturnCodes = append(ack.ReturnCodes, code)
	}
	d.send(ack)
	return filters
}

// session accepts the bridge's next connection and its subscriptions.
func (broker *testBroker) session() *device {
	broker.t.Helper()
	d, _ := broker.accept()
	d.connack(packets.Accepted, false)
	d.subscribed(1)
	d.unsubscribed()
	return d
}
