package main

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/telltale-iot/telltale/pkg/daemon"
	"github.com/telltale-iot/telltale/pkg/metadata"
	sqlitemetadata "github.com/telltale-iot/telltale/pkg/metadata/sqlite"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
	"github.com/telltale-iot/telltale/services/query-api/newtoken"
)

// Database is what commands are about that work on users, devices and what lets them in: in DATA_DIR, which another process may have,
// without a lock, or on a server.
type Database struct {
	DataDir     string         `env:"DATA_DIR" default:"./data" help:"Folder for all data that is not on a server."`
	DatabaseURL string         `env:"DATABASE_URL" help:"Where users and devices are kept: mysql:// or postgres://."`
	DatabaseTLS tlsfiles.Files `envprefix:"DATABASE_"`
	LogLevel    slog.Level     `env:"LOG_LEVEL" default:"info" help:"Minimum log level: debug, info, warn or error."`
}

// Operations gives them an operations port that collides with no service on the same machine.
func (d *Database) Operations() *daemon.Flags {
	return &daemon.Flags{OpsAddr: "127.0.0.1:0", LogLevel: d.LogLevel}
}

func (d *Database) open() (metadata.Store, error) {
	if d.DatabaseURL != "" {
		store, err := metadata.Open(d.DatabaseURL, d.DatabaseTLS)
		if err != nil {
			return nil, &daemon.ConfigError{Variable: "DATABASE_URL", Value: d.DatabaseURL, Err: err}
		}
		return store, nil
	}
	// In a folder that is misspelt what is made would be of no use.
	path := filepath.Join(d.DataDir, "metadata.db")
	if _, err := os.Stat(path); err != nil {
		return nil, &daemon.ConfigError{Variable: "DATA_DIR", Value: d.DataDir, Err: err}
	}
	store, err := sqlitemetadata.Open(path)
	if err != nil {
		return nil, &daemon.ConfigError{Variable: "DATA_DIR", Value: d.DataDir, Err: err}
	}
	return store, nil
}

// tokenCommand is the program `all-in-one token create`.
type tokenCommand struct {
	newtoken.Request
	Database
}

func (c *tokenCommand) Run(ctx context.Context, p *daemon.Process) error {
	store, err := c.open()
	if err != nil {
		return err
	}
	defer daemon.Close(p.Log, "metadata", store)
	p.Started()
	return c.Create(ctx, store, p.Log, os.Stdout)
}
