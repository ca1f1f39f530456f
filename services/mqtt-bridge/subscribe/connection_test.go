package subscribe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/telltale-iot/telltale/pkg/ignored"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/kafka/producer"
	"github.com/telltale-iot/telltale/pkg/mapping"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/budget"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/paced"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/pipeline"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/trace"
)

// testBroker is a broker that grants whatever it is asked for.
type testBroker struct {
	t     *testing.T
	dials chan net.Conn
}

// newSubscriber returns a subscriber whose Kafka never answers, and its broker, to which it connects over pipes.
func newSubscriber(t *testing.T, log *slog.Logger) (*Subscriber, *testBroker) {
	t.Helper()
	registry, cfg, limits := prometheus.NewRegistry(), kafka.Config{Topic: "raw-data"}, budget.New()
	mappings, err := mapping.Config{Mappings: []string{"telltale"}}.Load()
	if err != nil {
		t.Fatal(err)
	}
	pipe := pipeline.New(cfg, producer.New(cfg, log, registry), mappings, ignored.New(cfg, "", mappings.Hint, log), trace.New(cfg, "", false, log), limits.InFlight, log, registry)
	s, err := New(Config{URL: "tcp://broker", ClientID: "a"}, mappings.Filters(), pipe, limits, log)
	if err != nil {
		t.Fatal(err)
	}
	broker := &testBroker{t, make(chan net.Conn)}
	s.dialer = func(ctx context.Context, _, _ string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		select {
		case broker.dials <- theirs:
			return pipeConn{ours}, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return s, broker
}

// pipeConn says of its own end what a TCP connection says.
type pipeConn struct{ net.Conn }

func (c pipeConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if errors.Is(err, io.ErrClosedPipe) {
		err = net.ErrClosed
	}
	return n, err
}

// accept returns the next connection once its subscriptions are granted.
func (b *testBroker) accept() net.Conn {
	b.t.Helper()
	c := <-b.dials
	for {
		p, err := packets.ReadPacket(c)
		if err != nil {
			b.t.Error(err)
			return c
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
			return c
		}
	}
}

// serve answers what comes over c until its end.
func serve(c net.Conn) {
	defer func() { _ = c.Close() }()
	for {
		p, err := packets.ReadPacket(c)
		if err != nil {
			return
		}
		switch p.(type) {
		case *packets.PingreqPacket:
			_ = packets.NewControlPacket(packets.Pingresp).Write(c)
		case *packets.DisconnectPacket:
			return
		}
	}
}

// run runs s until stop is called. status is the latest that it reported, "" while it is subscribed.
func run(s *Subscriber) (status func() string, stop func()) {
	var last atomic.Value
	var running sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	running.Go(func() {
		s.Run(ctx, func(err error) {
			text := ""
			if err != nil {
				text = err.Error()
			}
			last.Store(text)
		})
	})
	status = func() string {
		synctest.Wait()
		return fmt.Sprint(last.Load())
	}
	return status, func() { cancel(); running.Wait() }
}

// When an acknowledgement cannot be written, the connection closes itself; that the reader had noticed nothing until then
// must not keep the bridge waiting.
func TestConnectionIsLostWhenItIsClosedHere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, broker := newSubscriber(t, slog.New(slog.DiscardHandler))
		go func() { serve(broker.accept()) }()
		c, err := s.connect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_ = c.conn.Close()
		if err := <-c.lost; !errors.Is(err, paced.ErrClosedHere) {
			t.Errorf("it ended with %v", err)
		}
	})
}

func TestBrokerThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, broker := newSubscriber(t, slog.New(slog.DiscardHandler))
		status, stop := run(s)
		c := broker.accept()
		if got := status(); got != "" {
			t.Fatalf("the status of a broker that has just answered is %q", got)
		}
		time.Sleep(4 * time.Second) // it neither reads nor says anything; readiness takes another second
		if got := status(); !strings.Contains(got, "has not answered for") {
			t.Errorf("the status of a broker that hangs is %q", got)
		}
		go serve(c)
		time.Sleep(2 * time.Second)
		if got := status(); got != "" {
			t.Errorf("the status of a broker that answers again is %q", got)
		}
		stop()
	})
}

// A broker closes the connection of a client when another one connects with the same client id.
func TestAnotherHasTheClientID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s, broker := newSubscriber(t, slog.New(slog.NewTextHandler(&log, nil)))
		status, stop := run(s)
		start := time.Now()
		const takeovers = 5
		for range takeovers {
			c := broker.accept()
			if got := status(); got != "" {
				t.Errorf("the status is %q while it is connected", got)
			}
			_ = c.Close()
			time.Sleep(50 * time.Millisecond) // reads are spaced
			if got := status(); !strings.Contains(got, "EOF") {
				t.Errorf("the status is %q when the connection has ended", got)
			}
		}
		c := broker.accept()
		if took := time.Since(start); took < 3*time.Second {
			t.Errorf("it came back %d times within %v: that is a war", takeovers, took)
		}
		go serve(c)
		stop()
		if !strings.Contains(log.String(), "another client may have the same client id") {
			t.Errorf("the log does not say what may be wrong:\n%s", &log)
		}
	})
}
