package contract

import (
	"bytes"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"
	"google.golang.org/protobuf/proto"

	telltalev1 "github.com/telltale-iot/telltale/proto/telltale/v1"
)

func TestAcknowledgement(t *testing.T) {
	for _, qos := range []byte{1, 2} {
		t.Run(fmt.Sprintf("at QoS %d an acknowledged reading is in Kafka", qos), func(t *testing.T) {
			t.Parallel()
			c := connect(t)
			for range 5 {
				device := newDevice()
				wait(t, c.Publish(topicOf(device), qos, false, `{"temperature": 1}`))
				inKafka := ends(t, sut.topic)
				r := produced(t, device, 1)[0]
				if sut.listen && r.Offset >= inKafka[r.Partition] {
					t.Errorf("acknowledged while Kafka had %d records of partition %d, and the reading became the one with offset %d", inKafka[r.Partition], r.Partition, r.Offset)
				}
			}
		})
		t.Run(fmt.Sprintf("at QoS %d a message becomes one reading", qos), func(t *testing.T) {
			t.Parallel()
			const n = 300
			device := newDevice()
			publishAll(t, device, qos, n)
			produced(t, device, n)
			waitForConsumers(t)
			got := readingsOf(t, device)
			if len(got) != n {
				t.Errorf("%d readings stored, want %d", len(got), n)
			}
			if got := produced(t, device, n); len(got) != n {
				t.Errorf("%d records for %d messages", len(got), n)
			}
		})
	}
	t.Run("at QoS 0 a reading arrives", func(t *testing.T) {
		t.Parallel()
		device := newDevice()
		wait(t, connect(t).Publish(topicOf(device), 0, false, `{"temperature": 1}`))
		produced(t, device, 1)
	})
	t.Run("DUP is no reason to drop a message", func(t *testing.T) {
		t.Parallel()
		device := newDevice()
		conn := dial(t)
		send(t, conn, device, 1, `{"temperature": 1}`, true)
		receive(t, conn, packets.Puback)
		produced(t, device, 1)
	})
	t.Run("acknowledgements are in receive order", func(t *testing.T) {
		t.Parallel()
		conn := dial(t)
		const n = 300
		var sending sync.WaitGroup
		defer sending.Wait()
		sending.Go(func() {
			for id := 1; id <= n; id++ {
				payload := fmt.Sprintf(`{"temperature": %d}`, id)
				if id%7 == 0 {
					payload = "no reading"
				}
				send(t, conn, newDevice(), uint16(id), payload, false)
			}
		})
		for want := 1; want <= n; want++ {
			if got := receive(t, conn, packets.Puback).Details().MessageID; int(got) != want {
				t.Fatalf("PUBACK %d came when %d was due", got, want)
			}
		}
	})
}

func TestOrder(t *testing.T) {
	t.Run("order per device is kept from MQTT to Kafka", func(t *testing.T) {
		t.Parallel()
		const n, fleet = 100, 5
		var devices []int64
		for range fleet {
			devices = append(devices, newDevice())
		}
		c := connect(t)
		var tokens []mqtt.Token
		for i := range n {
			for _, d := range devices {
				tokens = append(tokens, c.Publish(topicOf(d), 1, false, fmt.Sprintf(`{"sequence": %d}`, i)))
			}
		}
		for _, token := range tokens {
			wait(t, token)
		}
		for _, d := range devices {
			records := produced(t, d, n)
			var sequence []float64
			for _, r := range records {
				if r.Partition != records[0].Partition {
					t.Fatalf("device %d is on partitions %d and %d", d, r.Partition, records[0].Partition)
				}
				var got telltalev1.Reading
				if err := proto.Unmarshal(r.Value, &got); err != nil {
					t.Fatal(err)
				}
				sequence = append(sequence, got.Metrics[0].Value)
			}
			if sut.shared { // then the broker breaks the order, and each message once is what is left
				slices.Sort(sequence)
			}
			for i, v := range sequence {
				if v != float64(i) {
					t.Fatalf("record %d of device %d is its message %v", i, d, v)
				}
			}
		}
	})
}

// publishAll returns when n messages of a device, of different times, are acknowledged. Many are in flight.
func publishAll(t *testing.T, device int64, qos byte, n int) {
	t.Helper()
	c := connect(t)
	var tokens []mqtt.Token
	for i := range n {
		tokens = append(tokens, c.Publish(topicOf(device), qos, false, fmt.Sprintf(`{"temperature": %d, "timestamp": %q}`, i, at(i))))
	}
	for _, token := range tokens {
		wait(t, token)
	}
}

// dial opens an MQTT 3.1.1 session without a client's ideas of what to send.
func dial(t *testing.T) net.Conn {
	t.Helper()
	conn, user := dialBroker(t)
	if err := conn.SetDeadline(time.Now().Add(testTimeout)); err != nil {
		t.Fatal(err)
	}
	hello := packets.NewControlPacket(packets.Connect).(*packets.ConnectPacket)
	hello.ProtocolName, hello.ProtocolVersion, hello.CleanSession, hello.Keepalive = "MQTT", 4, true, 60
	hello.ClientIdentifier = "contract-" + strconv.FormatInt(newDevice(), 16)
	if user != nil {
		password, _ := user.Password()
		hello.UsernameFlag, hello.Username, hello.PasswordFlag, hello.Password = true, user.Username(), true, []byte(password)
	}
	if err := hello.Write(conn); err != nil {
		t.Fatal(err)
	}
	if ack := receive(t, conn, packets.Connack).(*packets.ConnackPacket); ack.ReturnCode != packets.Accepted {
		t.Fatalf("CONNACK: %s", packets.ConnackReturnCodes[ack.ReturnCode])
	}
	return conn
}

// send publishes at QoS 1 and waits for nothing. It may be called from any goroutine.
func send(t *testing.T, conn net.Conn, device int64, id uint16, payload string, dup bool) {
	p := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
	p.TopicName, p.Qos, p.MessageID, p.Dup, p.Payload = topicOf(device), 1, id, dup, []byte(payload)
	var b bytes.Buffer
	if err := p.Write(&b); err != nil {
		t.Error(err)
	}
	if _, err := conn.Write(b.Bytes()); err != nil {
		t.Error(err)
	}
}

// receive returns the next packet, which must be of that type.
func receive(t *testing.T, conn net.Conn, kind byte) packets.ControlPacket {
	t.Helper()
	p, err := packets.ReadPacket(conn)
	if err != nil {
		t.Fatal(err)
	}
	if header, err := packets.NewControlPacketWithHeader(packets.FixedHeader{MessageType: kind}); err != nil || fmt.Sprintf("%T", p) != fmt.Sprintf("%T", header) {
		t.Fatalf("received %v, want a packet of type %d", p, kind)
	}
	return p
}
