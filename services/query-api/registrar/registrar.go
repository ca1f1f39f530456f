// Package registrar registers the devices that are heard of: it reads the readings' topic and sees to it
// that every device that sends one is in the metadata store, under its own id.
//
// It always asks the store and remembers nothing, so a device that was deleted and goes on publishing is
// back with its next reading, whoever deleted it. While the store is away it waits at the batch that
// failed. What is wrong on the topic it passes over: the ingest-writer sends that to the dead letters.
//
// # What is in memory
//
// Of each partition, and no more whatever is on the topic (TestMemory):
//
//	records                           what package kafka says of a partition
//	readings                          what package event says of a batch; their ids
package registrar

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"golang.org/x/sync/errgroup"

	"github.com/telltale-iot/telltale/pkg/daemon"
	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/metadata"
)

// Group is the registrar's consumer group.
const Group = "device-registry"

// A batch is what has arrived of one partition within batchWait, at most batchSize records. It costs one
// question to the store, so it waits for longer than a reading on its way to being stored.
const (
	batchSize = 5000
	batchWait = 250 * time.Millisecond
)

// Registrar keeps Store, whose owner it is, complete.
type Registrar struct {
	Kafka   kafka.Config
	Store   metadata.Store
	Log     *slog.Logger
	Metrics prometheus.Registerer
	Health  *daemon.Health
}

// Run prepares the store, then registers devices until ctx ends, and returns nil.
func (r *Registrar) Run(ctx context.Context) error {
	registered := promauto.With(r.Metrics).NewCounter(prometheus.CounterOpts{
		Name: "telltale_registrar_devices_registered_total",
		Help: "Devices created because of a reading.",
	})
	sink := &event.Sink{
		Store: func(ctx context.Context, batch []iot.Reading) (event.Stored, error) {
			created, err := r.Store.EnsureDevices(ctx, devices(batch))
			registered.Add(float64(created))
			return event.Stored{Outcomes: []int{len(batch)}}, err
		},
		Tally: event.NewTally(r.Metrics, "registrar", "registered"),
	}
	consumer := kafka.NewConsumer(kafka.GroupConfig{
		Config: r.Kafka, Group: Group, MaxBatch: batchSize, MaxWait: batchWait, Released: sink.Release,
	}, sink.Handle, r.Log, r.Metrics)
	r.Health.Register(ctx, "kafka ("+Group+")", consumer)
	if r.Health.Await(ctx, r.Log, "metadata store", r.Store.Prepare) != nil {
		return nil // ctx has ended
	}
	if err := consumer.EnsureTopics(ctx); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { daemon.Keep(ctx, r.Log, "metadata store", r.Store); return nil })
	g.Go(func() error { return consumer.Run(ctx) })
	return g.Wait()
}

// devices returns the ids in batch, ascending, each once.
func devices(batch []iot.Reading) []iot.DeviceID {
	ids := make([]iot.DeviceID, len(batch))
	for i, reading := range batch {
		ids[i] = reading.Device
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}
