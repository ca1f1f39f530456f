package compacted

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/kafka/producer"
	"github.com/telltale-iot/telltale/pkg/lograte"
)

const (
	// tick is how far apart the times are at which there is told.
	tick = time.Second
	// maxUnanswered is how many bytes of records may wait for Kafka. More are dropped: the next record of their key says all.
	maxUnanswered = 256 << 10
)

// Teller tells a topic of what changes.
type Teller struct {
	Farewell func() []kafka.Record // what is told at the end; nil: nothing is

	cfg  kafka.Config
	what string
	due  func(now time.Time) (records []kafka.Record, more bool)
	log  *slog.Logger
	wake chan struct{} // has a value when there may be something to tell

	unanswered atomic.Int64 // bytes of records
	failures   lograte.Limiter
}

// NewTeller returns a Teller that asks due, once a second at most, for the records to produce now, and whether there are more
// to come, without being woken for them. what names for the log what is told.
func NewTeller(cfg kafka.Config, what string, due func(now time.Time) (records []kafka.Record, more bool), log *slog.Logger) *Teller {
	return &Teller{cfg: cfg, what: what, due: due, log: log, wake: make(chan struct{}, 1)}
}

// Wake says that there may be something to tell. It does not block.
func (t *Teller) Wake() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// Full reports whether Kafka is so far behind that records are dropped.
func (t *Teller) Full() bool { return t.unanswered.Load() >= maxUnanswered }

// Run tells until ctx ends. Before the first Wake it asks nothing of Kafka.
func (t *Teller) Run(ctx context.Context) error {
	select {
	case <-t.wake:
	case <-ctx.Done():
		return nil
	}
	sender := producer.New(t.cfg, t.log, nil)                       // its own: readings do not wait for it, nor does the health of the service
	sending, stop := context.WithCancel(context.WithoutCancel(ctx)) // until the last is told
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return sender.Run(sending) })
	group.Go(func() error {
		defer stop()
		for {
			wake, later := t.wake, (<-chan time.Time)(nil)
			if t.tell(sender) {
				wake, later = nil, time.After(tick)
			}
			select {
			case <-wake:
			case <-later:
			case <-ctx.Done():
				if t.Farewell != nil {
					t.produce(sender, t.Farewell())
				}
				return nil
			}
		}
	})
	return group.Wait()
}

// tell tells of what is due, and reports whether there is more to come.
func (t *Teller) tell(sender *producer.Producer) (more bool) {
	records, more := t.due(time.Now())
	t.produce(sender, records)
	return more
}

func (t *Teller) produce(sender *producer.Producer, records []kafka.Record) {
	if t.Full() {
		return
	}
	for _, rec := range records {
		size := int64(len(rec.Key) + len(rec.Value))
		t.unanswered.Add(size)
		sender.Produce(rec, func(err error) {
			t.unanswered.Add(-size)
			if err == nil || errors.Is(err, producer.ErrClosed) {
				return
			}
			if n := t.failures.Event(); n > 0 {
				t.log.Warn("kafka does not take what people may look at", "what", t.what, "err", err, "count", n)
			}
		})
	}
}
