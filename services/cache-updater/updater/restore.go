package updater

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/telltale-iot/telltale/pkg/daemon"
	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/kafka"
)

// lossEvery is how often the cache is asked whether it has lost anything.
const lossEvery = time.Second

// keepComplete restores the cache whenever it is new, was emptied or replaced, until ctx ends.
func (u *updater) keepComplete(ctx context.Context) error {
	for ctx.Err() == nil {
		_ = daemon.Await(ctx, u.log, "complete latest values", u.restoreIfLost) // fails with ctx alone
		select {
		case <-ctx.Done():
		case <-time.After(lossEvery):
		}
	}
	return nil
}

// restoreIfLost offers the cache again what arrived within twice the time to live. That is all that it can have lost: a
// value that is shown has members that arrived up to the time to live before the latest arrival of their device. It may
// run beside the consumer, in any order.
func (u *updater) restoreIfLost(ctx context.Context) error {
	if complete, err := u.cache.Complete(ctx); complete || err != nil {
		return err
	}
	start := time.Now()
	var restored atomic.Int64
	again := &kafka.RangeReader{
		Config: u.kafka, From: start.Add(-2 * u.ttl), MaxBatch: batchSize, Log: u.log,
		Handle: func(ctx context.Context, batch []kafka.Record) error {
			for readings := range event.Slices(batch) {
				n, err := u.put(ctx, readings)
				if err != nil {
					return err
				}
				restored.Add(int64(n))
			}
			return nil
		},
	}
	if err := u.cache.Restore(ctx, again.Run); err != nil {
		return err
	}
	records, _ := again.Progress()
	u.log.Info("restored latest values from the topic", "records", records, "accepted", restored.Load(),
		"took", time.Since(start).Round(time.Millisecond))
	return nil
}
