// Package writer is the ingest-writer: it takes readings from Kafka and makes them durable in the
// readings store.
//
// A batch is committed to Kafka only when each of its records is stored, recognised as a duplicate, or in
// the dead-letter topic. While the store is away the writer stops at the batch that failed and repeats it;
// what it had stored of it already comes back as duplicates.
//
// # What is in memory
//
// Of each partition, and no more whatever is on the topic (TestMemory):
//
//	records                           what package kafka says of a partition
//	readings and dead letters         what package event says of a batch
//	a command to MongoDB              about as long as the readings in it, 8 MiB at most
//
// A Replay takes the same, but for the dead letters.
package writer

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/telltale-iot/telltale/pkg/daemon"
	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/readings"
)

// Group is the writer's consumer group.
const Group = "ingest-writer"

// A batch is what has arrived of one partition within batchWait, at most batchSize records.
const (
	batchSize = 1000
	batchWait = 50 * time.Millisecond
)

// Writer moves readings from Kafka to Store.
type Writer struct {
	Kafka   kafka.Config
	Store   readings.Store
	Log     *slog.Logger
	Metrics prometheus.Registerer
	Health  *daemon.Health
}

// Run moves readings until ctx ends, then finishes the batches it has begun, commits them and returns nil.
func (w *Writer) Run(ctx context.Context) error {
	producer := kafka.NewProducer(w.Kafka, w.Log, w.Metrics)
	dead := newDeadLetters(w.Metrics)
	sink := &event.Sink{
		Store: func(ctx context.Context, batch []iot.Reading) (event.Stored, error) {
			inserted, err := w.Store.InsertReadings(ctx, batch)
			return event.Stored{
				Outcomes:  []int{inserted.New, inserted.Duplicates, len(inserted.Conflicts)},
				Conflicts: inserted.Conflicts,
			}, err
		},
		DeadLetter: func(ctx context.Context, letters []event.DeadLetter) error {
			if err := w.send(ctx, producer, letters); err != nil {
				return err
			}
			for _, l := range letters {
				dead.WithLabelValues(string(l.Reason)).Inc()
			}
			return nil
		},
		Tally: event.NewTally(w.Metrics, "writer", "stored", "duplicate", "conflict"),
	}
	consumer := kafka.NewConsumer(kafka.GroupConfig{
		Config: w.Kafka, Group: Group, MaxBatch: batchSize, MaxWait: batchWait, Released: sink.Release,
	}, sink.Handle, w.Log, w.Metrics)

	w.Health.Register(ctx, "kafka ("+Group+")", consumer)
	if w.Health.Await(ctx, w.Log, "readings store", w.Store.Prepare) != nil {
		return nil // ctx has ended
	}
	if err := consumer.EnsureTopics(ctx); err != nil {
		return err
	}
	// The producer outlives the consumer's handlers, which may still send dead letters.
	g, ctx := errgroup.WithContext(ctx)
	producing, stopProducing := context.WithCancel(context.WithoutCancel(ctx))
	context.AfterFunc(ctx, func() { time.AfterFunc(kafka.HandlerGrace, stopProducing) })
	g.Go(func() error { return producer.Run(producing) })
	g.Go(func() error { defer stopProducing(); return consumer.Run(ctx) })
	g.Go(func() error { daemon.Keep(ctx, w.Log, "readings store", w.Store); return nil })
	return g.Wait()
}

// send makes letters durable in the dead-letter topic.
func (w *Writer) send(ctx context.Context, producer *kafka.Producer, letters []event.DeadLetter) error {
	answers := make(chan error, len(letters))
	for _, l := range letters {
		l.Produce(producer, w.Kafka.DeadLetterTopic(), func(err error) { answers <- err })
	}
	var first error
	for range letters {
		select {
		case err := <-answers:
			first = cmp.Or(first, err)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return first
}
