package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/kafka"
)

// TestMemoryWhileNothingIsHandled holds what a consumer of long records takes when its handler is away: of each
// partition two batches, and a few records that were on their way.
func TestMemoryWhileNothingIsHandled(t *testing.T) {
	const partitions, each, size, most = 12, 20, 900_000, 5
	cfg := newTopic(t, brokers(t), partitions)
	for i := range each {
		var records []kafka.Record
		for key := range 4 * partitions { // some in each partition
			if key%4 == i%4 {
				records = append(records, kafka.Record{Topic: cfg.Topic, Key: fmt.Append(nil, key), Value: make([]byte, size)})
			}
		}
		send(t, cfg, records...)
	}
	defer debug.SetGCPercent(debug.SetGCPercent(10)) // so that what is live is known often
	away := errors.New("away")
	group := groupConfig(cfg)
	group.MaxBatch = 1000
	before, peak := live(), uint64(0)
	c := kafka.NewConsumer(group, func(context.Context, []kafka.Record) error { return away }, discard(), nil)
	defer start(t, c.Run)()
	for deadline := time.Now().Add(3 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		peak = max(peak, live())
	}
	if grown := int(peak-before) / size; grown > partitions*most || grown < partitions {
		t.Errorf("%d records of %d partitions are in memory, want %d of each at most", grown, partitions, most)
	} else {
		t.Logf("%d records of %d partitions", grown, partitions)
	}
}

// live returns the bytes that were in use when the garbage was collected last.
func live() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
