// Package ignored knows what the bridges read nothing of: messages on topics that nobody reads, and members that
// readings were kept without. Every replica of a bridge writes what it has counted to a compacted topic; the sum over the
// replicas is what people see.
//
// The topic is read when somebody asks: from its beginning at first, and then what is new. While Kafka is away asking
// fails, and what was read before is kept.
//
// # What is in memory
//
// The newest 2,000 records of what is not forgotten, of at most 8 KiB each, so 16 MiB; and while the topic is read a
// batch of 500 records, of 4 MiB at most (TestBounds).
package ignored

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/kafka/producer"
)

const (
	maxShown    = 200         // topics and members in a list
	maxKept     = 2000        // records: those of ten replicas
	maxRecord   = 8 << 10     // bytes of a record; a longer one is none of a bridge's
	batch       = 500         // records
	freshFor    = time.Second // how long what was read last is new enough
	clockJitter = time.Minute // how far the clocks of brokers may be apart; what is read twice is the same
)

// List is what is ignored. It is safe for concurrent use.
type List struct {
	topic    string
	kafka    kafka.Config // whose topic is that
	producer *producer.Producer
	log      *slog.Logger

	turn    chan struct{} // of who reads the topic, and changes the rest
	records map[string]event.Ignored
	newest  time.Time // of the records that were read
	readAt  time.Time
}

// New returns what the topic of cfg says, and has producer write to it what is forgotten.
func New(cfg kafka.Config, producer *producer.Producer, log *slog.Logger) *List {
	topic := cfg.IgnoredTopic()
	cfg.Topic = topic
	return &List{topic: topic, kafka: cfg, producer: producer, log: log, turn: make(chan struct{}, 1), records: map[string]event.Ignored{}}
}

// lock waits for the turn of the caller, who calls unlock.
func (l *List) lock(ctx context.Context) error {
	select {
	case l.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *List) unlock() { <-l.turn }

// All returns the last of what is ignored, newest first, with the counts of all replicas together.
func (l *List) All(ctx context.Context) ([]event.Ignored, error) {
	if err := l.lock(ctx); err != nil {
		return nil, err
	}
	defer l.unlock()
	if err := l.read(ctx, freshFor); err != nil {
		return nil, err
	}
	type name struct{ topic, member string }
	sums := make(map[name]event.Ignored, len(l.records))
	for _, i := range l.records {
		sum := sums[name{i.Topic, i.Member}]
		count := sum.Count + i.Count
		if !i.Last.Before(sum.Last) {
			sum = i
		}
		sum.Count = count
		sums[name{i.Topic, i.Member}] = sum
	}
	all := slices.SortedFunc(maps.Values(sums), func(a, b event.Ignored) int {
		return cmp.Or(b.Last.Compare(a.Last), cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Member, b.Member))
	})
	return all[:min(len(all), maxShown)], nil
}

// Forget ends what is there, on the topic too. What is ignored after that is there again, with the count of its replica
// since that started.
func (l *List) Forget(ctx context.Context) error {
	if err := l.lock(ctx); err != nil {
		return err
	}
	defer l.unlock()
	if err := l.read(ctx, 0); err != nil {
		return err
	}
	keys := slices.Collect(maps.Keys(l.records))
	answers := make(chan error, len(keys))
	for _, key := range keys {
		l.producer.Produce(event.ForgetIgnored(l.topic, []byte(key)), func(err error) { answers <- err })
	}
	for range keys {
		select {
		case err := <-answers:
			if err != nil {
				return fmt.Errorf("forget what is ignored: %w", err)
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	clear(l.records)
	return nil
}

// read reads what is new on the topic, unless that was done less than fresh ago.
func (l *List) read(ctx context.Context, fresh time.Duration) error {
	begin := time.Now()
	if begin.Sub(l.readAt) < fresh {
		return nil
	}
	r := &kafka.RangeReader{Config: l.kafka, MaxBatch: batch, Log: l.log, Handle: l.take}
	if !l.newest.IsZero() {
		r.From = l.newest.Add(-clockJitter)
	}
	if err := r.Run(ctx); err != nil {
		return fmt.Errorf("read what is ignored: %w", err)
	}
	l.readAt = begin
	return nil
}

// take takes in the next records of the topic, which has one partition.
func (l *List) take(_ context.Context, records []kafka.Record) error {
	for i := range records {
		rec := &records[i]
		if rec.Timestamp.After(l.newest) {
			l.newest = rec.Timestamp
		}
		ignored, forgotten, err := event.ReadIgnored(rec)
		switch {
		case forgotten:
			delete(l.records, string(rec.Key))
		case err == nil && len(rec.Key)+len(rec.Value) <= maxRecord: // others are of other programs
			l.records[string(rec.Key)] = ignored
		}
	}
	l.evict()
	return nil
}

// evict leaves the newest maxKept records.
func (l *List) evict() {
	if len(l.records) <= maxKept {
		return
	}
	oldest := slices.SortedFunc(maps.Keys(l.records), func(a, b string) int { return l.records[a].Last.Compare(l.records[b].Last) })
	for _, key := range oldest[:len(oldest)-maxKept] {
		delete(l.records, key)
	}
}
