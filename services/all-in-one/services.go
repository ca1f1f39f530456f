package main

import (
	"context"
	"fmt"
	"log/slog"

	"golang.org/x/sync/errgroup"

	"github.com/telltale-iot/telltale/pkg/daemon"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/services/cache-updater/updater"
	"github.com/telltale-iot/telltale/services/ingest-writer/keeper"
	"github.com/telltale-iot/telltale/services/ingest-writer/writer"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/bridge"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/listen"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/subscribe"
	"github.com/telltale-iot/telltale/services/query-api/api"
	"github.com/telltale-iot/telltale/services/query-api/registrar"
	"github.com/telltale-iot/telltale/services/query-api/replay"
)

// What the MQTT endpoint of one machine takes.
const (
	maxConnections = 10000
	maxPacketBytes = 1<<20 + 64<<10
)

func (c *command) bridgeConfig() bridge.Config {
	cfg := bridge.Config{
		Topics: c.MQTTTopics,
		Broker: subscribe.Config{URL: c.MQTTURL, Security: c.MQTT},
		Listen: listen.Config{MaxConnections: maxConnections, MaxPacketBytes: maxPacketBytes},
	}
	if c.MQTTURL == "" {
		cfg.Listen.Addr = c.MQTTListenAddr
	}
	return cfg
}

// runServices runs the services on parts until ctx ends or one of them fails.
func (c *command) runServices(ctx context.Context, p *daemon.Process, parts *parts) error {
	if parts.broker != nil {
		p.Health.Register(ctx, "kafka log", parts.broker) // also while the services stop because it failed
	}
	group, ctx := errgroup.WithContext(ctx)
	// run starts a service, which logs under its own name and is a client of Kafka of its own.
	run := func(name string, service func(context.Context, *slog.Logger, kafka.Config) error) {
		cfg := parts.kafka
		cfg.ClientID = name
		group.Go(func() error {
			if err := service(ctx, p.Log.With("part", name), cfg); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			return nil
		})
	}
	if parts.broker != nil {
		group.Go(func() error { return parts.broker.Wait(ctx) })
	}
	run(bridge.Name, func(ctx context.Context, log *slog.Logger, kafka kafka.Config) error {
		b := &bridge.Bridge{
			Config: c.bridgeConfig(), Kafka: kafka, Listener: parts.mqtt, Log: log, Metrics: p.Metrics, Health: p.Health,
		}
		return b.Run(ctx)
	})
	run(writer.Group, func(ctx context.Context, log *slog.Logger, kafka kafka.Config) error {
		w := &writer.Writer{Kafka: kafka, Store: parts.readings, Log: log, Metrics: p.Metrics, Health: p.Health}
		return w.Run(ctx)
	})
	run(keeper.Group, func(ctx context.Context, log *slog.Logger, kafka kafka.Config) error {
		k := &keeper.Keeper{Kafka: kafka, Store: parts.letters, Log: log, Metrics: p.Metrics, Health: p.Health}
		return k.Run(ctx)
	})
	run(updater.Group, func(ctx context.Context, log *slog.Logger, kafka kafka.Config) error {
		u := &updater.Updater{Kafka: kafka, Cache: parts.latest, TTL: c.LatestTTL, Log: log, Metrics: p.Metrics, Health: p.Health}
		return u.Run(ctx)
	})
	run(registrar.Group, func(ctx context.Context, log *slog.Logger, kafka kafka.Config) error {
		r := &registrar.Registrar{Kafka: kafka, Store: parts.metadata, Log: log, Metrics: p.Metrics, Health: p.Health}
		return r.Run(ctx)
	})
	run("query-api", func(ctx context.Context, log *slog.Logger, kafka kafka.Config) error {
		replayer := replay.New(kafka, parts.letters, parts.readings, log, p.Metrics)
		p.Health.Register(ctx, "kafka (query-api)", replayer)
		c.registerStores(ctx, p.Health, parts) // files answer at once: alone they would make the process ready
		a := &api.API{
			Metadata: parts.metadata, Readings: parts.readings, Latest: parts.latest, DeadLetters: parts.letters,
			Replayer: replayer, Log: log, Metrics: p.Metrics, Guard: p.Guard,
		}
		g, ctx := errgroup.WithContext(ctx)
		g.Go(func() error { return replayer.Run(ctx) })
		g.Go(func() error { return a.Run(ctx, parts.http) })
		return g.Wait()
	})
	if c.Demo > 0 {
		run("demo", func(ctx context.Context, log *slog.Logger, _ kafka.Config) error {
			return c.runDemo(ctx, log, parts)
		})
	}
	return group.Wait()
}
