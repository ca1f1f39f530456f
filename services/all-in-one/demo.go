package main

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/telltale-iot/telltale/pkg/daemon"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/services/simulator/simulator"
)

// firstDemoDevice keeps the demo devices apart from a user's own, whose ids mostly start at 1.
const firstDemoDevice iot.DeviceID = 900_001

// runDemo publishes readings of simulated devices until ctx ends.
func (c *command) runDemo(ctx context.Context, log *slog.Logger, components *components) error {
	cfg := simulator.Config{URL: c.MQTTURL, Files: c.MQTT.Files, Devices: c.Demo, FirstDevice: firstDemoDevice, Rate: 1}
	if components.mqtt != nil {
		cfg.URL = components.mqttURL()
		if components.authority != nil {
			cfg.Files.CA = components.authority.CAFile()
		}
	}
	s, err := simulator.New(cfg, log)
	if err != nil {
		return err
	}
	err = daemon.Await(ctx, log, "names of the demo devices", func(ctx context.Context) error {
		return registerDemoDevices(ctx, components.metadata, c.Demo)
	})
	if err == nil {
		err = s.Run(ctx)
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// registerDemoDevices registers n devices and names those "Demo device {number}" that nobody has named.
func registerDemoDevices(ctx context.Context, store iot.MetadataStore, n int) error {
	seen := make([]iot.Identity, n)
	for i := range seen {
		seen[i].ID = firstDemoDevice + iot.DeviceID(i)
	}
	if _, err := store.EnsureDevices(ctx, seen, iot.Admission{}); err != nil {
		return err
	}
	for i, demo := range seen {
		device, err := store.Device(ctx, demo.ID)
		if err != nil {
			return err
		}
		if device.Name != "Device "+demo.ID.String() {
			continue
		}
		name := fmt.Sprintf("Demo device %d", i+1)
		if _, err := store.UpdateDevice(ctx, demo.ID, iot.DeviceChange{Name: &name}); err != nil {
			return err
		}
	}
	return nil
}
