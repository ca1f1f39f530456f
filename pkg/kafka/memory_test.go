package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/telltale-iot/telltale/pkg/heaptest"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/kafka/kafkatest"
)

// TestMemoryWhileNothingIsHandled bounds what a consumer of long records takes when its handler is away: of each
// partition two batches, and a few records that were on their way.
func TestMemoryWhileNothingIsHandled(t *testing.T) {
	const partitions, each, size, most = 12, 20, 900_000, 5
	cfg := kafkatest.NewTopic(t, kafkatest.Brokers(t), partitions)
	for i := range each {
		var records []kafka.Record
		for key := range 4 * partitions { // some in each partition
			if key%4 == i%4 {
				records = append(records, kafka.Record{Topic: cfg.Topic, Key: fmt.Append(nil, key), Value: make([]byte, size)})
			}
		}
		send(t, cfg, records...)
	}
	if n := whileNothingIsHandled(t, cfg, 1000) / size; n > partitions*most || n < partitions {
		t.Errorf("%d records of %d partitions are in memory, want %d of each at most", n, partitions, most)
	} else {
		t.Logf("%d records of %d partitions", n, partitions)
	}
}

// TestMemoryOfFetches bounds what a consumer has fetched when its handler is away and batches are short.
func TestMemoryOfFetches(t *testing.T) {
	const partitions, size, most = 12, 10_000, 10 << 20
	cfg := kafkatest.NewTopic(t, kafkatest.Brokers(t), partitions)
	for range 50 {
		var records []kafka.Record
		for key := range 4 * partitions { // some in each partition
			records = append(records, kafka.Record{Topic: cfg.Topic, Key: fmt.Append(nil, key), Value: make([]byte, size)})
		}
		send(t, cfg, records...)
	}
	if n := whileNothingIsHandled(t, cfg, 1); n > most {
		t.Errorf("%d KiB, want %d at most", n>>10, most>>10)
	} else {
		t.Logf("%d KiB", n>>10)
	}
}

// whileNothingIsHandled returns by how many bytes the memory in use grows while a consumer's handler is away.
func whileNothingIsHandled(t *testing.T, cfg kafka.Config, maxBatch int) int {
	t.Helper()
	const often = 4 // in more than a second, in which more and more would come
	away := errors.New("away")
	group := groupConfig(cfg)
	group.MaxBatch = maxBatch
	var mu sync.Mutex
	failures := make([]int, cfg.Partitions)
	c := kafka.NewConsumer(group, func(_ context.Context, batch []kafka.Record) error {
		mu.Lock()
		defer mu.Unlock()
		failures[batch[0].Partition]++
		return away
	}, kafkatest.Discard(), nil)
	grown := heaptest.Watch(t)
	defer kafkatest.Start(t, c.Run)()
	kafkatest.Eventually(t, kafkatest.Timeout, "the first batch of each partition has failed often", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return slices.Min(failures) >= often
	})
	return grown()
}
