// Command ingest-writer stores the readings on Kafka in MongoDB.
package main

import (
	"context"

	"github.com/telltale-iot/telltale/pkg/daemon"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/readings"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
	"github.com/telltale-iot/telltale/services/ingest-writer/writer"
)

type command struct {
	daemon.Flags
	kafka.Config
	MongoDBURI string         `env:"MONGODB_URI" default:"mongodb://localhost:27017/iot" help:"Where readings are stored."`
	MongoDBTLS tlsfiles.Files `envprefix:"MONGODB_"`
}

func main() {
	daemon.Main("ingest-writer", "Stores the readings on Kafka in MongoDB.", new(command))
}

func (c *command) Run(ctx context.Context, p *daemon.Process) error {
	c.ClientID = writer.Group
	store, err := readings.Open(c.MongoDBURI, c.MongoDBTLS)
	if err != nil {
		return &daemon.ConfigError{Variable: "MONGODB_URI", Value: c.MongoDBURI, Err: err}
	}
	defer store.Close() //nolint:errcheck // every write was answered before
	p.Health.Register(ctx, "mongodb", store.Check)
	w := &writer.Writer{Kafka: c.Config, Store: store, Log: p.Log, Metrics: p.Metrics, Health: p.Health}
	return w.Run(ctx)
}
