package bridge_test

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/telltale-iot/telltale/pkg/iot"
)

func TestListenAcknowledgesAfterKafka(t *testing.T) {
	t.Parallel()
	for name, qos := range map[string]byte{"PUBACK at QoS 1": 1, "PUBREC at QoS 2": 2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newKafka(t)
			b := endpoint(t, k, defaults())
			k.stop()
			d := connect(t, b.addr, connectPacket("a"))
			for i := 1; i <= 100; i++ {
				d.publish(qos, i, "sensors/data", reading(i%7+1, i))
			}
			d.quiet()
			b.reaches("readings_in_flight", 100)
			d.quiet()
			k.start()
			d.wantAcks(seq(1, 100)...)
			if n := len(k.readings(100)); n != 100 {
				t.Errorf("%d readings in Kafka, want 100", n)
			}
			b.conserved()
		})
	}
}

// TestListenRefuses checks the answer to a CONNECT that is refused by MQTT 3.1.1, section 3.2.2.3.
func TestListenRefuses(t *testing.T) {
	t.Parallel()
	cfg := defaults()
	cfg.Listen.MaxConnections = 1
	b := endpoint(t, newKafka(t), cfg)
	answer := func(connect string) string {
		t.Helper()
		conn, err := net.Dial("tcp", b.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		_ = conn.SetDeadline(time.Now().Add(testTimeout))
		if _, err := io.WriteString(conn, connect); err != nil {
			t.Fatal(err)
		}
		connack := make([]byte, 4)
		if _, err := io.ReadFull(conn, connack); err != nil {
			t.Fatal(err)
		}
		return string(connack)
	}
	const noSession, cleanSession = "\x00", "\x02"
	if got := answer("\x10\x0c\x00\x04MQTT\x04" + noSession + "\x00\x3c\x00\x00"); got != "\x20\x02\x00\x02" {
		t.Errorf("no client id and no clean session: %q", got)
	}
	if got := answer("\x10\x0d\x00\x04MQTT\x09" + cleanSession + "\x00\x3c\x00\x01a"); got != "\x20\x02\x00\x01" {
		t.Errorf("level 9 of the protocol: %q", got)
	}
	connect(t, b.addr, connectPacket("a"))
	if got := answer("\x10\x0d\x00\x04MQTT\x04" + cleanSession + "\x00\x3c\x00\x01b"); got != "\x20\x02\x00\x03" {
		t.Errorf("one connection too many: %q", got)
	}
}

func TestListenKeepsOrder(t *testing.T) {
	t.Parallel()
	k := newKafka(t)
	b := endpoint(t, k, defaults())
	d := connect(t, b.addr, connectPacket("a"))
	const messages, devices = 5000, 13
	go func() {
		for i := range messages {
			d.publish(1, i+1, "sensors/data", reading(i%devices+1, i))
		}
	}()
	d.wantAcks(seq(1, messages)...)
	k.different(messages)
	last, seen := make(map[iot.DeviceID]time.Time), make(map[key]bool)
	for _, r := range k.readings(messages) {
		identity := key{r.Device, r.At.UnixMilli()}
		if seen[identity] {
			continue // Kafka may have it twice
		}
		seen[identity] = true
		if !r.At.After(last[r.Device]) {
			t.Fatalf("device %v: %v comes after %v", r.Device, r.At, last[r.Device])
		}
		last[r.Device] = r.At
	}
	b.conserved()
}

func TestListenQoS2(t *testing.T) {
	t.Parallel()
	k := newKafka(t)
	b := endpoint(t, k, defaults())
	d := connect(t, b.addr, connectPacket("a"))
	again := publication(2, 7, "sensors/data", reading(1, 1))
	again.Dup = true
	release := func(d *device) {
		t.Helper()
		p := packets.NewControlPacket(packets.Pubrel).(*packets.PubrelPacket)
		p.MessageID = 7
		d.send(p)
		if p, ok := d.receive().(*packets.PubcompPacket); !ok || p.MessageID != 7 {
			t.Fatalf("received %v, want PUBCOMP of 7", p)
		}
	}

	k.stop()
	d.publish(2, 7, "sensors/data", reading(1, 1))
	d.send(again)
	d.quiet()
	d.conn.Close()
	d = connect(t, b.addr, connectPacket("a"))
	d.send(again)
	d.quiet()
	k.start()
	d.wantAcks(7)
	d.send(again) // as if the PUBREC had been lost
	d.wantAcks(7)
	d.conn.Close()
	d = connect(t, b.addr, connectPacket("a"))
	d.send(again)
	d.wantAcks(7) // the session has it
	release(d)

	d.publish(2, 7, "sensors/data", reading(1, 2)) // the id is free again
	d.wantAcks(7)
	release(d)
	if got := k.readings(2); len(got) != 2 {
		t.Errorf("%d readings in Kafka, want each of the two once", len(got))
	}
	b.conserved()
}

// A device that forgot its state, and kept its session, starts its packet ids anew: at one that the bridge
// still holds for a QoS 2 message which was never released.
func TestListenQoS2NeverReleased(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		qos     byte
		dup     bool // what was sent before did not arrive
		payload string
	}{
		{"another message under the same id is taken", 2, false, reading(1, 2)},
		{"so is one at QoS 1, and has its PUBACK", 1, false, reading(1, 2)},
		{"at QoS 1 with DUP too", 1, true, reading(1, 2)},
		{"at QoS 2 with DUP by its content", 2, true, reading(1, 2)},
		{"an equal message without DUP is another one", 2, false, reading(1, 1)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			k := newKafka(t)
			b := endpoint(t, k, defaults())
			d := connect(t, b.addr, connectPacket("a"))
			d.publish(2, 7, "sensors/data", reading(1, 1))
			d.wantAcks(7)
			_ = d.conn.Close()
			d = connect(t, b.addr, connectPacket("a"))
			p := publication(tt.qos, 7, "sensors/data", tt.payload)
			p.Dup = tt.dup
			d.send(p)
			switch ack := d.receive().(type) {
			case *packets.PubackPacket:
				if tt.qos != 1 {
					t.Errorf("received %v, want PUBREC", ack)
				}
			case *packets.PubrecPacket:
				if tt.qos != 2 {
					t.Errorf("received %v, want PUBACK", ack)
				}
			default:
				t.Errorf("received %v, want an acknowledgement", ack)
			}
			if n := b.count("readings_total:produced"); n != 2 {
				t.Errorf("%v readings in Kafka when the second message is acknowledged, want 2", n)
			}
			b.conserved()
		})
	}
}
