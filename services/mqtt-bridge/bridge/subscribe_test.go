package bridge_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/eclipse/paho.mqtt.golang/packets"
	"github.com/google/go-cmp/cmp"

	"github.com/telltale-iot/telltale/services/mqtt-bridge/bridge"
)

func TestSubscribe(t *testing.T) {
	t.Parallel()
	plain := []string{"sensors/+/data", "sensors/data"}
	shared := []string{"$share/telltale/sensors/+/data", "$share/telltale/sensors/data"}
	for _, tt := range []struct {
		name          string
		shared        bool
		wanted, other []string
	}{
		{"to the topics of readings, in a session that lasts", false, plain, shared},
		{"shared with the other replicas", true, shared, plain},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			broker := newBroker(t)
			b := broker.subscribe(newKafka(t), func(c *bridge.Config) {
				c.Broker.URL = strings.Replace(c.Broker.URL, "tcp://", "mqtt://me:secret@", 1)
				c.Broker.Shared = tt.shared
			})
			d, p := broker.accept()
			if p.CleanSession || p.ClientIdentifier != "telltale-bridge-test" || p.Keepalive != 30 ||
				p.Username != "me" || string(p.Password) != "secret" || p.ProtocolVersion != 4 {
				t.Errorf("connects as %v", p)
			}
			d.connack(packets.Accepted, false)
			got := d.subscribed(1)
			if diff := cmp.Diff(map[string]byte{tt.wanted[0]: 1, tt.wanted[1]: 1}, got); diff != "" {
				t.Errorf("subscriptions (-want +got):\n%s", diff)
			}
			b.checked("starting")
			// Only now: the broker drops what comes while there is no subscription.
			if got := d.unsubscribed(); !slices.Equal(got, tt.other) {
				t.Errorf("unsubscribes from %v, want %v", got, tt.other)
			}
			b.checked("")
		})
	}

	t.Run("to what the rules name, and no longer to what was the default before there were any", func(t *testing.T) {
		t.Parallel()
		broker := newBroker(t)
		broker.subscribe(newKafka(t), func(c *bridge.Config) { c.Topics, c.Mapping.Mappings = nil, []string{"telltale", "ttn"} })
		d, _ := broker.accept()
		d.connack(packets.Accepted, true)
		if diff := cmp.Diff(map[string]byte{"sensors/data": 1, "sensors/+/+": 1, "v3/+/devices/+/up": 1}, d.subscribed(1)); diff != "" {
			t.Errorf("subscriptions (-want +got):\n%s", diff)
		}
		want := []string{
			"$share/telltale/sensors/+/+", "$share/telltale/sensors/+/data", "$share/telltale/sensors/data",
			"$share/telltale/v3/+/devices/+/up", "sensors/+/data",
		}
		if got := d.unsubscribed(); !slices.Equal(got, want) {
			t.Errorf("unsubscribes from %v, want %v", got, want)
		}
	})

	t.Run("a refused subscription is reported, and tried again", func(t *testing.T) {
		t.Parallel()
		broker := newBroker(t)
		b := broker.subscribe(newKafka(t), nil)
		d, _ := broker.accept()
		d.connack(packets.Accepted, false)
		d.subscribed(0x80)
		b.checked("refuses sensors/")
		broker.session()
		b.checked("")
	})

	t.Run("so is one at QoS 0 only, where the broker may drop messages", func(t *testing.T) {
		t.Parallel()
		broker := newBroker(t)
		b := broker.subscribe(newKafka(t), nil)
		d, _ := broker.accept()
		d.connack(packets.Accepted, false)
		d.subscribed(0)
		if p, ok := d.receive().(*packets.DisconnectPacket); !ok {
			t.Errorf("received %v, want DISCONNECT", p)
		}
		_ = d.conn.Close()
		b.checked("grants sensors/")
		b.checked("at QoS 0 only")
		broker.session()
		b.checked("")
	})

	t.Run("a refused connection is reported, and tried again", func(t *testing.T) {
		t.Parallel()
		broker := newBroker(t)
		b := broker.subscribe(newKafka(t), nil)
		d, _ := broker.accept()
		d.connack(packets.ErrRefusedNotAuthorised, false)
		b.checked("not Authorized")
		broker.session()
		b.checked("")
	})
}

