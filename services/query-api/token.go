package main

import (
	"context"
	"log/slog"
	"os"

	"github.com/telltale-iot/telltale/pkg/daemon"
	"github.com/telltale-iot/telltale/pkg/metadata"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
	"github.com/telltale-iot/telltale/services/query-api/newtoken"
)

// tokenCommand is the program `query-api token create`.
type tokenCommand struct {
	newtoken.Request
	DatabaseURL string         `env:"DATABASE_URL" default:"mysql://iot:iot@localhost:3306/iot" help:"Where users and devices are kept: mysql:// or postgres://."`
	DatabaseTLS tlsfiles.Files `envprefix:"DATABASE_"`
	LogLevel    slog.Level     `env:"LOG_LEVEL" default:"info" help:"Minimum log level: debug, info, warn or error."`
}

// Operations gives it an operations port that collides with no service on the same machine.
func (c *tokenCommand) Operations() *daemon.Flags {
	return &daemon.Flags{OpsAddr: "127.0.0.1:0", LogLevel: c.LogLevel}
}

func (c *tokenCommand) Run(ctx context.Context, p *daemon.Process) error {
	store, err := metadata.Open(c.DatabaseURL, c.DatabaseTLS)
	if err != nil {
		return &daemon.ConfigError{Variable: "DATABASE_URL", Value: c.DatabaseURL, Err: err}
	}
	defer daemon.Close(p.Log, "database", store)
	p.Started()
	return c.Create(ctx, store, p.Log, os.Stdout)
}
