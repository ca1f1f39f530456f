package main

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/telltale-iot/telltale/pkg/daemon"
	sqlitereadings "github.com/telltale-iot/telltale/pkg/readings/sqlite"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
	"github.com/telltale-iot/telltale/services/ingest-writer/rollups"
)

// rollupsCommand is the programs `all-in-one rollups check` and `all-in-one rollups rebuild`. They work in DATA_DIR beside the
// process that has it, and take no lock.
type rollupsCommand struct {
	DataDir    string         `env:"DATA_DIR" default:"./data" help:"Folder for all data that is not on a server."`
	MongoDBURI string         `env:"MONGODB_URI" help:"Where readings and dead letters are stored."`
	MongoDBTLS tlsfiles.Files `envprefix:"MONGODB_"`
	LogLevel   slog.Level     `env:"LOG_LEVEL" default:"info" help:"Minimum log level: debug, info, warn or error."`

	work rollups.Work
}

// Operations gives them an operations port that collides with no service on the same machine.
func (r *rollupsCommand) Operations() *daemon.Flags {
	return &daemon.Flags{OpsAddr: "127.0.0.1:0", LogLevel: r.LogLevel}
}

// Validate is called when the settings are read.
func (r *rollupsCommand) Validate() error { return r.work.Validate() }

func (r *rollupsCommand) Run(ctx context.Context, p *daemon.Process) error {
	if r.MongoDBURI != "" {
		return r.work.DoOnMongoDB(ctx, p, r.MongoDBURI, r.MongoDBTLS, "all-in-one")
	}
	dir := filepath.Join(r.DataDir, "readings")
	if _, err := os.Stat(dir); err != nil {
		return &daemon.ConfigError{Variable: "DATA_DIR", Value: r.DataDir, Err: err}
	}
	store, err := sqlitereadings.Open(dir, sqlitereadings.Options{Log: p.Log})
	if err != nil {
		return &daemon.ConfigError{Variable: "DATA_DIR", Value: r.DataDir, Err: err}
	}
	defer daemon.Close(p.Log, "readings", store)
	p.Started()
	return r.work.Do(ctx, store, "all-in-one", p.Log, os.Stdout)
}
