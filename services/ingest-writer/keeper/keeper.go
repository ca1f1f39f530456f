// Package keeper keeps the dead letters: it reads their topic into their store, where people find them.
//
// A letter is committed to Kafka only when it is stored, or recognised as stored before. While the store is
// away the keeper stops at the batch that failed and repeats it; readings, which the writer beside it stores,
// do not wait for it. Whatever is on the topic is kept, since nothing comes behind the dead letters: a record
// that is none becomes a letter without a reason, and of one that is far too long the beginning is kept.
//
// # What is in memory
//
//	records, of each partition        what package kafka says of a partition; the letters are the same bytes
//	a letter                          4 MiB; of a longer one 64 KiB are kept (TestRead)
//	batches that are being stored     four, of which the driver takes four times their bytes (TestInsertsAtOnce)
package keeper

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/telltale-iot/telltale/pkg/daemon"
	"github.com/telltale-iot/telltale/pkg/deadletters"
	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka"
)

// Group is the keeper's consumer group.
const Group = "dead-letters"

const (
	// A letter may be megabytes long, so that a few make a batch.
	batchSize = 10
	batchWait = 50 * time.Millisecond
	// maxInserts is how many batches, of different partitions, are with the store at the same time: the driver
	// takes several times what is in one.
	maxInserts = 4
	// maxBytes is the longest letter that is kept whole: twice what the topic takes as it is created. No
	// store takes what is longer than 16 MiB.
	maxBytes = 4 << 20
)

// Keeper moves dead letters from Kafka to Store, whose owner it is.
type Keeper struct {
	Kafka   kafka.Config
	Store   deadletters.Store
	Log     *slog.Logger
	Metrics prometheus.Registerer
	Health  *daemon.Health
}

// Run prepares the store, then moves dead letters until ctx ends, finishes the batches it has begun, commits
// them and returns nil.
func (k *Keeper) Run(ctx context.Context) error {
	letters := promauto.With(k.Metrics).NewCounterVec(prometheus.CounterOpts{
		Name: "telltale_keeper_dead_letters_total",
		Help: "Dead letters taken from Kafka, by what became of them: stored or duplicate.",
	}, []string{"outcome"})
	stored, duplicate := letters.WithLabelValues("stored"), letters.WithLabelValues("duplicate")

	turns := semaphore.NewWeighted(maxInserts)
	consumer := kafka.NewConsumer(kafka.GroupConfig{
		Config: k.Kafka, Group: Group, ReadTopic: k.Kafka.DeadLetterTopic(), MaxBatch: batchSize, MaxWait: batchWait,
	}, func(ctx context.Context, batch []kafka.Record) error {
		if err := turns.Acquire(ctx, 1); err != nil {
			return err
		}
		defer turns.Release(1)
		n, err := k.Store.InsertDeadLetters(ctx, read(batch))
		if err != nil {
			return err
		}
		stored.Add(float64(n))
		duplicate.Add(float64(len(batch) - n))
		return nil
	}, k.Log, k.Metrics)
	k.Health.Register(ctx, "kafka ("+Group+")", consumer)
	if k.Health.Await(ctx, k.Log, "store of dead letters", k.Store.Prepare) != nil {
		return nil // ctx has ended
	}
	if err := consumer.EnsureTopics(ctx); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { daemon.Keep(ctx, k.Log, "store of dead letters", k.Store); return nil })
	g.Go(func() error { return consumer.Run(ctx) })
	return g.Wait()
}

// read returns the letters in batch.
func read(batch []kafka.Record) []iot.DeadLetter {
	letters := make([]iot.DeadLetter, len(batch))
	for i := range batch {
		letters[i] = event.ReadDeadLetter(&batch[i])
		if len(letters[i].Bytes) > maxBytes {
			letters[i] = event.DeadLetter{DeadLetter: letters[i]}.Head().DeadLetter
		}
	}
	return letters
}
