// Package ignored knows what the bridges read nothing of: messages on topics that nobody reads, and members that
// readings were kept without. Every replica of a bridge writes what it has counted to a compacted topic; the sum over the
// replicas is what people see.
//
// # What is in memory
//
// The newest 4 MiB of what is not forgotten, and what package compacted says (TestBounds).
package ignored

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/telltale-iot/telltale/pkg/compacted"
	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/kafka/producer"
)

const (
	maxShown  = 200         // topics and members in a list
	maxBytes  = 4 << 20     // of what is read: 2,000 records, as ten replicas have, of 2 KiB
	maxRecord = 12 << 10    // bytes of a record; a longer one is none of a bridge's
	freshFor  = time.Second // how long what was read last is new enough
)

// List is what is ignored. It is safe for concurrent use.
type List struct {
	table    *compacted.Table
	producer *producer.Producer
}

// New returns what the topic of cfg says, and has producer write to it what is forgotten.
func New(cfg kafka.Config, producer *producer.Producer, log *slog.Logger) *List {
	cfg.Topic = cfg.IgnoredTopic()
	table := compacted.NewTable(compacted.Table{Topic: cfg, What: "what is ignored", MaxBytes: maxBytes, MaxRecord: maxRecord, Log: log})
	return &List{table: table, producer: producer}
}

// All returns the last of what is ignored, newest first, with the counts of all replicas together.
func (l *List) All(ctx context.Context) (all []event.Ignored, err error) {
	type name struct{ topic, member string }
	sums := map[name]event.Ignored{}
	err = l.table.Rows(ctx, freshFor, func(rows map[string]compacted.Row) error {
		for _, row := range rows {
			i, err := event.ReadIgnored(row.Value)
			if err != nil {
				continue // it is another program's
			}
			sum := sums[name{i.Topic, i.Member}]
			count := sum.Count + i.Count
			if !i.Last.Before(sum.Last) {
				sum = i
			}
			sum.Count = count
			sums[name{i.Topic, i.Member}] = sum
		}
		return nil
	})
	all = slices.SortedFunc(maps.Values(sums), func(a, b event.Ignored) int {
		return cmp.Or(b.Last.Compare(a.Last), cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Member, b.Member))
	})
	return all[:min(len(all), maxShown)], err
}

// Forget ends what is there, on the topic too. What is ignored after that is there again, with the count of its replica
// since that started.
func (l *List) Forget(ctx context.Context) error {
	return l.table.End(ctx, l.producer, func([]byte) bool { return true })
}
