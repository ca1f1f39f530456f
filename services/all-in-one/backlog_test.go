package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/telltale-iot/telltale/pkg/auth"
	"github.com/telltale-iot/telltale/pkg/daemon"
	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/kafka/kafkatest"
	"github.com/telltale-iot/telltale/pkg/kafka/producer"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/bridge"
)

// TestBacklog has devices send many readings without timestamps at once. Each that is acknowledged is kept, once,
// at a millisecond of its own, in the order in which it was sent.
func TestBacklog(t *testing.T) {
	whole, data, addrs := t, t.TempDir(), freeAddrs(t)
	addrs["KAFKA_LISTEN_WRITES"] = "true"
	p := start(t, data, addrs)

	t.Run("a day of readings in a burst, and more after a kill while the stamps are ahead of the clock", func(t *testing.T) {
		const day, more = 8640, 1000
		burst(t, addrs["MQTT_LISTEN_ADDR"], "sensors/1/data", 0, day)
		if err := p.Kill(); err != nil {
			t.Fatal(err)
		}
		p = start(whole, data, addrs)
		burst(t, addrs["MQTT_LISTEN_ADDR"], "sensors/1/data", day, more)
		p.expectInOrder(t, 1, day+more)
	})
	t.Run("in one message", func(t *testing.T) {
		const n = 3000
		elements := make([]string, n)
		for i := range elements {
			elements[i] = fmt.Sprintf(`{"n": %d}`, i)
		}
		publish(t, addrs["MQTT_LISTEN_ADDR"], "sensors/2/data", "["+strings.Join(elements, ",")+"]")
		p.expectInOrder(t, 2, n)
	})
	t.Run("as JSON on Kafka, and of a bridge that does not say which message they are from, at one time", func(t *testing.T) {
		const n = 1000
		cfg := kafka.Config{Brokers: []string{addrs["KAFKA_LISTEN_ADDR"]}, Topic: "raw-data"}
		produce(t, cfg, n, func(i int) kafka.Record {
			return kafka.Record{Topic: cfg.Topic, Key: []byte("3"), Value: fmt.Appendf(nil, `{"device_id": 3, "n": %d}`, i)}
		})
		p.expectInOrder(t, 3, n)
		now := time.Now().UTC().Truncate(time.Millisecond)
		produce(t, cfg, n, func(i int) kafka.Record {
			return event.Record(cfg.Topic, iot.Reading{
				Device: 4, At: now, Received: now, Stamped: iot.StampServer, Metrics: []iot.Metric{{Name: "n", Value: float64(i)}},
			})
		})
		p.expectInOrder(t, 4, n)
	})
	p.expectNoDeadLetters(t)
}

// TestBacklogWithTheClockSetBack sets the clock of a bridge back by an hour, while it runs and while it is down.
// All readings are kept, each at a millisecond of its own, and those that one run of the bridge has stamped are in
// order. Those of a run that begins with an earlier clock are earlier: it knows nothing of the run before.
func TestBacklogWithTheClockSetBack(t *testing.T) {
	const n = 1000
	addrs := freeAddrs(t)
	addr := addrs["MQTT_LISTEN_ADDR"] // the bridge's with the clock
	addrs["KAFKA_LISTEN_WRITES"], addrs["MQTT_LISTEN_ADDR"] = "true", "127.0.0.1:0"
	p := start(t, t.TempDir(), addrs)
	var back atomic.Int64 // by how much the clock is set back
	clock := func() time.Time { return time.Now().Add(-time.Duration(back.Load())) }

	stop := listenWithClock(t, addr, addrs["KAFKA_LISTEN_ADDR"], clock)
	burst(t, addr, "sensors/1/data", 0, n)
	back.Store(int64(time.Hour))
	burst(t, addr, "sensors/1/data", n, n)
	p.expectInOrder(t, 1, 2*n)
	stop()

	stop = listenWithClock(t, addr, addrs["KAFKA_LISTEN_ADDR"], clock)
	burst(t, addr, "sensors/1/data", 2*n, n)
	p.expectNumbers(t, 1, slices.Concat(numbers(2*n, n), numbers(0, 2*n)))
	back.Store(0) // the clock is right again
	burst(t, addr, "sensors/1/data", 3*n, n)
	p.expectNumbers(t, 1, slices.Concat(numbers(2*n, n), numbers(0, 2*n), numbers(3*n, n)))
	stop()
	p.expectNoDeadLetters(t)
}

