package bridge_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// device speaks MQTT 3.1.1 a packet at a time, so that a test sees what is sent when.
type device struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
}

// connectPacket returns a CONNECT with a persistent session; change it at will.
func connectPacket(id string) *packets.ConnectPacket {
	p := packets.NewControlPacket(packets.Connect).(*packets.ConnectPacket)
	p.ProtocolName, p.ProtocolVersion = "MQTT", 4
	p.ClientIdentifier = id
	p.Keepalive = 60
	return p
}

// connect returns a device whose session the endpoint at addr has accepted.
func connect(t *testing.T, addr string, p *packets.ConnectPacket) *device {
	t.Helper()
	d := dial(t, addr)
	d.send(p)
	ack, ok := d.receive().(*packets.ConnackPacket)
	if !ok || ack.ReturnCode != packets.Accepted {
		t.Fatalf("connection refused: %v", ack)
	}
	return d
}

func dial(t *testing.T, addr string) *device {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return &device{t: t, conn: c, r: bufio.NewReader(c)}
}

func (d *device) send(p packets.ControlPacket) {
	d.t.Helper()
	_ = d.conn.SetWriteDeadline(time.Now().Add(testTimeout))
	if err := p.Write(d.conn); err != nil {
		d.t.Fatal(err)
	}
}

// receive returns the next packet; nil when the connection has ended. A ping, of a bridge to a broker, is
// answered and passed over.
func (d *device) receive() packets.ControlPacket {
	d.t.Helper()
	for {
		_ = d.conn.SetReadDeadline(time.Now().Add(testTimeout))
		p, err := packets.ReadPacket(d.r)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			d.t.Fatalf("nothing received for %v", testTimeout)
		}
		if err != nil {
			return nil
		}
		if _, ping := p.(*packets.PingreqPacket); !ping {
			return p
		}
		d.send(packets.NewControlPacket(packets.Pingresp))
	}
}

// publication returns a PUBLISH; id is of no meaning at QoS 0.
func publication(qos byte, id int, topic, payload string) *packets.PublishPacket {
	p := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
	p.Qos, p.MessageID, p.TopicName, p.Payload = qos, uint16(id), topic, []byte(payload)
	return p
}

func (d *device) publish(qos byte, id int, topic, payload string) {
	d.t.Helper()
	d.send(publication(qos, id, topic, payload))
}

// acks receives n acknowledgements, PUBACK or PUBREC, and returns their packet ids.
func (d *device) acks(n int) []int {
	d.t.Helper()
	var ids []int
	for len(ids) < n {
		switch p := d.receive().(type) {
		case *packets.PubackPacket:
			ids = append(ids, int(p.MessageID))
		case *packets.PubrecPacket:
			ids = append(ids, int(p.MessageID))
		case nil:
			d.t.Fatalf("the connection ended after %d of %d acknowledgements", len(ids), n)
		default:
			d.t.Fatalf("received %v, want an acknowledgement", p)
		}
	}
	return ids
}

// wantAcks receives the acknowledgements of exactly these messages, in this order.
func (d *device) wantAcks(ids ...int) {
	d.t.Helper()
	if got := d.acks(len(ids)); !slices.Equal(got, ids) {
		d.t.Errorf("acknowledged %v, want %v", got, ids)
	}
}

// readsToTheEnd checks that the other side, which has sent its last packet, reads on until d closes the connection.
// If it closed first, the connection would be reset, and with it could go what d has not received yet.
func (d *device) readsToTheEnd() {
	d.t.Helper()
	for i := range 1000 {
		d.publish(1, i+1, "sensors/data", reading(1, i))
	}
	_ = d.conn.Close()
}

// quiet checks that nothing is sent before the answer to a ping.
func (d *device) quiet() {
	d.t.Helper()
	d.send(packets.NewControlPacket(packets.Pingreq))
	if p, ok := d.receive().(*packets.PingrespPacket); !ok {
		d.t.Fatalf("received %v, want nothing but the answer to a ping", p)
	}
}

// ended checks that the connection is ended by the other side.
func (d *device) ended() {
	d.t.Helper()
	_ = d.conn.SetReadDeadline(time.Now().Add(testTimeout))
	if _, err := io.Copy(io.Discard, d.r); errors.Is(err, os.ErrDeadlineExceeded) {
		d.t.Fatalf("still connected after %v", testTimeout)
	}
}

// reading is a payload of one reading, at the given second of a day.
func reading(device, second int) string {
	at := time.Date(2026, 1, 2, 0, 0, second, 0, time.UTC)
	return fmt.Sprintf(`{"device_id": %d, "temperature": 21.5, "humidity": 40, "timestamp": %q}`, device, at.Format(time.RFC3339))
}

// seq returns from, from+1, … to.
func seq(from, to int) []int {
	var s []int
	for i := from; i <= to; i++ {
		s = append(s, i)
	}
	return s
}
