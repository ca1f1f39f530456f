package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/telltale-iot/telltale/pkg/daemon"
	"github.com/telltale-iot/telltale/pkg/readings/mongo"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
)

// rollups are the programs `ingest-writer rollups check` and `ingest-writer rollups rebuild`.
type rollups struct {
	MongoDBURI string         `env:"MONGODB_URI" default:"mongodb://localhost:27017/iot" help:"Where readings are stored."`
	MongoDBTLS tlsfiles.Files `envprefix:"MONGODB_"`
	LogLevel   slog.Level     `env:"LOG_LEVEL" default:"info" help:"Minimum log level: debug, info, warn or error."`

	rebuild bool
}

// Operations gives them an operations port that collides with no service on the same machine.
func (r *rollups) Operations() *daemon.Flags {
	return &daemon.Flags{OpsAddr: "127.0.0.1:0", LogLevel: r.LogLevel}
}

func (r *rollups) Run(ctx context.Context, p *daemon.Process) error {
	store, err := mongo.Open(r.MongoDBURI, r.MongoDBTLS, mongo.Options{Log: p.Log})
	if err != nil {
		return &daemon.ConfigError{Variable: "MONGODB_URI", Value: r.MongoDBURI, Err: err}
	}
	defer daemon.Close(p.Log, "mongodb", store)
	p.Started()
	work, done := store.CheckRollups, "compared"
	if r.rebuild {
		work, done = store.RebuildRollups, "computed"
	}
	checked, err := work(ctx, p.Log)
	if ctx.Err() != nil {
		return errors.New("interrupted before the end; run it again")
	}
	if err != nil {
		return err
	}
	if checked.From.IsZero() {
		fmt.Println("nothing is rolled up yet: the service begins some minutes after its start")
		return nil
	}
	fmt.Printf("%d days of devices %s, from %v to %v\n", checked.Days, done, checked.From.Format(time.RFC3339), checked.To.Format(time.RFC3339))
	for _, d := range checked.Differ {
		fmt.Printf("device %d, hour %v: differs from the readings\n", d.Device, d.Hour.Format(time.RFC3339))
	}
	if n := len(checked.Differ); n > 0 {
		return fmt.Errorf("%d hours differ from their readings: run ingest-writer rollups rebuild", n)
	}
	return nil
}
