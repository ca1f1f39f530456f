package bridge_test

import (
	"bufio"
	"net"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"
)

// device5 speaks MQTT 5 a packet at a time.
type device5 struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
}

func connectPacket5(id string) *packets.Connect {
	return &packets.Connect{
		ProtocolName: "MQTT", ProtocolVersion: 5, ClientID: id, KeepAlive: 60,
		Properties: &packets.Properties{SessionExpiryInterval: ref(uint32(60))},
	}
}

func ref[T any](v T) *T { return &v }

// connect5 returns a device whose session was accepted, and how.
func connect5(t *testing.T, addr string, p *packets.Connect) (*device5, *packets.Connack) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	d := &device5{t: t, conn: c, r: bufio.NewReader(c)}
	d.send(packets.CONNECT, 0, p)
	ack, ok := d.receive().(*packets.Connack)
	if !ok || ack.ReasonCode != 0 {
		t.Fatalf("connection refused: %v", ack)
	}
	return d, ack
}

func (d *device5) send(kind, flags byte, content packets.Packet) {
	d.t.Helper()
	p := packets.ControlPacket{Content: content}
	p.Type, p.Flags = kind, flags
	if _, err := p.WriteTo(d.conn); err != nil {
		d.t.Fatal(err)
	}
}

func (d *device5) publish(p *packets.Publish) {
	d.t.Helper()
	if p.Properties == nil {
		p.Properties = new(packets.Properties)
	}
	flags := p.QoS << 1
	if p.Duplicate {
		flags |= 8
	}
	d.send(packets.PUBLISH, flags, p)
}

// receive returns the content of the next packet; nil when the connection has ended.
func (d *device5) receive() packets.Packet {
	d.t.Helper()
	_ = d.conn.SetReadDeadline(time.Now().Add(testTimeout))
	p, err := packets.ReadPacket(d.r)
	if err != nil {
		return nil
	}
	return p.Content
}

// want receives a packet of the same type with these packet id and reason code.
func want[P packets.Packet](d *device5, fields func(P) (id uint16, code byte), id uint16, code byte) {
	d.t.Helper()
	got := d.receive()
	p, ok := got.(P)
	if !ok {
		d.t.Fatalf("received %T %v, want %T", got, got, p)
	}
	if gotID, gotCode := fields(p); gotID != id || gotCode != code {
		d.t.Errorf("received %T of %d with code %#x, want %d and %#x", p, gotID, gotCode, id, code)
	}
}

func puback(p *packets.Puback) (uint16, byte)         { return p.PacketID, p.ReasonCode }
func pubrec(p *packets.Pubrec) (uint16, byte)         { return p.PacketID, p.ReasonCode }
func pubcomp(p *packets.Pubcomp) (uint16, byte)       { return p.PacketID, p.ReasonCode }
func disconnect(p *packets.Disconnect) (uint16, byte) { return 0, p.ReasonCode }

func TestListenMQTT5(t *testing.T) {
	t.Parallel()
	t.Run("the limits are announced", func(t *testing.T) {
		t.Parallel()
		b := endpoint(t, newKafka(t), defaults())
		_, ack := connect5(t, b.addr, connectPacket5("a"))
		p := ack.Properties
		if p.ReceiveMaximum == nil || *p.ReceiveMaximum != 16384 ||
			p.MaximumPacketSize == nil || *p.MaximumPacketSize != 1114112 ||
			p.TopicAliasMaximum == nil || *p.TopicAliasMaximum != 16 {
			t.Errorf("announced: %v", p)
		}
	})

	t.Run("a reading is acknowledged, whatever its properties", func(t *testing.T) {
		t.Parallel()
		k := newKafka(t)
		b := endpoint(t, k, defaults())
		k.stop()
		d, _ := connect5(t, b.addr, connectPacket5("a"))
		d.publish(&packets.Publish{
			QoS: 1, PacketID: 9, Topic: "sensors/data", Payload: []byte(reading(1, 1)),
			Properties: &packets.Properties{
				MessageExpiry: ref(uint32(1)), // it may expire on a broker; this is none
				ContentType:   "application/json",
				User:          []packets.User{{Key: "firmware", Value: "7"}},
			},
		})
		b.reaches("readings_in_flight", 1)
		k.start()
		want(d, puback, 9, 0)
		k.readings(1)
	})

	t.Run("topics can be abbreviated", func(t *testing.T) {
		t.Parallel()
		k := newKafka(t)
		b := endpoint(t, k, defaults())
		d, _ := connect5(t, b.addr, connectPacket5("a"))
		for i, topic := range []string{"sensors/3/data", ""} {
			d.publish(&packets.Publish{
				QoS: 1, PacketID: uint16(i + 1), Topic: topic, Payload: []byte(reading(3, i)),
				Properties: &packets.Properties{TopicAlias: ref(uint16(2))},
			})
			want(d, puback, uint16(i+1), 0)
		}
		k.readings(2)
		d.publish(&packets.Publish{
			QoS: 1, PacketID: 3, Payload: []byte(reading(3, 3)),
			Properties: &packets.Properties{TopicAlias: ref(uint16(5))}, // never introduced
		})
		want(d, disconnect, 0, 0x82)
	})

	t.Run("a QoS 2 message sent again is no error", func(t *testing.T) {
		t.Parallel()
		k := newKafka(t)
		b := endpoint(t, k, defaults())
		d, _ := connect5(t, b.addr, connectPacket5("a"))
		p := &packets.Publish{QoS: 2, PacketID: 4, Topic: "sensors/data", Payload: []byte(reading(1, 1))}
		d.publish(p)
		want(d, pubrec, 4, 0)
		p.Duplicate = true
		d.publish(p)
		want(d, pubrec, 4, 0)
		d.send(packets.PUBREL, 2, &packets.Pubrel{PacketID: 4, Properties: new(packets.Properties)})
		want(d, pubcomp, 4, 0)
		if n := len(k.readings(1)); n != 1 {
			t.Errorf("%d readings in Kafka, want 1", n)
		}
		b.conserved()
	})

	t.Run("the bridge says that it stops", func(t *testing.T) {
		t.Parallel()
		b := endpoint(t, newKafka(t), defaults())
		d, _ := connect5(t, b.addr, connectPacket5("a"))
		b.reaches("connections", 1)
		b.stop()
		want(d, disconnect, 0, 0x8b)
	})

	t.Run("a delayed will is published when its time or the session is over", func(t *testing.T) {
		t.Parallel()
		k := newKafka(t)
		b := endpoint(t, k, defaults())
		for i, tt := range []struct{ delay, session uint32 }{{1, 60}, {30, 0}, {1, 1}, {0, 60}} {
			p := connectPacket5("a")
			p.Properties.SessionExpiryInterval = &tt.session
			p.WillFlag, p.WillTopic, p.WillMessage = true, "sensors/data", []byte(reading(1, i))
			p.WillProperties = &packets.Properties{WillDelayInterval: &tt.delay}
			d, _ := connect5(t, b.addr, p)
			_ = d.conn.Close()
			k.readings(i + 1)
		}
		b.conserved()
	})
}
