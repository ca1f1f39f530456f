package compacted

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/kafka/producer"
)

const (
	batch       = 500         // records
	rowBytes    = 160         // about what a row takes beside its key and value
	clockJitter = time.Minute // how far the clocks of brokers may be apart; what is read twice is the same
)

// Row is the last record of a key.
type Row struct {
	Value []byte
	At    time.Time // when it came to Kafka
	place int64     // among all that were read
}

// Table is what a topic says, and is read when somebody asks: as far back as it reaches at first, and then what is new. It is
// safe for concurrent use.
type Table struct {
	Topic     kafka.Config  // whose Topic it is
	What      string        // it is, for errors
	MaxBytes  int           // of all rows; the ones that came first make room
	MaxRecord int           // bytes of a record; a longer one is another program's
	Reach     time.Duration // how far back it reads at first; 0 is to the beginning
	Log       *slog.Logger

	turn   chan struct{} // of who reads
	rows   map[string]Row
	bytes  int
	read   int64     // records
	newest time.Time // of them
	readAt time.Time
}

// NewTable returns t, whose exported fields are set, ready to be asked.
func NewTable(t Table) *Table {
	t.turn, t.rows = make(chan struct{}, 1), map[string]Row{}
	return &t
}

// Rows calls look with the rows by their keys, in its turn among others. What was read less than fresh ago is not read again.
func (t *Table) Rows(ctx context.Context, fresh time.Duration, look func(rows map[string]Row) error) error {
	select {
	case t.turn <- struct{}{}:
		defer func() { <-t.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if begin := time.Now(); begin.Sub(t.readAt) >= fresh {
		r := &kafka.RangeReader{Config: t.Topic, MaxBatch: batch, Log: t.Log, Handle: t.take, From: t.from(begin)}
		if err := r.Run(ctx); err != nil {
			return fmt.Errorf("read %s: %w", t.What, err)
		}
		t.readAt = begin
	}
	return look(t.rows)
}

// End ends what the topic says, of the rows whose value ends reports true for, by records without a value, which sender
// produces.
func (t *Table) End(ctx context.Context, sender *producer.Producer, ends func(value []byte) bool) error {
	return t.Rows(ctx, 0, func(rows map[string]Row) error {
		var ended []string
		for key, row := range rows {
			if ends(row.Value) {
				ended = append(ended, key)
			}
		}
		answers := make(chan error, len(ended))
		for _, key := range ended {
			sender.Produce(kafka.Record{Topic: t.Topic.Topic, Key: []byte(key)}, func(err error) { answers <- err })
		}
		for range ended {
			select {
			case err := <-answers:
				if err != nil {
					return fmt.Errorf("end %s: %w", t.What, err)
				}
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		for _, key := range ended {
			t.remove(key)
		}
		return nil
	})
}

func (t *Table) from(now time.Time) (from time.Time) {
	if t.Reach > 0 {
		from = now.Add(-t.Reach)
	}
	if !t.newest.IsZero() && t.newest.Add(-clockJitter).After(from) {
		from = t.newest.Add(-clockJitter)
	}
	return from
}

// take takes in the next records of the topic, which has one partition.
func (t *Table) take(_ context.Context, records []kafka.Record) error {
	for i := range records {
		rec := &records[i]
		if rec.Timestamp.After(t.newest) {
			t.newest = rec.Timestamp
		}
		if len(rec.Key)+len(rec.Value) > t.MaxRecord {
			continue
		}
		t.remove(string(rec.Key))
		if len(rec.Value) > 0 { // else it ends those before it
			t.read++
			t.rows[string(rec.Key)] = Row{bytes.Clone(rec.Value), rec.Timestamp, t.read}
			t.bytes += size(string(rec.Key), rec.Value)
		}
	}
	t.evict()
	return nil
}

func size(key string, value []byte) int { return rowBytes + len(key) + len(value) }

func (t *Table) remove(key string) {
	if row, ok := t.rows[key]; ok {
		t.bytes -= size(key, row.Value)
		delete(t.rows, key)
	}
}

// evict leaves what there is room for.
func (t *Table) evict() {
	if t.bytes <= t.MaxBytes {
		return
	}
	keys := make([]string, 0, len(t.rows))
	for key := range t.rows {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b string) int { return cmp.Compare(t.rows[a].place, t.rows[b].place) })
	for _, key := range keys {
		if t.bytes <= t.MaxBytes {
			return
		}
		t.remove(key)
	}
}
