package main

import (
	"context"
	"log/slog"

	"github.com/telltale-iot/telltale/pkg/daemon"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
	"github.com/telltale-iot/telltale/services/ingest-writer/rollups"
)

// rollupsCommand is the programs `ingest-writer rollups check` and `ingest-writer rollups rebuild`.
type rollupsCommand struct {
	MongoDBURI string         `env:"MONGODB_URI" default:"mongodb://localhost:27017/iot" help:"Where readings are stored."`
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
	return r.work.DoOnMongoDB(ctx, p, r.MongoDBURI, r.MongoDBTLS, "ingest-writer")
}
