package writer

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/telltale-iot/telltale/pkg/daemon"
	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/readings"
)

// progressEvery is how often a backfill logs its progress.
const progressEvery = 5 * time.Second

// Backfill stores again what is on the topic from a time on, for a store that has lost some of it. It may run
// beside Run, and as often as one likes: what is stored already is a duplicate.
//
// Conflicts, what is too old and what is no reading are counted and passed over. Run sends them to the dead-letter
// topic, where a backfill would only repeat them.
type Backfill struct {
	Kafka    kafka.Config
	Store    readings.Store
	From, To time.Time // when the records came to Kafka; a zero To is now
	Log      *slog.Logger
}

// Backfilled is what became of what was read.
type Backfilled struct {
	Records    int // on the topic
	Stored     int // readings that were missing in the store
	Merged     int // readings of which some members were
	Duplicates int // readings that were there
	Conflicts  int // readings that lost to another one of the same device and time
	TooOld     int // readings of times of which none are kept any more
	Rejected   int // parts of records that are no readings
}

func (b Backfilled) String() string {
	return fmt.Sprintf("%d records read: %d readings stored, %d merged, %d were there already, %d conflicts, %d too old, %d rejected",
		b.Records, b.Stored, b.Merged, b.Duplicates, b.Conflicts, b.TooOld, b.Rejected)
}

// Run stores what is on the topic, and waits while the store is away. It returns what became of that, also when it
// ends with an error or ctx.
func (b *Backfill) Run(ctx context.Context) (total Backfilled, err error) {
	if err := daemon.Await(ctx, b.Log, "readings store", b.Store.Prepare); err != nil {
		return total, err
	}
	var mu sync.Mutex
	from := &kafka.RangeReader{
		Config: b.Kafka, From: b.From, To: b.To, MaxBatch: ForServer.Records, Log: b.Log,
		Handle: func(ctx context.Context, batch []kafka.Record) error {
			n, err := b.store(ctx, batch)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			total.Records += n.Records
			total.Stored += n.Stored
			total.Merged += n.Merged
			total.Duplicates += n.Duplicates
			total.Conflicts += n.Conflicts
			total.TooOld += n.TooOld
			total.Rejected += n.Rejected
			return nil
		},
	}
	done := make(chan error, 1)
	go func() { done <- from.Run(ctx) }()
	ticks := time.NewTicker(progressEvery)
	defer ticks.Stop()
	for {
		select {
		case err := <-done:
			return total, err
		case <-ticks.C:
			read, all := from.Progress()
			mu.Lock()
			b.Log.Info("backfilling", "records", read, "of", all, "stored", total.Stored, "merged", total.Merged, "duplicates", total.Duplicates)
			mu.Unlock()
		}
	}
}

// store has the readings in batch stored.
func (b *Backfill) store(ctx context.Context, batch []kafka.Record) (n Backfilled, err error) {
	n.Records = len(batch)
	for found, rejected := range event.Slices(batch) {
		n.Rejected += rejected
		if len(found) == 0 {
			continue
		}
		var inserted iot.Inserted
		err := daemon.Await(ctx, b.Log, "readings store", func(ctx context.Context) (err error) {
			inserted, err = b.Store.InsertReadings(ctx, found)
			return err
		})
		if err != nil {
			return n, err
		}
		n.Stored += inserted.New
		n.Merged += inserted.Merged
		n.Duplicates += inserted.Duplicates
		n.Conflicts += len(inserted.Conflicts)
		n.TooOld += len(inserted.TooOld)
	}
	return n, nil
}
