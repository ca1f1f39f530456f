package kafka_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/kafka/kafkatest"
	"github.com/telltale-iot/telltale/pkg/kafka/producer"
)

func TestRangeReader(t *testing.T) {
	servers := kafkatest.Brokers(t)
	cfg := kafkatest.NewTopic(t, servers, 3)
	keys := []string{"a", "b", "c", "d", "e"}
	const each = 20 // records of a key in a period
	var begin [5]time.Time
	for period := range begin { // each is a few milliseconds from the next
		time.Sleep(2 * time.Millisecond)
		begin[period] = time.Now().Truncate(time.Millisecond)
		if period == len(begin)-1 {
			break
		}
		var records []kafka.Record
		for range each {
			for _, key := range keys {
				records = append(records, kafka.Record{Topic: cfg.Topic, Key: []byte(key), Value: []byte(key)})
			}
		}
		send(t, cfg, records...)
	}
	start, end := begin[0], begin[len(begin)-1]

	tests := []struct {
		name     string
		from, to time.Time
		want     int
	}{
		{"from a time on", begin[1], time.Time{}, 3 * each * len(keys)},
		{"between two times, the second not included", begin[1], begin[3], 2 * each * len(keys)},
		{"from before the first on", start.Add(-time.Hour), time.Time{}, 4 * each * len(keys)},
		{"after the last", end, time.Time{}, 0},
		{"before the first", start.Add(-time.Hour), start, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var mu sync.Mutex
			got := map[int32][]int64{}
			n := 0
			r := &kafka.RangeReader{
				Config: cfg, From: tt.from, To: tt.to, MaxBatch: 7, Log: kafkatest.Logger(t),
				Handle: func(_ context.Context, batch []kafka.Record) error {
					mu.Lock()
					defer mu.Unlock()
					for _, rec := range batch {
						got[rec.Partition] = append(got[rec.Partition], rec.Offset)
						n++
					}
					return nil
				},
			}
			if err := r.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			if n != tt.want {
				t.Errorf("%d records, want %d", n, tt.want)
			}
			for partition, offsets := range got {
				sorted := slices.Compact(slices.Sorted(slices.Values(offsets)))
				if diff := cmp.Diff(sorted, offsets); diff != "" {
					t.Errorf("partition %d is not read in order, each record once:\n%s", partition, diff)
				}
			}
			if done, total := r.Progress(); done != total {
				t.Errorf("progress ends at %d of %d", done, total)
			}
		})
	}

	t.Run("long records make short batches", func(t *testing.T) {
		const n, size = 8, 400_000
		long := kafkatest.NewTopic(t, servers, 1)
		for range n {
			send(t, long, kafka.Record{Topic: long.Topic, Value: make([]byte, size), Timestamp: start})
		}
		got := 0
		r := &kafka.RangeReader{Config: long, From: start, MaxBatch: 100, Log: kafkatest.Logger(t),
			Handle: func(_ context.Context, batch []kafka.Record) error {
				if len(batch)*size > 1<<20+size {
					t.Errorf("a batch of %d", len(batch))
				}
				got += len(batch)
				return nil
			}}
		if err := r.Run(t.Context()); err != nil || got != n {
			t.Errorf("%d records, %v", got, err)
		}
	})

	t.Run("an error of the handler ends it", func(t *testing.T) {
		broken := errors.New("broken")
		r := &kafka.RangeReader{Config: cfg, From: start, MaxBatch: 10, Log: kafkatest.Logger(t),
			Handle: func(context.Context, []kafka.Record) error { return broken }}
		if err := r.Run(t.Context()); !errors.Is(err, broken) {
			t.Errorf("got %v, want %v", err, broken)
		}
	})

	t.Run("it ends with its context", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		r := &kafka.RangeReader{Config: cfg, From: start, MaxBatch: 10, Log: kafkatest.Logger(t),
			Handle: func(context.Context, []kafka.Record) error { cancel(); return nil }}
		if err := r.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want %v", err, context.Canceled)
		}
	})
}

// send puts records on Kafka.
func send(t testing.TB, cfg kafka.Config, records ...kafka.Record) {
	t.Helper()
	p := producer.New(cfg, kafkatest.Discard(), nil)
	stop := kafkatest.Start(t, p.Run)
	defer stop()
	if err := kafkatest.Send(t.Context(), p, records...); err != nil {
		t.Fatal(err)
	}
}
