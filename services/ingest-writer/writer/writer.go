// Package writer is the half of ingest-writer that takes readings from Kafka and makes them durable in the readings
// store. Package archive is the other half.
//
// A batch is committed to Kafka only when each of its records is stored, merged, recognised as a duplicate,
// or in the dead-letter topic. While the store is away the writer stops at the batch that failed and repeats it;
// what it had stored of it already comes back as duplicates.
//
// # What is in memory
//
// Of each partition, and no more whatever is on the topic (TestMemory, TestMemoryInABacklog):
//
//	records                           what package kafka says of a partition
//	readings and dead letters         what package event says of a batch
//	a command to MongoDB              about as long as the readings in it, 8 MiB at most; where it merges, what is
//	                                  stored and what is to be, 4 MiB and one merged reading
//
// A Backfill takes the same, but for the dead letters.
package writer

import (
	"context"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/telltale-iot/telltale/pkg/consumer"
	"github.com/telltale-iot/telltale/pkg/daemon"
	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/kafka/producer"
	"github.com/telltale-iot/telltale/pkg/readings"
	"github.com/telltale-iot/telltale/pkg/report"
)

// Group is the writer's consumer group.
const Group = "ingest-writer"

// Reported is what the process says of ingest-writer, also of its other half, whose group is given.
func Reported(deadLetters string) report.Service {
	return report.Service{
		Name: Group, Accounts: []string{"writer_readings"}, Groups: []string{Group, deadLetters},
		Stores: []report.Store{{Name: "readings", Metrics: "store"}, {Name: "dead_letters", Metrics: "keeper"}},
	}
}

// batchWait is how long the broker waits for more records of a batch.
const batchWait = 50 * time.Millisecond

// Batches says how many readings a store gets at once.
type Batches struct {
	Records int           // of one partition in a batch, at most
	Linger  time.Duration // how long a batch waits for more, while little arrives: see kafka.GroupConfig
}

var (
	// ForServer are the batches for a store on a server. To those that are longer, MongoDB is no faster, and each of 12
	// partitions has two of them in memory.
	ForServer = Batches{Records: 1000}
	// ForFile are the batches for a store in a file. A transaction there costs much the same, however few readings are in
	// it, and while little arrives it writes some pages of 4 KiB, which wears out SD cards. The topic has one partition.
	ForFile = Batches{Records: 4000, Linger: time.Second}
)

// Run moves readings from Kafka to store in batches until ctx ends, then finishes those it has begun, commits them and
// returns nil.
func Run(ctx context.Context, p *daemon.Process, cfg kafka.Config, store readings.Store, batches Batches) error {
	sender := producer.New(cfg, p.Log, p.Metrics)
	sent := newDeadLetters(p.Metrics)
	usage := &usage{store: store, log: p.Log}
	p.Metrics.MustRegister(usage)
	sink := &event.Sink{
		Store: func(ctx context.Context, batch []iot.Reading) (event.Stored, error) {
			inserted, err := store.InsertReadings(ctx, batch)
			return event.Stored{
				Outcomes: []int{inserted.New, inserted.Merged, inserted.Duplicates, len(inserted.Conflicts), len(inserted.TooOld)},
				Refused:  refused(inserted, batch),
			}, err
		},
		DeadLetter: func(ctx context.Context, deadLetters []event.DeadLetter) error {
			if err := event.SendDeadLetters(ctx, sender, cfg.DeadLetterTopic(), deadLetters); err != nil {
				return err
			}
			for _, l := range deadLetters {
				sent.WithLabelValues(string(l.Reason)).Inc()
			}
			return nil
		},
		Account: event.NewAccount(p.Metrics, "writer", "stored", "merged", "duplicate", "conflict", "too_old"),
	}
	return consumer.Service{
		GroupConfig: kafka.GroupConfig{
			Config: cfg, Group: Group, MaxBatch: batches.Records, MaxWait: batchWait, Linger: batches.Linger, Released: sink.Release,
		},
		Handle:    sink.Handle,
		Store:     store,
		StoreName: "readings store",
		Beside: func(ctx context.Context) error {
			g, ctx := errgroup.WithContext(ctx)
			g.Go(func() error { return sender.Run(ctx) })
			g.Go(func() error { return store.Maintain(ctx) })
			g.Go(func() error { return usage.run(ctx) })
			return g.Wait()
		},
	}.Run(ctx, p)
}

// refused returns those of batch that are not stored, and why.
func refused(inserted iot.Inserted, batch []iot.Reading) []event.Refused {
	all := make([]event.Refused, 0, len(inserted.Conflicts)+len(inserted.TooOld))
	for _, i := range inserted.Conflicts {
		all = append(all, event.Refused{Index: i, Rejection: event.Conflict(batch[i])})
	}
	for _, i := range inserted.TooOld {
		all = append(all, event.Refused{Index: i, Rejection: event.TooOld(batch[i])})
	}
	slices.SortFunc(all, func(a, b event.Refused) int { return a.Index - b.Index })
	return all
}
