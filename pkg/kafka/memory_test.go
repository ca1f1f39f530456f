package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

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
	away := errors.New("away")
	group := groupConfig(cfg)
	group.MaxBatch = 1000
	c := kafka.NewConsumer(group, func(context.Context, []kafka.Record) error { return away }, kafkatest.Discard(), nil)
	grown := heaptest.Watch(t)
	defer kafkatest.Start(t, c.Run)()
	time.Sleep(1500 * time.Millisecond) // for more and more to come, if it does
	if n := grown() / size; n > partitions*most || n < partitions {
		t.Errorf("%d records of %d partitions are in memory, want %d of each at most", n, partitions, most)
	} else {
		t.Logf("%d records of %d partitions", n, partitions)
	}
}
