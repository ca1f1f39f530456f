package bridge

import (
	"log/slog"
	"testing"

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
	in := &intake{
		producer: kafka.NewProducer(kafka.Config{}, log, registry), topic: "raw-data", deadLetters: "raw-data.dlq",
		filters: fs, log: log, inFlight: quota{limit: inFlightBytes},
		metrics: newMetrics(registry, func() float64 { return 0 }),
	}
	e, err := newEndpoint(Config{MaxConnections: 10, MaxPacketBytes: 1 << 20}, in, t.Context().Done())
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
	if e.in.inFlight.inUse() == 0 {
		t.Error("the will is not on its way to Kafka")
	}
}
