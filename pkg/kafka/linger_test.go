package kafka

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/IBM/sarama"
	"github.com/prometheus/client_golang/prometheus"
)

// brokerWaits is how long a broker waits for more records.
const brokerWaits = 50 * time.Millisecond

// TestLinger has records arrive as a broker sends them: each time what was produced meanwhile.
func TestLinger(t *testing.T) {
	for _, tt := range []struct {
		name       string
		rate       int // records a second
		linger     time.Duration
		maxBatches int // in 10 s
		maxAge     time.Duration
	}{
		{"while little arrives a batch goes each second", 20, time.Second, 11, 1050 * time.Millisecond},
		{"that is so with 10,000 devices that report each minute", 167, time.Second, 11, 1050 * time.Millisecond},
		{"above 500 a second no record lingers", 500, time.Second, 200, 150 * time.Millisecond},
		{"nor at full speed", 20_000, time.Second, 200, 60 * time.Millisecond},
		{"nor where nobody asks for it", 20, 0, 200, 60 * time.Millisecond},
		{"nor does the first one after a pause", 1, time.Second, 10, 60 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const seconds = 10
				from := &partition{messages: make(chan *sarama.ConsumerMessage, 4000)}
				ctx, cancel := context.WithCancel(t.Context())
				batches, records, oldest := 0, 0, time.Duration(0)
				c := NewConsumer(GroupConfig{MaxBatch: 1000, MaxWait: brokerWaits, Linger: tt.linger}, func(_ context.Context, batch []Record) error {
					batches, records = batches+1, records+len(batch)
					oldest = max(oldest, time.Since(batch[0].Timestamp))
					return nil
				}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
				a := &assignment{Consumer: c, resolved: func(int64) {}}
				c.assignments[0] = a
				done := make(chan struct{})
				go func() { defer close(done); a.run(ctx, from) }()

				start, sent := time.Now(), 0
				for range seconds * time.Second / brokerWaits {
					time.Sleep(brokerWaits)
					for ; sent < int(time.Since(start).Seconds()*float64(tt.rate)); sent++ {
						produced := start.Add(time.Second * time.Duration(sent+1) / time.Duration(tt.rate))
						from.messages <- &sarama.ConsumerMessage{Timestamp: produced, Offset: int64(sent)}
					}
				}
				cancel() // what is gathered is handled first
				<-done
				if records != sent || batches > tt.maxBatches || oldest > tt.maxAge {
					t.Errorf("%d of %d records in %d batches (want %d), the oldest %v after it was produced (want %v)",
						records, sent, batches, tt.maxBatches, oldest, tt.maxAge)
				}
			})
		})
	}
}

// TestLingerBurst has much arrive at once after a little, and nothing more.
func TestLingerBurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from := &partition{messages: make(chan *sarama.ConsumerMessage, 100)}
		ctx, cancel := context.WithCancel(t.Context())
		handled := make(chan time.Time, 10)
		c := NewConsumer(GroupConfig{MaxBatch: 1000, MaxWait: brokerWaits, Linger: time.Second}, func(context.Context, []Record) error {
			handled <- time.Now()
			return nil
		}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
		a := &assignment{Consumer: c, resolved: func(int64) {}}
		c.assignments[0] = a
		from.messages <- &sarama.ConsumerMessage{}
		done := make(chan struct{})
		go func() { defer close(done); a.run(ctx, from) }()
		<-handled
		for n := range 100 {
			from.messages <- &sarama.ConsumerMessage{Offset: int64(n + 1)}
		}
		sent := time.Now()
		if waited := (<-handled).Sub(sent); waited > 10*time.Millisecond {
			t.Errorf("it is handled after %v", waited)
		}
		cancel()
		<-done
	})
}

// partition is one whose messages come from a test.
type partition struct {
	sarama.PartitionConsumer
	messages chan *sarama.ConsumerMessage
}

func (p *partition) Messages() <-chan *sarama.ConsumerMessage { return p.messages }
func (p *partition) Pause()                                   {}
func (p *partition) Resume()                                  {}
