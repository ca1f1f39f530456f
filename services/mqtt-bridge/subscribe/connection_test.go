package subscribe

import (
	"errors"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/budget"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/paced"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/pipeline"
)

// grantAll plays a broker on the connections of l that grants whatever it is asked for, and sends nothing else.
func grantAll(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer func() { _ = c.Close() }()
			for {
				p, err := packets.ReadPacket(c)
				if err != nil {
					return
				}
				switch p := p.(type) {
				case *packets.ConnectPacket:
					_ = packets.NewControlPacket(packets.Connack).Write(c)
				case *packets.SubscribePacket:
					granted := packets.NewControlPacket(packets.Suback).(*packets.SubackPacket)
					granted.MessageID, granted.ReturnCodes = p.MessageID, p.Qoss
					_ = granted.Write(c)
				case *packets.UnsubscribePacket:
					done := packets.NewControlPacket(packets.Unsuback).(*packets.UnsubackPacket)
					done.MessageID = p.MessageID
					_ = done.Write(c)
				}
			}
		}()
	}
}

// When an acknowledgement cannot be written, the connection closes itself; that the reader had noticed nothing until then
// must not keep the bridge waiting.
func TestConnectionIsLostWhenItIsClosedHere(t *testing.T) {
	broker, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = broker.Close() }()
	go grantAll(broker)
	log, registry := slog.New(slog.DiscardHandler), prometheus.NewRegistry()
	cfg, limits := kafka.Config{Topic: "raw-data"}, budget.New()
	filters := pipeline.Filters{pipeline.SplitFilter("sensors/data")}
	pipe := pipeline.New(cfg, kafka.NewProducer(cfg, log, registry), filters, limits.InFlight, log, registry)
	s, err := New(Config{URL: "tcp://" + broker.Addr().String(), ClientID: "a"}, filters, pipe, limits, log)
	if err != nil {
		t.Fatal(err)
	}
	l, err := s.connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_ = l.conn.Close()
	select {
	case err := <-l.lost:
		if !errors.Is(err, paced.ErrClosedHere) {
			t.Errorf("it ended with %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("the end of the connection is not noticed")
	}
}
