// Package archive is the half of ingest-writer that takes dead letters from Kafka and makes them durable in their
// store, where people find them. Package writer is the other half.
//
// A batch is committed to Kafka only when each dead letter in it is stored, or recognised as stored before. While the
// store is away the archive stops at the batch that failed and repeats it; the readings of package writer do not wait
// for it. Whatever is on the topic is stored, since there is no further place for it: a record that is no dead
// letter becomes one without a reason, and of one that is far too long the beginning is stored.
//
// # What is in memory
//
//	records, of each partition        what package kafka says of a partition; the dead letters are the same bytes
//	a dead letter                     4 MiB; of a longer one 64 KiB are stored (TestRead)
//	batches that are being stored     four, of which the driver takes four times their bytes (TestInsertsAtOnce)
package archive

import (
	"context"
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"golang.org/x/sync/semaphore"

	"github.com/telltale-iot/telltale/pkg/consumer"
	"github.com/telltale-iot/telltale/pkg/daemon"
	"github.com/telltale-iot/telltale/pkg/deadletters"
	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/timeouts"
)

// Group is the archive's consumer group.
const Group = "dead-letters"

const (
	// A dead letter may be megabytes long, so that a few make a batch.
	batchSize = 10
	batchWait = 50 * time.Millisecond
	// maxInserts is how many batches, of different partitions, are with the store at the same time: the driver
	// takes several times what is in one.
	maxInserts = 4
	// maxBytes is the longest dead letter that is stored whole: twice what the topic takes as it is created. No
	// store takes what is longer than 16 MiB.
	maxBytes = 4 << 20
)

// Run moves dead letters from Kafka to store until ctx ends, then finishes the batches it has begun, commits them and
// returns nil.
func Run(ctx context.Context, p *daemon.Process, cfg kafka.Config, store deadletters.Store) error {
	consumed := promauto.With(p.Metrics).NewCounterVec(prometheus.CounterOpts{
		Name: "telltale_keeper_dead_letters_total",
		Help: "Dead letters taken from Kafka, by what became of them: stored or duplicate.",
	}, []string{"outcome"})
	stored, duplicate := consumed.WithLabelValues("stored"), consumed.WithLabelValues("duplicate")
	removed := promauto.With(p.Metrics).NewCounter(prometheus.CounterOpts{
		Name: "telltale_keeper_removed_dead_letters_total",
		Help: "Dead letters removed before their time, the oldest first, since all together took too much.",
	})
	bytes := promauto.With(p.Metrics).NewGauge(prometheus.GaugeOpts{
		Name: "telltale_keeper_size_bytes",
		Help: "What the stored dead letters take, NaN where that is not known.",
	})
	inserts := semaphore.NewWeighted(maxInserts)
	handle := func(ctx context.Context, batch []kafka.Record) error {
		if err := inserts.Acquire(ctx, 1); err != nil {
			return err
		}
		defer inserts.Release(1)
		n, err := store.InsertDeadLetters(ctx, read(batch))
		if err != nil {
			return err
		}
		trimmed, err := store.TrimDeadLetters(ctx)
		removed.Add(float64(trimmed))
		if err != nil {
			return err
		}
		stored.Add(float64(n))
		duplicate.Add(float64(len(batch) - n))
		return nil
	}
	return consumer.Service{
		GroupConfig: kafka.GroupConfig{
			Config: cfg, Group: Group, ReadTopic: cfg.DeadLetterTopic(), MaxBatch: batchSize, MaxWait: batchWait,
		},
		Handle:    handle,
		Store:     store,
		StoreName: "store of dead letters",
		Beside:    func(ctx context.Context) error { measure(ctx, store, bytes); return nil },
	}.Run(ctx, p)
}

// sizeEvery is how often the store is asked what it takes.
const sizeEvery = time.Minute

// measure shows what store takes, until ctx ends.
func measure(ctx context.Context, store deadletters.Store, bytes prometheus.Gauge) {
	ask := func() {
		ctx, cancel := context.WithTimeout(ctx, timeouts.StoreRequest)
		defer cancel()
		n, err := store.DeadLetterBytes(ctx)
		if err != nil {
			bytes.Set(math.NaN())
			return
		}
		bytes.Set(float64(n))
	}
	again := time.NewTicker(sizeEvery)
	defer again.Stop()
	for {
		ask()
		select {
		case <-again.C:
		case <-ctx.Done():
			return
		}
	}
}

// read returns the dead letters in batch.
func read(batch []kafka.Record) []iot.DeadLetter {
	deadLetters := make([]iot.DeadLetter, len(batch))
	for i := range batch {
		deadLetters[i] = event.ReadDeadLetter(&batch[i])
		if len(deadLetters[i].Bytes) > maxBytes {
			deadLetters[i] = event.DeadLetter{DeadLetter: deadLetters[i]}.Head().DeadLetter
		}
	}
	return deadLetters
}
