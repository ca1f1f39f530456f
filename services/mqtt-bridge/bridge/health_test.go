package bridge_test

import (
	"context"
	"log/slog"
	"net"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/telltale-iot/telltale/pkg/daemon"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/bridge"
)

// firstRegistration is a registry that calls first before it registers anything.
type firstRegistration struct {
	*prometheus.Registry
	first func()
}

func (r *firstRegistration) MustRegister(collectors ...prometheus.Collector) {
	if r.first != nil {
		r.first()
		r.first = nil
	}
	r.Registry.MustRegister(collectors...)
}

// answering is a dependency that answers, and signals that it was called.
type answering chan struct{}

func (a answering) Check(context.Context) error {
	select {
	case a <- struct{}{}:
	default:
	}
	return nil
}

// TestNotReadyWithoutMQTT has Kafka answer before MQTT is registered.
func TestNotReadyWithoutMQTT(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	health := daemon.NewHealth(slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	registered := make(chan struct{})
	metrics := &firstRegistration{prometheus.NewRegistry(), func() {
		defer close(registered)
		kafka := make(answering)
		health.Register(ctx, "kafka ("+bridge.Name+")", kafka)
		<-kafka
		<-kafka // and the first answer is known
		if health.Ready() {
			t.Error("ready before MQTT is registered")
		}
	}}
	b := &bridge.Bridge{
		Config: defaults(), Kafka: newKafka(t).cfg, Listener: l,
		Log: slog.New(slog.DiscardHandler), Metrics: metrics, Health: health,
	}
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	<-registered
	health.AwaitReady(ctx)
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
