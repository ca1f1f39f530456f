package bridge_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
	"github.com/google/go-cmp/cmp"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// deadLetter is what a test looks at in a dead letter.
type deadLetter struct{ Reason, Source, Key, Value string }

func (k *testKafka) wantDeadLetters(want ...deadLetter) {
	k.t.Helper()
	var got []deadLetter
	for _, r := range k.awaitDeadLetters(len(want)) {
		got = append(got, deadLetter{string(r.Header("reason")), string(r.Header("source")), string(r.Key), string(r.Value)})
	}
	if diff := cmp.Diff(want, got); diff != "" {
		k.t.Errorf("dead letters (-want +got):\n%s", diff)
	}
}

func TestListenMessages(t *testing.T) {
	t.Parallel()
	const noTime = `{"device_id": 5, "temperature": 1}`

	t.Run("a bad element of a batch harms no other", func(t *testing.T) {
		t.Parallel()
		k := newKafka(t)
		b := endpoint(t, k, defaults())
		d := connect(t, b.addr, connectPacket("a"))
		d.publish(1, 1, "sensors/data", `[`+reading(1, 1)+`, {"device_id": 0, "temperature": 1}, `+reading(2, 2)+`]`)
		d.wantAcks(1)
		k.readings(2)
		k.wantDeadLetters(deadLetter{"invalid_device_id", "sensors/data", "", `{"device_id": 0, "temperature": 1}`})
		if id := k.awaitDeadLetters(1)[0].Header("client_id"); string(id) != "a" {
			t.Errorf("client_id %q", id)
		}
		for _, value := range k.values {
			if !bytes.HasSuffix(value, []byte("\x52\x0csensors/data\x5a\x01a")) { // fields 10 and 11
				t.Errorf("%q does not end with topic and client", value)
			}
		}
		b.conserved()
	})

	t.Run("a batch of nothing is acknowledged too", func(t *testing.T) {
		t.Parallel()
		b := endpoint(t, newKafka(t), defaults())
		d := connect(t, b.addr, connectPacket("a"))
		d.publish(1, 1, "sensors/data", `[]`)
		d.wantAcks(1)
		b.conserved()
	})

	t.Run("the topic names the device", func(t *testing.T) {
		t.Parallel()
		k := newKafka(t)
		b := endpoint(t, k, defaults())
		d := connect(t, b.addr, connectPacket("a"))
		d.publish(1, 1, "sensors/77/data", `{"temperature": 1}`)
		d.publish(1, 2, "sensors/78/data", noTime)
		d.wantAcks(1, 2)
		if r := k.readings(1)[0]; r.Device != 77 {
			t.Errorf("the reading is of device %v, want 77", r.Device)
		}
		k.wantDeadLetters(deadLetter{"device_id_mismatch", "sensors/78/data", "", noTime})
	})

	t.Run("readings without a time of their own get different ones", func(t *testing.T) {
		t.Parallel()
		k := newKafka(t)
		b := endpoint(t, k, defaults())
		d := connect(t, b.addr, connectPacket("a"))
		before := time.Now().Truncate(time.Millisecond)
		d.publish(1, 1, "sensors/data", `[`+noTime+`,`+noTime+`,`+noTime+`]`)
		d.wantAcks(1)
		got := k.readings(3)
		if n := len(keys(got)); n != 3 {
			t.Errorf("%d different readings, want 3: %v", n, got)
		}
		for _, r := range got {
			if r.Stamped != iot.StampServer || r.At.Before(before) || r.At.After(time.Now().Add(time.Second)) {
				t.Errorf("stamped %v at %v", r.Stamped, r.At)
			}
		}
	})

	t.Run("a message with RETAIN is as good as any: its device sends it now", func(t *testing.T) {
		t.Parallel()
		k := newKafka(t)
		b := endpoint(t, k, defaults())
		d := connect(t, b.addr, connectPacket("a"))
		for i, payload := range []string{noTime, "junk"} {
			p := publication(1, i+1, "sensors/data", payload)
			p.Retain = true
			d.send(p)
		}
		d.wantAcks(1, 2)
		if r := k.readings(1)[0]; r.Device != 5 || r.Stamped != iot.StampServer {
			t.Errorf("the reading is of device %v, stamped %v", r.Device, r.Stamped)
		}
		if rec := k.awaitDeadLetters(1)[0]; rec.Header("retained") != nil {
			t.Errorf("headers %q", rec.Headers)
		}
	})

	t.Run("a dead letter has what it takes to decode it again, and readings beside it have different times", func(t *testing.T) {
		t.Parallel()
		k := newKafka(t)
		b := endpoint(t, k, defaults())
		d := connect(t, b.addr, connectPacket("a"))
		d.publish(1, 1, "sensors/5/data", `[{"x": 1, "timestamp": 1767225600}, {"x": "y"}, {"x": "z"}]`)
		d.publish(1, 2, "sensors/5/data", `[{"x": 1}, {}, {"x": 2}]`)
		d.wantAcks(1, 2)
		times := map[string]bool{}
		for _, r := range k.readings(3) {
			times[r.At.UTC().Format("2006-01-02T15:04:05.000Z")] = true
		}
		for _, rec := range k.awaitDeadLetters(3) {
			at, err := time.Parse(time.RFC3339, string(rec.Header("received_at")))
			if string(rec.Header("topic_device_id")) != "5" || err != nil || time.Since(at) > time.Minute {
				t.Errorf("headers %q", rec.Headers)
			}
		}
		if len(times) != 3 {
			t.Errorf("%d different times, want 3: %v", len(times), times)
		}
	})

	t.Run("QoS 0 is taken, without an answer", func(t *testing.T) {
		t.Parallel()
		k := newKafka(t)
		b := endpoint(t, k, defaults())
		d := connect(t, b.addr, connectPacket("a"))
		d.publish(0, 0, "sensors/data", reading(1, 1))
		k.readings(1)
		d.quiet()
		b.conserved()
	})

	t.Run("other topics are acknowledged in their turn, and are nothing to Kafka", func(t *testing.T) {
		t.Parallel()
		k := newKafka(t)
		b := endpoint(t, k, defaults())
		k.stop()
		d := connect(t, b.addr, connectPacket("a"))
		d.publish(1, 1, "devices/status", "on")
		d.publish(1, 2, "sensors/data", reading(1, 1))
		d.publish(1, 3, "devices/status", "off")
		d.wantAcks(1)
		d.quiet()
		k.start()
		d.wantAcks(2, 3)
		if n := b.count("messages_total:ignored"); n != 2 {
			t.Errorf("%v messages are counted as ignored, want 2", n)
		}
		b.conserved()
	})

	t.Run("who subscribes sees what is published, at QoS 0", func(t *testing.T) {
		t.Parallel()
		k := newKafka(t)
		b := endpoint(t, k, defaults())
		looking, d := connect(t, b.addr, connectPacket("looking")), connect(t, b.addr, connectPacket("a"))
		s := packets.NewControlPacket(packets.Subscribe).(*packets.SubscribePacket)
		s.MessageID, s.Topics, s.Qoss = 1, []string{"#"}, []byte{2}
		looking.send(s)
		if ack, ok := looking.receive().(*packets.SubackPacket); !ok || ack.ReturnCodes[0] != 0 {
			t.Fatalf("received %v, want QoS 0 granted", ack)
		}
		for i, topic := range []string{"sensors/data", "devices/status"} {
			p := publication(1, i+1, topic, reading(1, i))
			p.Retain = true
			d.send(p)
			got, ok := looking.receive().(*packets.PublishPacket)
			if !ok || got.TopicName != topic || got.Qos != 0 || string(got.Payload) != reading(1, i) {
				t.Errorf("received %v, want what was published", got)
			}
		}
		d.wantAcks(1, 2)
		k.readings(1)

		late := connect(t, b.addr, connectPacket("late"))
		late.send(s)
		late.receive()
		late.quiet() // nothing is retained
	})

	t.Run("a will is a message", func(t *testing.T) {
		t.Parallel()
		k := newKafka(t)
		b := endpoint(t, k, defaults())
		for i, will := range []struct {
			payload string
			retain  bool
		}{{reading(1, 1), false}, {noTime, true}} {
			p := connectPacket("a")
			p.WillFlag, p.WillTopic, p.WillQos = true, "sensors/data", 1
			p.WillMessage, p.WillRetain = []byte(will.payload), will.retain
			d := connect(t, b.addr, p)
			_ = d.conn.Close() // without a DISCONNECT
			b.reaches("readings_received_total", float64(i+1))
		}
		k.readings(2)

		p := connectPacket("b")
		p.WillFlag, p.WillTopic, p.WillMessage = true, "sensors/data", []byte(reading(1, 2))
		d := connect(t, b.addr, p)
		d.send(packets.NewControlPacket(packets.Disconnect))
		d.ended()
		b.reaches("connections", 0)
		if n := b.count("readings_received_total"); n != 2 {
			t.Errorf("a device that leaves properly has its will published")
		}
		b.conserved()
	})
}
