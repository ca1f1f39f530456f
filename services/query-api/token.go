package main

import (
	"context"
	"errors"
	"log/slog"
	"os"

	"github.com/telltale-iot/telltale/pkg/daemon"
	"github.com/telltale-iot/telltale/pkg/metadata"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
	"github.com/telltale-iot/telltale/services/query-api/dynsec"
	"github.com/telltale-iot/telltale/services/query-api/newcredential"
	"github.com/telltale-iot/telltale/services/query-api/newtoken"
)

// Database is what commands are about that work on users, devices and what lets them in.
type Database struct {
	DatabaseURL string         `env:"DATABASE_URL" default:"mysql://iot:iot@localhost:3306/iot" help:"Where users and devices are kept: mysql:// or postgres://."`
	DatabaseTLS tlsfiles.Files `envprefix:"DATABASE_"`
	LogLevel    slog.Level     `env:"LOG_LEVEL" default:"info" help:"Minimum log level: debug, info, warn or error."`
}

// Operations gives them an operations port that collides with no service on the same machine.
func (d *Database) Operations() *daemon.Flags {
	return &daemon.Flags{OpsAddr: "127.0.0.1:0", LogLevel: d.LogLevel}
}

// with has work done in the database.
func (d *Database) with(p *daemon.Process, work func(metadata.Store) error) error {
	store, err := metadata.Open(d.DatabaseURL, d.DatabaseTLS)
	if err != nil {
		return &daemon.ConfigError{Variable: "DATABASE_URL", Value: d.DatabaseURL, Err: err}
	}
	defer daemon.Close(p.Log, "database", store)
	p.Started()
	return work(store)
}

// tokenCommand is the program `query-api token create`.
type tokenCommand struct {
	newtoken.Request
	Database
}

func (c *tokenCommand) Run(ctx context.Context, p *daemon.Process) error {
	return c.with(p, func(store metadata.Store) error { return c.Create(ctx, store, p.Log, os.Stdout) })
}

// credentialCommand is the programs `query-api credential create`, `list` and `delete`.
type credentialCommand struct {
	newcredential.Request
	Database
	Mosquitto dynsec.Config
}

// Validate is called when the settings are read. Mosquitto is told a password while that is known, by the service alone.
func (c *credentialCommand) Validate() error {
	if err := c.Request.Validate(); err != nil {
		return err
	}
	if c.MakesPassword() && c.Mosquitto.URL != "" {
		return &daemon.ConfigError{Variable: "MQTT_DYNSEC_URL", Value: c.Mosquitto.URL, Err: errors.New(
			"the service has to tell Mosquitto a new password: make it in the dashboard, or by POST /api/devices/DEVICE/credentials/")}
	}
	return nil
}

func (c *credentialCommand) Run(ctx context.Context, p *daemon.Process) error {
	return c.with(p, func(store metadata.Store) error {
		return c.Do(ctx, store, "mosquitto_pub -h BROKER", p.Log, os.Stdout)
	})
}
