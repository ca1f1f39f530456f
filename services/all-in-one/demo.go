package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"

	"github.com/telltale-iot/telltale/pkg/auth"
	"github.com/telltale-iot/telltale/pkg/daemon"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/services/simulator/simulator"
)

// firstDemoDevice keeps the demo devices apart from a user's own, whose ids mostly start at 1.
const firstDemoDevice iot.DeviceID = 900_001

// demoName is the name by which they connect where devices need credentials.
const demoName = "telltale-demo"

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

// letDemoIn has n demo devices have a password, in place of that of the last start, and returns it with their name as in a URL. It comes
// before the services, as prepareFirst.
func letDemoIn(ctx context.Context, store iot.AccessStore, n int) (string, error) {
	if n > iot.MaxDevices {
		return "", &daemon.ConfigError{Variable: "--demo", Value: strconv.Itoa(n), Err: fmt.Errorf("must be %d at most where devices need credentials", iot.MaxDevices)}
	}
	ctx = iot.WithActor(ctx, iot.Actor{Name: "system"})
	if err := endDemo(ctx, store); err != nil {
		return "", err
	}
	devices := demoDevices(n)
	password := auth.NewSecret("")
	_, err := store.CreateCredential(ctx, iot.Credential{Type: iot.CredentialPassword, Name: demoName, Devices: devices, Secret: auth.Hash(password)})
	return demoName + ":" + password + "@", err
}

// demoDevices returns the ids of n demo devices.
func demoDevices(n int) []iot.DeviceID {
	ids := make([]iot.DeviceID, n)
	for i := range ids {
		ids[i] = firstDemoDevice + iot.DeviceID(i)
	}
	return ids
}

// endDemo ends the passwords of starts before.
func endDemo(ctx context.Context, store iot.AccessStore) error {
	for q := (iot.CredentialQuery{Limit: iot.MaxPage}); ; {
		page, err := store.Credentials(ctx, q)
		if err != nil || len(page) == 0 {
			return err
		}
		for _, c := range page {
			q.After = c.ID
			if c.Name != demoName || c.Device != 0 || len(c.Devices) == 0 || !slices.Equal(c.Devices, demoDevices(len(c.Devices))) {
				continue // somebody else's
			}
			if err := store.DeleteCredential(ctx, c.ID); err != nil && !errors.Is(err, iot.ErrNotFound) {
				return err
			}
		}
	}
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
		if _, _, err := store.UpdateDevice(ctx, demo.ID, iot.DeviceChange{Name: &name}); err != nil {
			return err
		}
	}
	return nil
}
