// Command mqtt-bridge takes readings from MQTT to Kafka. See package bridge.
package main

import (
	"cmp"
	"context"
	"os"
	"slices"
	_ "time/tzdata" // rules name time zones, also where the system has none

	"golang.org/x/sync/errgroup"

	"github.com/telltale-iot/telltale/pkg/auth"
	"github.com/telltale-iot/telltale/pkg/daemon"
	"github.com/telltale-iot/telltale/pkg/doctor"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/report"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/bridge"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/listen"
)

type command struct {
	daemon.Flags
	MQTT       bridge.Config
	ReplicaDir string `env:"MQTT_REPLICA_DIR" help:"Folder that the replicas on one machine share: each takes a number there and, from the second on, appends it to MQTT_CLIENT_ID. For docker compose, which gives all replicas the same settings."`
	Kafka      kafka.Config
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "map" {
		os.Args = slices.Delete(os.Args, 1, 2)
		daemon.Main("mqtt-bridge map", "Prints what the message on stdin becomes by the rules, and why not. It exits with 1 where that is no reading.", new(explain))
	}
	daemon.Main("mqtt-bridge", "Takes readings from MQTT to Kafka.\n\n"+
		"Commands:\n"+
		"  mqtt-bridge map --topic=TOPIC <MESSAGE\n"+
		"      Print what a message becomes by the rules. See mqtt-bridge map --help.\n"+
		"  mqtt-bridge doctor\n"+
		"      Say what is wrong with settings, servers, topics, clock and ports.", new(command))
}

// Validate is called when the settings are read.
func (c *command) Validate() error {
	return c.MQTT.Clear.TLS.Check("MQTT_LISTEN_CERT_FILE", c.MQTT.Listen.Files)
}

// Checks are those of mqtt-bridge doctor.
func (c *command) Checks() []doctor.Check {
	checks := []doctor.Check{kafka.Examine(c.Kafka)}
	listen := c.MQTT.Listen
	if listen.Addr == "" {
		checks = append(checks, c.MQTT.Broker.Examine())
	} else {
		checks = append(checks, doctor.Port("MQTT_LISTEN_ADDR", listen.Addr, c.OpsAddr))
	}
	if listen.WebSocketAddr != "" {
		checks = append(checks, doctor.Port("MQTT_WS_LISTEN_ADDR", listen.WebSocketAddr, c.OpsAddr))
	}
	if c.ReplicaDir != "" {
		checks = append(checks, doctor.Dir("MQTT_REPLICA_DIR", c.ReplicaDir))
	}
	if listen.Addr != "" || listen.WebSocketAddr != "" {
		mode := c.MQTT.Auth.Mode
		checks = append(checks, doctor.Access(mode, doctor.Listener{Variable: "MQTT_LISTEN_ADDR", Addr: listen.Addr},
			doctor.Listener{Variable: "MQTT_WS_LISTEN_ADDR", Addr: listen.WebSocketAddr}), daemon.Quiet(&c.Flags, mode == auth.Warn))
	}
	return slices.Concat(checks, listen.Files.Examine("MQTT_LISTEN_"), c.OpsTLS.Examine("OPS_"))
}

func (c *command) Run(ctx context.Context, p *daemon.Process) error {
	c.Kafka.ClientID = bridge.Name
	b := &bridge.Bridge{Config: c.MQTT, Kafka: c.Kafka, Log: p.Log, Metrics: p.Metrics, Health: p.Health}
	if c.MQTT.Listen.Addr != "" {
		var err error
		if b.Listener, err = daemon.Listen("MQTT_LISTEN_ADDR", c.MQTT.Listen.Addr); err != nil {
			return err
		}
	}
	if c.MQTT.Listen.WebSocketAddr != "" {
		l, err := daemon.Listen("MQTT_WS_LISTEN_ADDR", c.MQTT.Listen.WebSocketAddr)
		if err != nil {
			return err
		}
		b.WebSocket = &listen.WebSocket{Listener: l, Guard: p.Guard}
	}
	if c.ReplicaDir != "" && c.MQTT.Listen.Addr == "" {
		id, taken, err := takeSession(c.ReplicaDir, cmp.Or(c.MQTT.Broker.ClientID, "telltale-bridge"), c.MQTT.Broker.Shared)
		if err != nil {
			return err
		}
		defer taken.Close()
		b.Config.Broker.ClientID = id
	}
	p.Started()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return b.Run(ctx) })
	g.Go(func() error { return report.Run(ctx, p, c.Kafka, b.Reported()) })
	return g.Wait()
}