// listenWithClock runs a bridge that devices connect to at addr, with a clock of the test's.
func listenWithClock(t *testing.T, addr, broker string, clock func() time.Time) (stop func()) {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	log, metrics := slog.New(slog.DiscardHandler), prometheus.NewRegistry()
	b := &bridge.Bridge{
		Config:   (&command{MQTTTopics: []string{"sensors/+/data"}, Auth: auth.Config{Mode: auth.Off}}).bridgeConfig(),
		Kafka:    kafka.Config{Brokers: []string{broker}, Topic: "raw-data", Partitions: partitions, Replication: -1, ClientID: bridge.Name},
		Listener: l, Log: log, Metrics: metrics, Health: daemon.NewHealth(log, metrics), Now: clock,
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// burst publishes n messages at QoS 1 as fast as they are taken, numbered from first on, and waits for all PUBACKs.
func burst(t *testing.T, addr, topic string, first, n int) {
	t.Helper()
	c := connect(t, addr, "burst-"+strings.ReplaceAll(topic, "/", "-"))
	defer c.Disconnect(100)
	tokens := make([]mqtt.Token, n)
	for i := range tokens {
		tokens[i] = c.Publish(topic, 1, false, fmt.Sprintf(`{"n": %d}`, first+i))
	}
	for i, token := range tokens {
		if !token.WaitTimeout(30*time.Second) || token.Error() != nil {
			t.Fatalf("no PUBACK for message %d: %v", first+i, token.Error())
		}
	}
}

// produce sends n records to Kafka.
func produce(t *testing.T, cfg kafka.Config, n int, record func(i int) kafka.Record) {
	t.Helper()
	producer := producer.New(cfg, slog.New(slog.DiscardHandler), nil)
	ctx := t.Context()
	go func() { _ = producer.Run(ctx) }()
	records := make([]kafka.Record, n)
	for i := range records {
		records[i] = record(i)
	}
	if err := kafkatest.Send(ctx, producer, records...); err != nil {
		t.Fatal(err)
	}
}

// numbers are the n from first on.
func numbers(first, n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = first + i
	}
	return list
}

// expectInOrder waits until a device has n readings, which must be those with the numbers from 0 to n-1.
func (p *program) expectInOrder(t *testing.T, device, n int) {
	t.Helper()
	p.expectNumbers(t, device, numbers(0, n))
}

// expectNumbers waits until a device has as many readings as want has numbers, which must be theirs in the order of
// their timestamps.
func (p *program) expectNumbers(t *testing.T, device int, want []int) {
	t.Helper()
	var stored []reading
	eventually(t, time.Minute, fmt.Sprintf("%d readings of device %d", len(want), device), func() bool {
		_, err := p.get(fmt.Sprintf("/api/devices/%d/readings/?limit=10000", device), &stored)
		return err == nil && len(stored) >= len(want)
	})
	if len(stored) != len(want) {
		t.Fatalf("device %d has %d readings, want %d", device, len(stored), len(want))
	}
	slices.Reverse(stored)
	for i, r := range stored {
		if r.Metrics["n"] != float64(want[i]) || r.Source != "server" || i > 0 && !r.Timestamp.After(stored[i-1].Timestamp) {
			t.Fatalf("reading %d of %d is %+v, want number %d", i, len(stored), r, want[i])
		}
	}
}

// expectNoDeadLetters is for when all readings of a test are stored.
func (p *program) expectNoDeadLetters(t *testing.T) {
	t.Helper()
	var deadLetters []any
	if _, err := p.get("/api/dead-letters/", &deadLetters); err != nil || len(deadLetters) > 0 {
		t.Errorf("%d dead letters, %v; want none", len(deadLetters), err)
	}
}
