package embedded

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/kafka/kafkatest"
	"github.com/telltale-iot/telltale/pkg/kafka/producer"
)

// BenchmarkAcknowledged measures how long a record takes until it is acknowledged, with so many producers that have
// one at a time each.
func BenchmarkAcknowledged(b *testing.B) {
	for _, producers := range []int{1, 10} {
		b.Run(fmt.Sprintf("producers=%d", producers), func(b *testing.B) {
			k := open(b, KafkaConfig{Dir: b.TempDir()})
			c := newClient(b, k.Addr(), 4)
			ctx, cancel := context.WithCancel(b.Context())
			var running, sending sync.WaitGroup
			defer running.Wait()
			defer cancel()
			turns := make(chan int)
			for range producers {
				p := producer.New(c.cfg, testLog(b), nil)
				running.Go(func() { _ = p.Run(ctx) })
				sending.Go(func() {
					for n := range turns {
						r := kafka.Record{Topic: c.cfg.Topic, Key: fmt.Append(nil, n), Value: make([]byte, 100)}
						if err := kafkatest.Send(ctx, p, r); err != nil {
							b.Error(err)
						}
					}
				})
			}
			for n := 0; b.Loop(); n++ {
				turns <- n
			}
			close(turns)
			sending.Wait()
		})
	}
}
