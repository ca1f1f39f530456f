package bridge

import (
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/telltale-iot/telltale/pkg/kafka"
)

// testEndpoint is one that nothing listens for, and that sends to a Kafka which never answers.
func testEndpoint(t *testing.T) *endpoint {
	t.Helper()
	fs, err := parseFilters([]string{"sensors/data"})
	if err != nil {
		t.Fatal(err)
	}
	log, registry := slog.New(slog.DiscardHandler), prometheus.NewRegistry()
	pipe := &pipeline{
		producer: kafka.NewProducer(kafka.Config{}, log, registry), topic: "raw-data", deadLetters: "raw-data.dlq",
		filters: fs, log: log, inFlight: quota{limit: inFlightBytes},
		metrics: newMetrics(registry, func() float64 { return 0 }),
	}
	e, err := newEndpoint(Config{MaxConnections: 10, MaxPacketBytes: 1 << 20}, pipe, t.Context().Done())
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// A delayed will can be due at any moment, also when its client is just connecting again.
func TestWillOfADeviceWithoutASession(t *testing.T) {
	e := testEndpoint(t)
	connecting := e.server.NewClient(newPeer(t).conn, "mqtt", "a", false)
	e.OnWillSent(connecting, packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: 1},
		TopicName:   "sensors/data", Payload: []byte(`{"device_id": 1, "temperature": 1}`),
	})
	if e.pipe.inFlight.inUse() == 0 {
		t.Error("the will is not on its way to Kafka")
	}
}

func TestListenLongKeepalive(t *testing.T) {
	for _, keepalive := range []uint16{43_690, 43_691, 65_535} {
		t.Run(strconv.Itoa(int(keepalive)), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := testEndpoint(t)
				ours, theirs := net.Pipe()
				var serving sync.WaitGroup
				serving.Go(func() { e.serve(e.newConn(ours)) })
				exchange := func(sent string, kind byte) {
					t.Helper()
					if _, err := theirs.Write([]byte(sent)); err != nil {
						t.Fatal(err)
					}
					answer := make([]byte, 2)
					if _, err := io.ReadFull(theirs, answer); err != nil || answer[0] != kind<<4 {
						t.Fatalf("received % x, %v; want a packet of type %d", answer, err, kind)
					}
					if _, err := io.CopyN(io.Discard, theirs, int64(answer[1])); err != nil {
						t.Fatal(err)
					}
				}
				interval := string(binary.BigEndian.AppendUint16(nil, keepalive))
				exchange("\x10\x0d\x00\x04MQTT\x04\x00"+interval+"\x00\x01a", packets.Connack)
				time.Sleep(time.Duration(keepalive) * time.Second) // of the test's own clock
				exchange("\xc0\x00", packets.Pingresp)
				_ = theirs.Close()
				serving.Wait()
			})
		})
	}
}
