//go:build unix

package kafka_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/kafka/kafkatest"
)

// BenchmarkConsumer consumes what was there before, as after an outage.
func BenchmarkConsumer(b *testing.B) {
	cfg := groupConfig(kafkatest.NewTopic(b, kafkatest.Brokers(b), 12))
	cfg.MaxBatch, cfg.MaxWait = 1000, 50*time.Millisecond
	produce(b, cfg.Config, b.N)
	var records, batches atomic.Int64
	all := make(chan struct{})
	c := kafka.NewConsumer(cfg, func(_ context.Context, batch []kafka.Record) error {
		batches.Add(1)
		if records.Add(int64(len(batch))) == int64(b.N) {
			close(all)
		}
		return nil
	}, kafkatest.Discard(), nil)
	stop := kafkatest.Measure(b)
	defer kafkatest.Start(b, c.Run)()
	<-all
	stop()
	b.ReportMetric(float64(b.N)/float64(batches.Load()), "records/batch")
}
