// Package updater is the cache-updater: it takes readings from Kafka and keeps the newest of each device
// in the latest cache.
//
// The cache decides what is newest, so order, repetition and the number of updaters do not matter. A batch
// is committed to Kafka when the cache has taken it; while the cache is away, the updater stops at the
// batch that failed and repeats it. A cache that was emptied or replaced is filled again from the topic,
// within seconds. Records that hold no reading are passed over: ingest-writer sends them to the dead-letter
// topic.
//
// # What is in memory
//
// Of each partition, for the consumer and, while the cache is filled again, once more (TestMemory):
//
//	records                           what package kafka says of a partition
//	readings                          what package event says of a batch
//	a script for Redis                the newest readings of 200 devices
package updater

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/telltale-iot/telltale/pkg/daemon"
	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/latest"
)

// Group is the updater's consumer group.
const Group = "cache-updater"

// A batch is what has arrived of one partition within batchWait, at most batchSize records.
const (
	batchSize = 1000
	batchWait = 50 * time.Millisecond
)

// Updater moves readings from Kafka to Cache.
type Updater struct {
	Kafka   kafka.Config
	Cache   latest.Cache
	TTL     time.Duration // how long after its arrival a reading is kept
	Log     *slog.Logger
	Metrics prometheus.Registerer
	Health  *daemon.Health
}

// CheckTTL returns a *daemon.ConfigError when ttl, the setting LATEST_TTL, is not more than 0.
func CheckTTL(ttl time.Duration) error {
	if ttl <= 0 {
		return &daemon.ConfigError{Variable: "LATEST_TTL", Value: ttl.String(), Err: errors.New("must be more than 0")}
	}
	return nil
}

// Run moves readings until ctx ends, then finishes the batches it has begun, commits them and returns nil.
// A TTL that is not more than 0 is a *daemon.ConfigError.
func (u *Updater) Run(ctx context.Context) error {
	if err := CheckTTL(u.TTL); err != nil {
		return err
	}
	sink := &event.Sink{
		Store: func(ctx context.Context, batch []iot.Reading) (event.Stored, error) {
			expired := countExpired(batch, time.Now().Add(-u.TTL))
			accepted, err := u.put(ctx, batch)
			return event.Stored{Outcomes: []int{accepted, len(batch) - accepted - expired, expired}}, err
		},
		Tally: event.NewTally(u.Metrics, "updater", "accepted", "older", "expired"),
	}
	consumer := kafka.NewConsumer(kafka.GroupConfig{
		Config: u.Kafka, Group: Group, MaxBatch: batchSize, MaxWait: batchWait, Released: sink.Release,
	}, sink.Handle, u.Log, u.Metrics)

	u.Health.Register(ctx, "kafka ("+Group+")", consumer)

	if err := consumer.EnsureTopics(ctx); err != nil {
		return err
	}
	var g errgroup.Group
	g.Go(func() error { return consumer.Run(ctx) })
	g.Go(func() error { u.keepComplete(ctx); return nil })
	return g.Wait()
}

// put offers batch to the cache. Readings of a device that a server stamped with one millisecond get consecutive
// ones, as in the readings store: the last of them is the newest.
func (u *Updater) put(ctx context.Context, batch []iot.Reading) (accepted int, err error) {
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
	return u.Cache.PutLatest(ctx, batch, u.TTL)
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