func TestSubscribeAcknowledgesAfterKafka(t *testing.T) {
	t.Parallel()
	t.Run("in the order of receipt", func(t *testing.T) {
		t.Parallel()
		k, broker := newKafka(t), newBroker(t)
		b := broker.subscribe(k, nil)
		d := broker.session()
		k.stop()
		const messages = 2000
		for i := range messages {
			d.publish(1, i+1, "sensors/data", reading(i%17+1, i))
		}
		b.reaches("readings_in_flight", messages)
		k.start()
		d.wantAcks(seq(1, messages)...)
		if n := len(k.different(messages)); n != messages {
			t.Errorf("%d readings in Kafka, want %d", n, messages)
		}
		b.conserved()
	})

	t.Run("what comes before the subscription is confirmed too", func(t *testing.T) {
		t.Parallel()
		k, broker := newKafka(t), newBroker(t)
		broker.subscribe(k, nil)
		k.stop()
		d, _ := broker.accept()
		d.connack(packets.Accepted, true)
		d.publish(1, 1, "sensors/data", reading(1, 1))
		d.subscribed(1)
		d.unsubscribed()
		k.start()
		d.wantAcks(1)
		k.readings(1)
	})

	t.Run("the topics of another configuration are acknowledged and ignored", func(t *testing.T) {
		t.Parallel()
		k, broker := newKafka(t), newBroker(t)
		b := broker.subscribe(k, nil)
		d := broker.session()
		d.publish(1, 1, "old/topic", "x")
		d.wantAcks(1)
		b.conserved()
	})

	t.Run("a retained message with a time is a reading, with which its device has not just reported", func(t *testing.T) {
		t.Parallel()
		k, broker := newKafka(t), newBroker(t)
		b := broker.subscribe(k, nil)
		d := broker.session()
		p := publication(1, 1, "sensors/data", reading(5, 0))
		p.Retain = true
		d.send(p)
		d.wantAcks(1)
		d.publish(1, 2, "sensors/data", reading(6, 0))
		d.wantAcks(2)
		for _, r := range k.readings(2) {
			if r.Again != (r.Device == 5) || r.Again != r.Received.Equal(r.At) {
				t.Errorf("%+v", r)
			}
		}
		b.conserved()
	})

	t.Run("junk and retained messages without a time are dead letters", func(t *testing.T) {
		t.Parallel()
		k, broker := newKafka(t), newBroker(t)
		b := broker.subscribe(k, nil)
		d := broker.session()
		p := publication(1, 1, "sensors/data", `{"device_id": 5, "temperature": 1}`)
		p.Retain = true
		d.send(p)
		d.wantAcks(1)
		d.publish(1, 2, "sensors/data", "junk")
		d.wantAcks(2)
		if n := len(k.awaitDeadLetters(2)); n != 2 {
			t.Errorf("%d dead letters, want 2", n)
		}
		b.conserved()
	})
}

func TestSubscribeAfterABrokenConnection(t *testing.T) {
	t.Parallel()
	k, broker := newKafka(t), newBroker(t)
	b := broker.subscribe(k, nil)
	d := broker.session()
	k.stop()
	const messages, reconnects = 300, 3
	for round := range reconnects + 1 {
		for i := range messages {
			p := publication(1, i+1, "sensors/data", reading(1, i))
			p.Dup = round > 0
			d.send(p)
		}
		b.reaches("messages_received_total", float64(messages*(round+1)))
		if round < reconnects {
			_ = d.conn.Close()
			d = broker.session()
			b.checked("")
		}
	}
	k.start()
	d.wantAcks(seq(1, messages)...)
	if n := len(k.readings(messages)); n != messages {
		t.Errorf("%d readings in Kafka, want each once, %d", n, messages)
	}
	b.reaches("messages_total:resent", messages*reconnects)
	b.conserved()
}

