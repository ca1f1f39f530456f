package main

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/telltale-iot/telltale/pkg/daemon"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/mapping"
	"github.com/telltale-iot/telltale/pkg/report"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
	"github.com/telltale-iot/telltale/services/cache-updater/updater"
	"github.com/telltale-iot/telltale/services/ingest-writer/archive"
	"github.com/telltale-iot/telltale/services/ingest-writer/writer"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/bridge"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/listen"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/subscribe"
	"github.com/telltale-iot/telltale/services/query-api/api"
	"github.com/telltale-iot/telltale/services/query-api/registrar"
)

// What the MQTT endpoint of one machine takes.
const (
	maxConnections = 10000
	maxPacketBytes = 1<<20 + 64<<10
)

func (c *command) bridgeConfig() bridge.Config {
	cfg := bridge.Config{
		Topics: c.MQTTTopics, Mapping: c.Mapping,
		Broker: subscribe.Config{URL: c.MQTTURL, Security: c.MQTT},
		Auth:   c.Auth,
		Clear:  tlsfiles.Word{TLS: tlsfiles.Off}, // openTLS has seen to it
		Listen: listen.Config{
			AnonymousFrom: c.MQTTAnonymousFrom,
			Files:         c.MQTTTLS, ClientCA: c.MQTTClientCA, MaxConnections: maxConnections, MaxPacketBytes: maxPacketBytes,
		},
	}
	if c.MQTTURL == "" {
		cfg.Listen.Addr = c.MQTTListenAddr
	}
	return cfg
}

// runServices runs the services on components until ctx ends or one of them fails.
func (c *command) runServices(ctx context.Context, p *daemon.Process, components *components, rules *mapping.Set) error {
	for _, service := range []string{bridge.Name, writer.Group, archive.Group, updater.Group, registrar.Group, api.Name} {
		p.Health.Expect("kafka (" + service + ")")
	}
	if components.broker != nil {
		p.Health.Register(ctx, "kafka log", components.broker) // also while the services stop because it failed
	}
	group, ctx := errgroup.WithContext(ctx)
	// run starts a service, which logs under its own name and is a client of Kafka of its own.
	run := func(name string, service func(context.Context, *daemon.Process, kafka.Config) error) {
		process, cfg := *p, components.kafka
		process.Log, cfg.ClientID = p.Log.With("part", name), name
		group.Go(func() error {
			if err := service(ctx, &process, cfg); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			return nil
		})
	}
	if components.broker != nil {
		group.Go(func() error { return components.broker.Wait(ctx) })
		group.Go(func() error { return components.accounts.Run(ctx) })
	}
	if components.authority != nil {
		group.Go(func() error { components.authority.Run(ctx); return nil })
	}
	bridgeConfig := c.bridgeConfig()
	bridgeConfig.Listen.TLS = components.mqttTLS
	b := &bridge.Bridge{Config: bridgeConfig, Listener: components.mqtt, Metrics: p.Metrics, Health: p.Health}
	if components.webSocket != nil {
		b.WebSocket = &listen.WebSocket{Listener: components.webSocket, Guard: p.Guard}
	}
	run(bridge.Name, func(ctx context.Context, p *daemon.Process, cfg kafka.Config) error {
		b.Log, b.Kafka = p.Log, cfg
		return b.Run(ctx)
	})
	run("report", func(ctx context.Context, p *daemon.Process, cfg kafka.Config) error {
		stored := writer.Reported(archive.Group)
		stored.Stores = append(stored.Stores, report.Store{Name: "log", Metrics: "embedded_kafka"}) // where it is embedded
		return report.Run(ctx, p, cfg, b.Reported(), stored, updater.Reported, api.Reported)
	})
	run(writer.Group, func(ctx context.Context, p *daemon.Process, cfg kafka.Config) error {
		batches := writer.ForFile
		if c.MongoDBURI != "" {
			batches = writer.ForServer
		}
		return writer.Run(ctx, p, cfg, components.readings, batches)
	})
	run(archive.Group, func(ctx context.Context, p *daemon.Process, cfg kafka.Config) error {
		return archive.Run(ctx, p, cfg, components.deadLetters)
	})
	run(updater.Group, func(ctx context.Context, p *daemon.Process, cfg kafka.Config) error {
		return updater.Run(ctx, p, cfg, components.latest, c.Latest.TTL)
	})
	run(registrar.Group, func(ctx context.Context, p *daemon.Process, cfg kafka.Config) error {
		linger := registrar.FileLinger
		if c.DatabaseURL != "" {
			linger = 0
		}
		return registrar.Run(ctx, p, cfg, c.Admit, components.metadata, linger)
	})
	run(api.Name, func(ctx context.Context, p *daemon.Process, cfg kafka.Config) error {
		c.registerStores(ctx, p.Health, components)
		adminToken, err := c.AdminToken.Load()
		if err != nil {
			return err
		}
		stores := api.Stores{Metadata: components.metadata, Accounts: components.metadata, Readings: components.readings, Latest: components.latest, DeadLetters: components.deadLetters}
		return api.Run(ctx, p, api.Settings{Kafka: cfg, Rules: rules, OfflineAfter: c.Latest.TTL, CORS: c.CORS, TLS: components.httpTLS, CAFile: components.caFile(), Auth: c.Auth, AdminToken: adminToken, OIDC: c.OIDC, Proxies: c.Proxies}, stores, components.http)
	})
	if c.Demo > 0 {
		run("demo", func(ctx context.Context, p *daemon.Process, _ kafka.Config) error {
			return c.runDemo(ctx, p.Log, components)
		})
	}
	return group.Wait()
}
