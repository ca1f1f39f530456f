// Package updater is the cache-updater: it takes readings from Kafka and keeps the latest value of each device
// in the latest cache: the newest of each metric and attribute.
//
// The cache decides what is newest, so order, repetition and the number of updaters do not matter. A batch
// is committed to Kafka when the cache has taken it; while the cache is away, the updater stops at the
// batch that failed and repeats it. A cache that was emptied or replaced is filled again from the topic, from twice the
// time to live on, within seconds. Records that hold no reading are passed over: ingest-writer sends them to the dead-letter
// topic.
//
// # What is in memory
//
// Of each partition, for the consumer and, while the cache is filled again, once more (TestMemory):
//
//	records                           what package kafka says of a partition
//	readings                          what package event says of a batch
//	a script for Redis                what has come of 200 devices, 1 MiB or one device of what is kept of them, and
//	                                  both merged
package updater

import (
	"context"
	"log/slog"
	"time"

	"github.com/telltale-iot/telltale/pkg/consumer"
	"github.com/telltale-iot/telltale/pkg/daemon"
	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/latest"
	"github.com/telltale-iot/telltale/pkg/report"
)

// Group is the updater's consumer group.
const Group = "cache-updater"

// Reported is what the process says of the service.
var Reported = report.Service{Name: Group, Accounts: []string{"updater_readings"}, Groups: []string{Group}}

// A batch is at most batchSize records of one partition. The broker waits up to batchWait for more of them.
const (
	batchSize = 1000
	batchWait = 50 * time.Millisecond
)

// Run moves readings from Kafka to cache, which keeps each for ttl from its arrival on, until ctx ends; then it finishes
// the batches it has begun, commits them and returns nil.
func Run(ctx context.Context, p *daemon.Process, cfg kafka.Config, cache latest.Cache, ttl time.Duration) error {
	u := &updater{kafka: cfg, cache: cache, ttl: ttl, log: p.Log}
	sink := &event.Sink{
		Store: func(ctx context.Context, batch []iot.Reading) (event.Stored, error) {
			expired := countExpired(batch, time.Now().Add(-ttl))
			accepted, err := u.put(ctx, batch)
			return event.Stored{Outcomes: []int{accepted, len(batch) - accepted - expired, expired}}, err
		},
		Account: event.NewAccount(p.Metrics, "updater", "accepted", "older", "expired"),
	}
	return consumer.Service{
		GroupConfig: kafka.GroupConfig{Config: cfg, Group: Group, MaxBatch: batchSize, MaxWait: batchWait, Released: sink.Release},
		Handle:      sink.Handle,
		Beside:      u.keepComplete,
	}.Run(ctx, p)
}

// updater puts readings into a cache.
type updater struct {
	kafka kafka.Config
	cache latest.Cache
	ttl   time.Duration
	log   *slog.Logger
}

// put offers batch to the cache. Readings of a device that a server stamped with one millisecond get consecutive
// ones, as in the readings store: the last of them is the newest.
func (u *updater) put(ctx context.Context, batch []iot.Reading) (accepted int, err error) {
	type times struct{ stamped, given time.Time }
	last := map[iot.DeviceID]times{}
	for i := range batch {
		r := &batch[i]
		if r.Origin == 0 {
			continue
		}
		t := times{r.At, r.At}
		if before, ok := last[r.Device]; ok && !r.At.Before(before.stamped) && !r.At.After(before.given) {
			t.given = before.given.Add(time.Millisecond)
		}
		r.At, last[r.Device] = t.given, t
	}
	return u.cache.PutLatest(ctx, batch, u.ttl)
}

// countExpired counts the readings that were received at or before limit. Many of them mean that the
// updater is behind by more than the time to live.
func countExpired(batch []iot.Reading, limit time.Time) int {
	n := 0
	for i := range batch {
		if !batch[i].Received.After(limit) {
			n++
		}
	}
	return n
}
