package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// elements is the most that a batch may have.
const elements = 10_000

// fill publishes 50,000 readings as devices, and waits until the first of each batch can be read.
func (a *attacker) fill(ctx context.Context) error {
	p, err := a.connect(ctx, 2, hello{id: "fill"})
	if err != nil {
		return err
	}
	defer func() { _ = p.Close() }()
	start := time.Now().Add(-time.Hour)
	for device := 1; device <= 5; device++ {
		var b strings.Builder
		for i := range elements {
			fmt.Fprintf(&b, `,{"temperature":%d,"humidity":50,"timestamp":%d}`, i%50, start.Add(time.Duration(i)*time.Millisecond).UnixMilli())
		}
		if _, err := p.ask(publish(fmt.Sprintf("sensors/%d/data", device), 1, device, nil, "["+b.String()[1:]+"]")); err != nil {
			return fmt.Errorf("fill the store: %w", err)
		}
	}
	return nil
}

// legacyBatches puts records on Kafka, each of which is a batch in JSON that takes much memory.
func legacyBatches(value string, n int) func(context.Context, *attacker) error {
	return func(ctx context.Context, a *attacker) error {
		ctx, cancel := context.WithTimeout(ctx, longest/2)
		defer cancel()
		c, err := kgo.NewClient(kgo.SeedBrokers(a.kafka), kgo.ProducerBatchMaxBytes(1<<20))
		if err != nil {
			return err
		}
		defer c.Close()
		for range n {
			c.Produce(ctx, &kgo.Record{Topic: topicName, Value: []byte(value)}, nil)
		}
		if err := c.Flush(ctx); err != nil {
			return fmt.Errorf("produce: %w", err)
		}
		wait(ctx, attackTime)
		return nil
	}
}

// The batches: of what is no reading, of readings that are dated by the server, and of readings with very many
// metrics.
var (
	onesBatch    = batch("1", elements)
	readingBatch = batch(`{"device_id":1,"temperature":1}`, elements)
	metricsBatch = batch("{"+`"device_id":1`+metrics(1000)+"}", 60)
)

func batch(one string, n int) string { return "[" + strings.Repeat(one+",", n-1) + one + "]" }

func metrics(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"metric%d":%d`, i, i)
	}
	return b.String()
}
