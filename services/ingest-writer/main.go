// Command ingest-writer stores the readings on Kafka, and the dead letters, in MongoDB.
package main

import (
	"context"
	"os"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/telltale-iot/telltale/pkg/daemon"
	"github.com/telltale-iot/telltale/pkg/deadletters"
	"github.com/telltale-iot/telltale/pkg/doctor"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/mongodb"
	"github.com/telltale-iot/telltale/pkg/readings"
	"github.com/telltale-iot/telltale/pkg/report"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
	"github.com/telltale-iot/telltale/services/ingest-writer/archive"
	"github.com/telltale-iot/telltale/services/ingest-writer/rollups"
	"github.com/telltale-iot/telltale/services/ingest-writer/writer"
)

type command struct {
	daemon.Flags
	kafka.Config
	MongoDBURI string         `env:"MONGODB_URI" default:"mongodb://localhost:27017/iot" help:"Where readings and dead letters are stored."`
	MongoDBTLS tlsfiles.Files `envprefix:"MONGODB_"`
	Retention  readings.Retention
}

func main() {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "replay":
			os.Args = slices.Delete(os.Args, 1, 2)
			daemon.Main("ingest-writer replay", "Stores again the readings that Kafka still has, while the service runs. What is stored already stays as it is.", new(backfill))
		case "repair":
			os.Args = slices.Delete(os.Args, 1, 2)
			daemon.Main("ingest-writer repair", "Makes the unique index of readings, while the service runs and waits for it. Readings that are stored twice it "+
				"removes, and keeps them as dead letters where their values differ.", new(repair))
		}
	}
	if work, flags, ok := rollups.In(os.Args[1:]); ok {
		os.Args = append(os.Args[:1], flags...)
		daemon.Main(strings.TrimSpace("ingest-writer rollups "+string(work)), work.About(), &rollupsCommand{work: work})
	}
	daemon.Main("ingest-writer", "Stores the readings on Kafka, and the dead letters, in MongoDB.\n\n"+
		"Commands:\n"+
		"  ingest-writer replay --from=TIME\n"+
		"      Store again the readings that Kafka still has, while the service runs. See ingest-writer replay --help.\n"+
		"  ingest-writer repair\n"+
		"      Repair a collection that holds readings twice, while the service runs. See ingest-writer repair --help.\n"+
		"  ingest-writer rollups check\n"+
		"      Compare the rollups with the readings, while the service runs. It exits with 1 where they differ.\n"+
		"  ingest-writer rollups rebuild\n"+
		"      Compute the rollups once more, while the service runs.\n"+
		"  ingest-writer doctor\n"+
		"      Say what is wrong with settings, servers, topics, clock and ports.", new(command))
}

// Checks are those of ingest-writer doctor.
func (c *command) Checks() []doctor.Check {
	return []doctor.Check{kafka.Examine(c.Config), mongodb.Examine("MONGODB_URI", c.MongoDBURI, c.MongoDBTLS)}
}

func (c *command) Run(ctx context.Context, p *daemon.Process) error {
	c.ClientID = writer.Group
	store, err := readings.OpenOwned(c.MongoDBURI, c.MongoDBTLS, readings.Options{
		Log: p.Log, Retention: iot.Retention{Readings: c.Retention.Readings, Rollups: c.Retention.Rollups}, Metrics: p.Metrics,
	})
	if err != nil {
		return &daemon.ConfigError{Variable: "MONGODB_URI", Value: c.MongoDBURI, Err: err}
	}
	defer daemon.Close(p.Log, "mongodb", store)
	deadLetters, err := deadletters.Open(c.MongoDBURI, c.MongoDBTLS)
	if err != nil {
		return &daemon.ConfigError{Variable: "MONGODB_URI", Value: c.MongoDBURI, Err: err}
	}
	defer daemon.Close(p.Log, "mongodb", deadLetters)
	p.Started()
	p.Health.Expect("kafka ("+writer.Group+")", "kafka ("+archive.Group+")")
	p.Health.Register(ctx, "mongodb", store)
	p.Health.Register(ctx, "mongodb (dead letters)", deadLetters)

	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return writer.Run(ctx, p, c.Config, store, writer.ForServer) })
	g.Go(func() error { return archive.Run(ctx, p, c.Config, deadLetters) })
	g.Go(func() error { return report.Run(ctx, p, c.Config, writer.Reported(archive.Group)) })
	return g.Wait()
}
