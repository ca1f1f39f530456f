package bridge_test

import (
	"bytes"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// key identifies a reading, as iot.Reading says.
type key struct {
	device iot.DeviceID
	at     int64
}

func keys(readings []iot.Reading) map[key]int {
	times := make(map[key]int)
	for _, r := range readings {
		times[key{r.Device, r.At.UnixMilli()}]++
	}
	return times
}

func TestListenThousandsInFlight(t *testing.T) {
	t.Parallel()
	k := newKafka(t)
	b := endpoint(t, k, defaults())
	const messages = 20_000 // more than the window
	client := paho.NewClient(paho.NewClientOptions().AddBroker("tcp://" + b.addr).SetClientID("fast").SetOrderMatters(false))
	if token := client.Connect(); !token.WaitTimeout(testTimeout) || token.Error() != nil {
		t.Fatalf("connect: %v", token.Error())
	}
	defer client.Disconnect(0)
	tokens := make([]paho.Token, messages)
	for i := range tokens {
		tokens[i] = client.Publish("sensors/data", 1, false, reading(i%100+1, i))
	}
	for i, token := range tokens {
		if !token.WaitTimeout(testTimeout) || token.Error() != nil {
			t.Fatalf("message %d is not acknowledged: %v", i, token.Error())
		}
	}
	if n := len(k.different(messages)); n != messages {
		t.Errorf("%d different readings in Kafka, want %d", n, messages)
	}
	b.conserved()
}

func TestListenAfterABrokenConnection(t *testing.T) {
	t.Parallel()
	k := newKafka(t)
	b := endpoint(t, k, defaults())
	for round := range 5 {
		d := connect(t, b.addr, connectPacket("a"))
		const messages = 4000
		var sent sync.WaitGroup
		sent.Go(func() {
			for i := range messages {
				p := publication(1, i+1, "sensors/data", reading(round+1, i))
				if p.Write(d.conn) != nil {
					return // cut off, as planned
				}
			}
		})
		acked := d.acks(500 * round)
		_ = d.conn.Close()
		sent.Wait()
		b.reaches("readings_in_flight", 0)
		got := keys(k.readings(int(b.count("readings_total:produced"))))
		for _, id := range acked {
			at := time.Date(2026, 1, 2, 0, 0, id-1, 0, time.UTC).UnixMilli()
			if got[key{iot.DeviceID(round + 1), at}] == 0 {
				t.Fatalf("message %d of round %d was acknowledged and is not in Kafka", id, round)
			}
		}
	}
	b.conserved()
}

func TestListenDuringAnOutageOfKafka(t *testing.T) {
	t.Parallel()
	t.Run("what is sent again after a reconnect is in Kafka once", func(t *testing.T) {
		t.Parallel()
		k := newKafka(t)
		b := endpoint(t, k, defaults())
		k.stop()
		const messages, reconnects = 500, 5
		for round := range reconnects + 1 {
			d := connect(t, b.addr, connectPacket("a"))
			for i := range messages {
				p := publication(1, i+1, "sensors/data", reading(1, i))
				p.Dup = round > 0
				d.send(p)
			}
			d.quiet()
			if round < reconnects {
				_ = d.conn.Close()
				continue
			}
			k.start()
			d.wantAcks(seq(1, messages)...)
		}
		if n := len(k.readings(messages)); n != messages {
			t.Errorf("%d readings in Kafka, want %d", n, messages)
		}
		b.reaches("messages_total:resent", messages*reconnects)
		b.conserved()
	})

	t.Run("a device that took no answer for an end starts anew", func(t *testing.T) {
		t.Parallel()
		k := newKafka(t)
		b := endpoint(t, k, defaults())
		k.stop()
		first := connect(t, b.addr, connectPacket("a"))
		first.publish(1, 1, "sensors/data", reading(1, 1))
		first.quiet()
		second := connect(t, b.addr, connectPacket("a")) // the session is taken over
		first.ended()
		second.publish(1, 1, "sensors/data", reading(1, 2)) // another message under the same id
		second.quiet()
		k.start()
		second.wantAcks(1)
		second.quiet() // one acknowledgement, not two
		if got := keys(k.readings(2)); len(got) != 2 {
			t.Errorf("in Kafka: %v, want both messages", got)
		}
		b.conserved()
	})

	t.Run("what waits is bounded, and nothing is lost", func(t *testing.T) {
		t.Parallel()
		k := newKafka(t)
		b := endpoint(t, k, defaults())
		k.stop()
		const (
			messages = 40
			limit    = 16 << 20
			size     = 1_000_000
		)
		d, watcher := connect(t, b.addr, connectPacket("a")), connect(t, b.addr, connectPacket("b"))
		var sent sync.WaitGroup
		sent.Go(func() {
			for i := range messages {
				d.publish(1, i+1, "sensors/1/data", reading(1, i)+strings.Repeat(" ", size-200))
			}
		})
		b.reaches("stalls_total", 1)
		watcher.quiet() // others are served
		if bytes := b.count("in_flight_bytes"); bytes > limit+2*size {
			t.Errorf("%v bytes are in flight, want at most about %d", bytes, limit)
		}
		k.start()
		d.wantAcks(seq(1, messages)...)
		sent.Wait()
		k.readings(messages)
		b.conserved()
	})
}

func TestListenWhileStopping(t *testing.T) {
	t.Parallel()
	t.Run("what was taken is acknowledged first", func(t *testing.T) {
		t.Parallel()
		k := newKafka(t)
		b := endpoint(t, k, defaults())
		k.stop()
		d := connect(t, b.addr, connectPacket("a"))
		for i := 1; i <= 100; i++ {
			d.publish(1, i, "sensors/data", reading(1, i))
		}
		d.quiet()
		stopped := make(chan struct{})
		go func() { b.stop(); close(stopped) }()
		b.checked("stopping")
		k.start()
		d.wantAcks(seq(1, 100)...)
		d.ended()
		d.readsToTheEnd()
		<-stopped
		k.readings(100)
		b.conserved()
	})

	t.Run("Kafka is not waited for beyond 5 s, and nothing is acknowledged", func(t *testing.T) {
		t.Parallel()
		k := newKafka(t)
		b := endpoint(t, k, defaults())
		k.stop()
		d := connect(t, b.addr, connectPacket("a"))
		d.publish(1, 1, "sensors/data", reading(1, 1))
		d.quiet()
		start := time.Now()
		b.stop()
		if took := time.Since(start); took > 8*time.Second {
			t.Errorf("stopping took %v", took)
		}
		if p := d.receive(); p != nil {
			t.Errorf("received %v, want the end of the connection", p)
		}
		b.reaches("readings_total:failed", 1)
		b.conserved()
	})

	t.Run("connections that have said nothing do not hold it up", func(t *testing.T) {
		t.Parallel()
		b := endpoint(t, newKafka(t), defaults())
		d := dial(t, b.addr)
		connect(t, b.addr, connectPacket("a")) // accepted after d
		b.stop()
		d.ended()
	})
}

func TestListenLimits(t *testing.T) {
	t.Parallel()
	t.Run("a packet that is too long ends its connection alone", func(t *testing.T) {
		t.Parallel()
		k := newKafka(t)
		cfg := defaults()
		cfg.Listen.MaxPacketBytes = 2000
		b := endpoint(t, k, cfg)
		bad, good := connect(t, b.addr, connectPacket("a")), connect(t, b.addr, connectPacket("b"))
		bad.publish(1, 1, "sensors/data", strings.Repeat("x", 2000))
		bad.ended()
		good.publish(1, 1, "sensors/data", reading(1, 1))
		good.wantAcks(1)
		b.reaches("connections", 1)
	})

	t.Run("no more connections than allowed", func(t *testing.T) {
		t.Parallel()
		cfg := defaults()
		cfg.Listen.MaxConnections = 2
		b := endpoint(t, newKafka(t), cfg)
		connect(t, b.addr, connectPacket("a"))
		second := connect(t, b.addr, connectPacket("b"))
		third := dial(t, b.addr)
		third.send(connectPacket("c"))
		if ack, ok := third.receive().(*packets.ConnackPacket); !ok || ack.ReturnCode != packets.ErrRefusedServerUnavailable {
			t.Fatalf("the third was answered %v, want that the server is unavailable", ack)
		}
		third.ended()
		_ = second.conn.Close()
		for deadline := time.Now().Add(testTimeout); ; { // until the place is free
			again := dial(t, b.addr)
			again.send(connectPacket("c"))
			if ack := again.receive().(*packets.ConnackPacket); ack.ReturnCode == packets.Accepted {
				break
			}
			if time.Now().After(deadline) {
				t.Fatal("the place of one that left is not given to another")
			}
		}
	})

	t.Run("a device that falls silent is cut off", func(t *testing.T) {
		t.Parallel()
		b := endpoint(t, newKafka(t), defaults())
		p := connectPacket("a")
		p.Keepalive = 1
		d := connect(t, b.addr, p)
		start := time.Now()
		d.ended()
		if took := time.Since(start); took < 1400*time.Millisecond || took > 10*time.Second {
			t.Errorf("cut off after %v, want one and a half times its keepalive of 1 s", took)
		}
	})

	t.Run("what is no MQTT ends its connection alone", func(t *testing.T) {
		t.Parallel()
		k := newKafka(t)
		b := endpoint(t, k, defaults())
		good := connect(t, b.addr, connectPacket("good"))
		for _, bytes := range []string{
			"GET / HTTP/1.1\r\n\r\n",
			"\x10\xff\xff\xff\xff\x01",
			"\x30\x02\x00\x00",
			"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00\x36\x00", // QoS 3
			"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00\x32\x03\x00\x05a",
			"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00\x32\x05\x00\x01a\x00\x00", // packet id 0
			"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00\x82\x05\x00\x01\x00\x01a", // mochi panics
		} {
			bad := dial(t, b.addr)
			if _, err := bad.conn.Write([]byte(bytes)); err != nil {
				t.Fatal(err)
			}
			bad.ended()
		}
		good.publish(1, 1, "sensors/data", reading(1, 1))
		good.wantAcks(1)
	})
}

func TestListenDeadLetterLargerThanKafkaTakes(t *testing.T) {
	t.Parallel()
	k := newKafka(t)
	cfg := defaults()
	cfg.Listen.MaxPacketBytes = 10 << 20
	b := endpoint(t, k, cfg)
	d := connect(t, b.addr, connectPacket("a"))
	payload := strings.Repeat("x", 5<<20)
	d.publish(1, 1, "sensors/data", payload)
	d.publish(1, 2, "sensors/data", reading(1, 1))
	d.wantAcks(1, 2)
	deadLetter := k.awaitDeadLetters(1)[0]
	if !bytes.Equal(deadLetter.Value, []byte(payload[:64<<10])) {
		t.Errorf("%d bytes are kept, want the first 64 KiB", len(deadLetter.Value))
	}
	if detail := string(deadLetter.Header("detail")); !strings.Contains(detail, "5242880") {
		t.Errorf("the detail does not name the size: %s", detail)
	}
	b.conserved()
}

// A client that shuts down its sending half after the last message, as simple ones do, still gets its PUBACKs.
func TestListenHalfClosed(t *testing.T) {
	t.Parallel()
	k := newKafka(t)
	b := endpoint(t, k, defaults())
	k.stop()
	d := connect(t, b.addr, connectPacket("a"))
	for i := 1; i <= 100; i++ {
		d.publish(1, i, "sensors/data", reading(1, i))
	}
	if err := d.conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	b.reaches("readings_in_flight", 100)
	k.start()
	d.wantAcks(seq(1, 100)...)
	d.ended()
	b.reaches("connections", 0)
	b.conserved()
}

// A burst reaches who subscribes and reads, whole.
func TestListenBurstToASubscriber(t *testing.T) {
	t.Parallel()
	k := newKafka(t)
	b := endpoint(t, k, defaults())
	looking, d := connect(t, b.addr, connectPacket("looking")), connect(t, b.addr, connectPacket("a"))
	s := packets.NewControlPacket(packets.Subscribe).(*packets.SubscribePacket)
	s.MessageID, s.Topics, s.Qoss = 1, []string{"sensors/#"}, []byte{0}
	looking.send(s)
	looking.receive()
	const messages = 5000
	var sent sync.WaitGroup
	sent.Go(func() {
		for i := range messages {
			d.publish(1, i+1, "sensors/data", reading(1, i))
		}
	})
	for i := range messages {
		got, ok := looking.receive().(*packets.PublishPacket)
		if !ok || string(got.Payload) != reading(1, i) {
			t.Fatalf("message %d: received %v", i, got)
		}
	}
	sent.Wait()
	d.wantAcks(seq(1, messages)...)
	b.reaches("subscriber_messages_dropped_total", 0)
}
