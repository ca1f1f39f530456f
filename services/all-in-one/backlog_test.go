package main

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka"
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
	var letters []any
	if _, err := p.get("/api/dead-letters/", &letters); err != nil || len(letters) > 0 {
		t.Errorf("%d dead letters, %v; want none", len(letters), err)
	}
}

// burst publishes n messages at QoS 1 as fast as they are taken, numbered from first on, and waits for all PUBACKs.
func burst(t *testing.T, addr, topic string, first, n int) {
	t.Helper()
	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + addr).SetClientID("burst").SetConnectTimeout(5 * time.Second).
		SetConnectRetry(true).SetConnectRetryInterval(20 * time.Millisecond))
	if token := c.Connect(); !token.WaitTimeout(10*time.Second) || token.Error() != nil {
		t.Fatalf("connect: %v", token.Error())
	}
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
	producer := kafka.NewProducer(cfg, slog.New(slog.DiscardHandler), nil)
	ctx := t.Context()
	go func() { _ = producer.Run(ctx) }()
	records := make([]kafka.Record, n)
	for i := range records {
		records[i] = record(i)
	}
	if err := producer.Send(ctx, records...); err != nil {
		t.Fatal(err)
	}
}

// expectInOrder waits until a device has n readings, which must be those with the numbers from 0 to n-1.
func (p *program) expectInOrder(t *testing.T, device, n int) {
	t.Helper()
	var stored []reading
	eventually(t, time.Minute, fmt.Sprintf("%d readings of device %d", n, device), func() bool {
		_, err := p.get(fmt.Sprintf("/api/devices/%d/readings/?limit=10000", device), &stored)
		return err == nil && len(stored) >= n
	})
	slices.Reverse(stored)
	for i, r := range stored {
		if r.Metrics["n"] != float64(i) || r.Source != "server" || i > 0 && !r.Timestamp.After(stored[i-1].Timestamp) {
			t.Fatalf("reading %d of %d is %+v", i, len(stored), r)
		}
	}
}
