// Command mqtt-bridge takes readings from MQTT to Kafka. See package bridge.
package main

import (
	"context"
	"fmt"
	"net"

	"golang.org/x/sync/errgroup"

	"github.com/telltale-iot/telltale/pkg/daemon"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/bridge"
)

type command struct {
	daemon.Flags `embed:""`
	MQTT         bridge.Config `embed:""`
	Kafka        kafka.Config  `embed:""`
}

func main() {
	daemon.Main("mqtt-bridge", "Takes readings from MQTT to Kafka.", new(command))
}

// Run starts taking messages at once: while Kafka is away, or its topics are still being created, their
// acknowledgements wait.
func (c *command) Run(ctx context.Context, p *daemon.Process) error {
	if err := c.MQTT.Validate(); err != nil {
		return err
	}
	c.Kafka.ClientID = "mqtt-bridge"
	producer := kafka.NewProducer(c.Kafka, p.Log, p.Metrics)
	b := &bridge.Bridge{
		Config: c.MQTT, Producer: producer,
		Topic: c.Kafka.Topic, DeadLetters: c.Kafka.DeadLetterTopic(),
		Log: p.Log, Metrics: p.Metrics,
	}
	if c.MQTT.ListenAddr != "" {
		var err error
		if b.Listener, err = net.Listen("tcp", c.MQTT.ListenAddr); err != nil {
			return fmt.Errorf("open MQTT_LISTEN_ADDR: %w", err)
		}
	}
	p.Health.Register(ctx, "kafka", producer.Check)
	p.Health.Register(ctx, "mqtt", b.Check)

	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		err := kafka.EnsureTopics(ctx, c.Kafka, p.Log)
		if ctx.Err() != nil {
			return nil
		}
		return err
	})
	group.Go(func() error { return producer.Run(ctx) })
	group.Go(func() error { return b.Run(ctx) })
	return group.Wait()
}
