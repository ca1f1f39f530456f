package producer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/timeouts"
)

// The errors that done is called with, beside a broker's own permanent ones.
var (
	ErrTooLarge = errors.New("record is larger than its topic takes")
	ErrClosed   = errors.New("producer has ended")
)

// Producer sends records with acks=all, idempotently, and keeps the order of records with the same key:
// through retries, for as long as an outage lasts.
//
// A key's partition is chosen as Kafka's Java client chooses it. When a topic is given more partitions, a
// key may move to another one, and its records from before and after that moment are in no order then.
//
// A record is in Kafka once, also when a response was lost and its batch was retried. The exception is a broker that
// lost the state of the producer id (its log was truncated or deleted), or failed with an unknown error: batches in
// flight are retried under a new producer id then, and may be there twice.
//
// The topics of its Config are made again when they have been missing for some seconds, as EnsureTopics makes
// them; what waits for them is sent then.
type Producer struct {
	cfg     kafka.Config
	log     *slog.Logger
	metrics *metrics

	wake chan struct{} // has a value when incoming was empty and is no more

	mu       sync.Mutex
	incoming []queuedRecord // taken by Produce, not yet seen by Run
	unacked  int            // taken by Produce, and done not yet called
	closed   bool
	health   health
}

// health is what Check knows of the sender.
type health struct {
	responded time.Time // when Kafka last responded
	oldest    time.Time // when the oldest unacknowledged record was taken; zero when there is none
	missing   error     // names a topic that is missing; nil when none is
	err       error     // the latest failure; nil when all is well
}

// New returns a producer that sends once Run is running.
func New(cfg kafka.Config, log *slog.Logger, registerer prometheus.Registerer) *Producer {
	p := &Producer{cfg: cfg, log: log, wake: make(chan struct{}, 1)}
	p.metrics = newMetrics(cfg.ClientID, []string{cfg.Topic, cfg.DeadLetterTopic()}, registerer, func() float64 {
		p.mu.Lock()
		defer p.mu.Unlock()
		return float64(p.unacked)
	})
	return p
}

// Run sends until ctx ends, then finishes what Produce took before, waiting for Kafka at most
// timeouts.ProducerDrain, and returns nil. What could not be sent by then is reported to its done as ErrClosed.
// Call it once.
func (p *Producer) Run(ctx context.Context) error {
	client, err := kafka.NewClient(p.cfg)
	if err != nil {
		for _, r := range p.take(nil, true) {
			r.done(ErrClosed)
		}
		return err
	}
	newSender(p, client).run(ctx)
	return nil
}

// Produce queues r and returns at once; it never blocks and never drops. done is called once, from the
// producer's goroutine, so it must return quickly: with nil when r is in Kafka on all in-sync replicas,
// with ErrTooLarge or another permanent error when Kafka can never take it, and with ErrClosed when Run
// ended before. For one partition, done is called in the order of Produce. done may call Produce.
//
// The producer bounds nothing: callers bound what they have in flight. r's slices must not be changed
// until done was called. A zero Timestamp is set to now. When Run has ended, done is called before
// Produce returns.
func (p *Producer) Produce(r kafka.Record, done func(error)) {
	if r.Timestamp.IsZero() {
		r.Timestamp = time.Now()
	}
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		done(ErrClosed)
		return
	}
	p.unacked++
	p.incoming = append(p.incoming, queuedRecord{record: r, done: done})
	first := len(p.incoming) == 1
	p.mu.Unlock()
	if first {
		select {
		case p.wake <- struct{}{}:
		default:
		}
	}
}

// take hands over what Produce queued; spare is the buffer that it queues in from now on.
func (p *Producer) take(spare []queuedRecord, closed bool) []queuedRecord {
	p.mu.Lock()
	defer p.mu.Unlock()
	taken := p.incoming
	p.incoming = spare
	p.closed = p.closed || closed
	return taken
}

// Check is nil while records get through, and otherwise says what the producer waits for. It notices a
// Kafka that does not answer, takes no records, or has no such topics, within 5 s, whether there are records to
// send or not.
func (p *Producer) Check(context.Context) error {
	p.mu.Lock()
	h, closed := p.health, p.closed
	p.mu.Unlock()
	switch now := time.Now(); {
	case closed:
		return ErrClosed
	case h.responded.IsZero():
		return fmt.Errorf("kafka at %v has not answered yet: %w", p.cfg.Brokers, cause(h.err))
	case now.Sub(h.responded) > timeouts.KafkaUnresponsive:
		return fmt.Errorf("kafka has not answered for %v: %w", now.Sub(h.responded).Round(time.Second/10), cause(h.err))
	case h.missing != nil:
		return h.missing
	case !h.oldest.IsZero() && now.Sub(h.oldest) > timeouts.KafkaUnresponsive:
		return fmt.Errorf("records have waited for kafka for %v: %w", now.Sub(h.oldest).Round(time.Second/10), cause(h.err))
	}
	return nil
}

// State says, for people, how much is in flight.
func (p *Producer) State() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	age := time.Duration(0)
	if !p.health.oldest.IsZero() {
		age = time.Since(p.health.oldest)
	}
	return fmt.Sprintf("%d records unacknowledged, the oldest for %v", p.unacked, age.Round(time.Millisecond))
}

var errNoResponse = errors.New("no answer")

// cause is err, or that there is no response where nothing has failed yet.
func cause(err error) error { return cmp.Or(err, errNoResponse) }
