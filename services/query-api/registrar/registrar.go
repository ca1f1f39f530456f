// Package registrar registers devices: it reads the topic of readings, and creates every device that a reading is of in
// the metadata store, under its own id.
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
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/telltale-iot/telltale/pkg/consumer"
	"github.com/telltale-iot/telltale/pkg/daemon"
	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/metadata"
)

// Group is the registrar's consumer group.
const Group = "device-registry"

// A batch is at most batchSize records of one partition. The broker waits up to batchWait for more of them. It costs one
// query of the store, so it waits for longer than a reading on its way to being stored.
const (
	batchSize = 5000
	batchWait = 250 * time.Millisecond
)

// Run registers the devices of readings from Kafka in store, whose owner it is, until ctx ends; then it finishes the
// batches it has begun, commits them and returns nil.
func Run(ctx context.Context, p *daemon.Process, cfg kafka.Config, store metadata.Store) error {
	registered := promauto.With(p.Metrics).NewCounter(prometheus.CounterOpts{
		Name: "telltale_registrar_devices_registered_total",
		Help: "Devices created because of a reading.",
	})
	sink := &event.Sink{
		Store: func(ctx context.Context, batch []iot.Reading) (event.Stored, error) {
			ensured, err := store.EnsureDevices(ctx, devices(batch))
			registered.Add(float64(ensured.Created))
			return event.Stored{Outcomes: []int{len(batch)}}, err
		},
		Account: event.NewAccount(p.Metrics, "registrar", "registered"),
	}
	return consumer.Service{
		GroupConfig: kafka.GroupConfig{Config: cfg, Group: Group, MaxBatch: batchSize, MaxWait: batchWait, Released: sink.Release},
		Handle:      sink.Handle,
		Store:       store,
		StoreName:   "metadata store",
	}.Run(ctx, p)
}

// devices returns whom batch is of, ascending by id, each once, and of one id in the order of batch.
func devices(batch []iot.Reading) []iot.Identity {
	seen := make([]iot.Identity, len(batch))
	for i, reading := range batch {
		seen[i] = iot.Identity{ID: reading.Device, Key: reading.Key}
	}
	slices.SortStableFunc(seen, func(a, b iot.Identity) int { return cmp.Compare(a.ID, b.ID) })
	return slices.Compact(seen)
}