func TestSubscribeBoundsWhatWaits(t *testing.T) {
	t.Parallel()
	k, broker := newKafka(t), newBroker(t)
	b := broker.subscribe(k, nil)
	d := broker.session()
	k.stop()
	const (
		messages = 25
		size     = 1_000_000
		limit    = 16 << 20
	)
	message := func(i int) *packets.PublishPacket {
		return publication(1, i+1, "sensors/data", reading(1, i)+strings.Repeat(" ", size-200))
	}
	for i := range messages {
		d.send(message(i))
	}
	b.reaches("messages_received_total", messages) // all are read: the handler does not block, so pings get through
	if bytes := b.count("in_flight_bytes"); bytes > limit+size {
		t.Errorf("%v bytes are in flight, want at most about %d", bytes, limit)
	}
	b.checked("") // still connected

	k.start()
	taken := len(d.acksUntilEnd())
	if taken == 0 || taken == messages {
		t.Fatalf("%d of %d messages were taken before the rest was left to the broker", taken, messages)
	}
	d = broker.session()
	for i := taken; i < messages; i++ {
		p := message(i)
		p.Dup = true
		d.send(p)
	}
	d.wantAcks(seq(taken+1, messages)...)
	if n := len(k.readings(messages)); n != messages {
		t.Errorf("%d readings in Kafka, want each once, %d", n, messages)
	}
	b.conserved()
}

// acksUntilEnd receives acknowledgements until the other side leaves.
func (d *device) acksUntilEnd() (ids []int) {
	d.t.Helper()
	for {
		switch p := d.receive().(type) {
		case *packets.PubackPacket:
			ids = append(ids, int(p.MessageID))
		case *packets.DisconnectPacket, nil:
			_ = d.conn.Close()
			return ids
		default:
			d.t.Fatalf("received %v", p)
		}
	}
}

func TestSubscribeWhileStopping(t *testing.T) {
	t.Parallel()
	goodbye := func(d *device) {
		t.Helper()
		if p, ok := d.receive().(*packets.DisconnectPacket); !ok {
			d.t.Errorf("received %v, want DISCONNECT, which leaves the session as it is", p)
		}
		d.readsToTheEnd()
	}

	t.Run("what was taken is acknowledged first", func(t *testing.T) {
		t.Parallel()
		k, broker := newKafka(t), newBroker(t)
		b := broker.subscribe(k, nil)
		d := broker.session()
		k.stop()
		for i := range 100 {
			d.publish(1, i+1, "sensors/data", reading(1, i))
		}
		b.reaches("readings_in_flight", 100)
		stopped := make(chan struct{})
		go func() { b.stop(); close(stopped) }()
		b.checked("stopping")
		k.start()
		d.wantAcks(seq(1, 100)...)
		goodbye(d)
		<-stopped
		k.readings(100)
		b.conserved()
	})

	t.Run("before the subscription is confirmed too", func(t *testing.T) {
		t.Parallel()
		k, broker := newKafka(t), newBroker(t)
		b := broker.subscribe(k, nil)
		d, _ := broker.accept()
		d.connack(packets.Accepted, true)
		k.stop()
		for i := range 100 {
			d.publish(1, i+1, "sensors/data", reading(1, i))
		}
		b.reaches("readings_in_flight", 100)
		stopped := make(chan struct{})
		go func() { b.stop(); close(stopped) }()
		if p, ok := d.receive().(*packets.SubscribePacket); !ok {
			t.Fatalf("received %v, want SUBSCRIBE", p)
		}
		k.start()
		d.wantAcks(seq(1, 100)...)
		goodbye(d)
		<-stopped
		k.readings(100)
		b.conserved()
	})
}

func TestSubscribeStopsWithoutABroker(t *testing.T) {
	t.Parallel()
	broker := newBroker(t)
	b := broker.subscribe(newKafka(t), nil)
	_ = broker.l.Close()
	b.checked("refused")
	b.stop()
}
