// Package refused knows whom services did not let in, or would not have if AUTH said so. Every replica writes what it has
// counted to a compacted topic; the sum over the replicas is what people see.
//
// # What is in memory
//
// The newest 16 MiB of what is not forgotten, and what package compacted says.
package refused

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
	reach     = 24 * time.Hour // how far back is read at first, so that the first who asks does not wait for all that ever was
	maxBytes  = 16 << 20       // of what is read: 20,000 records of 800 bytes
	maxRecord = 8 << 10        // bytes of a record; a longer one is none of a service's
	freshFor  = time.Second    // how long what was read last is new enough
)

// MaxShown is how many a list has.
const MaxShown = 1000

// List is who was refused. It is safe for concurrent use.
type List struct {
	table    *compacted.Table
	producer *producer.Producer
}

// New returns what the topic of cfg says, and has producer write to it what is forgotten.
func New(cfg kafka.Config, producer *producer.Producer, log *slog.Logger) *List {
	cfg.Topic = cfg.RefusedTopic()
	table := compacted.NewTable(compacted.Table{Topic: cfg, What: "who is refused", MaxBytes: maxBytes, MaxRecord: maxRecord, Reach: reach, Log: log})
	return &List{table: table, producer: producer}
}

// All returns the last MaxShown of those who were refused, or who only would have been, newest first, with the counts of
// all replicas together.
func (l *List) All(ctx context.Context, denied bool) (all []event.Refusal, err error) {
	sums := map[event.Refusal]event.Refusal{}
	err = l.table.Rows(ctx, freshFor, func(rows map[string]compacted.Row) error {
		for _, row := range rows {
			r, err := event.ReadRefusal(row.Value)
			if err != nil || r.Denied != denied {
				continue // it is another program's, or not asked for
			}
			sum, known := sums[r.Who()]
			if !known {
				sums[r.Who()] = r
				continue
			}
			count, first := sum.Count+r.Count, sum.First
			if r.First.Before(first) {
				first = r.First
			}
			if !r.Last.Before(sum.Last) {
				sum = r
			}
			sum.Count, sum.First = count, first
			sums[r.Who()] = sum
		}
		return nil
	})
	all = slices.SortedFunc(maps.Values(sums), func(a, b event.Refusal) int {
		return cmp.Or(b.Last.Compare(a.Last), cmp.Compare(a.Principal, b.Principal), cmp.Compare(a.ClientID, b.ClientID),
			cmp.Compare(a.Device, b.Device), cmp.Compare(a.Address, b.Address), cmp.Compare(a.Why, b.Why))
	})
	return all[:min(len(all), MaxShown)], err
}

// Forget ends what All returns, on the topic too. Whoever is refused after that is there again, with the count of its replica
// since that started.
func (l *List) Forget(ctx context.Context, denied bool) error {
	return l.table.End(ctx, l.producer, func(value []byte) bool {
		r, err := event.ReadRefusal(value)
		return err == nil && r.Denied == denied
	})
}
