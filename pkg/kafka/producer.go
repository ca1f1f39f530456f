package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// What done is told of a record that is not in Kafka, beside a broker's own refusal.
var (
	ErrTooLarge = errors.New("record is larger than its topic takes")
	ErrClosed   = errors.New("producer has ended")
)

// drainTime is how long Run goes on sending after its context ended.
const drainTime = 5 * time.Second

// Producer sends records with acks=all, idempotently, and keeps the order of records with the same key:
// through retries, for as long as an outage lasts.
//
// A key's partition is chosen as Kafka's Java client chooses it. When a topic is given more partitions, a
// key may move to another one, and its records from before and after that moment are in no order then.
//
// A record is in Kafka once, also when an answer was lost and its batch had to be sent again. The
// exception is a broker that lost what it knew of the producer (its log was truncated or deleted), or has an
// error that it has no name for: what was on its way then is sent under a new identity, and may be there twice.
//
// The topics of its Config are made again when they have been missing for some seconds, as EnsureTopics makes
// them; what waits for them is sent then.
type Producer struct {
	cfg     Config
	log     *slog.Logger
	metrics *producerMetrics

	wake chan struct{} // has a value when incoming was empty and is no more

	mu       sync.Mutex
	incoming []pending // taken by Produce, not yet seen by Run
	unacked  int       // taken by Produce, and done not yet called
	closed   bool
	health   health
}

// health is what Check knows of the sender.
type health struct {
	contact time.Time // when Kafka last answered
	oldest  time.Time // when the oldest record that waits was taken; zero when none waits
	missing error     // names a topic that is missing; nil when none is
	err     error     // the latest failure; nil when all is well
}

// NewProducer returns a producer that sends once Run is running.
func NewProducer(cfg Config, log *slog.Logger, metrics prometheus.Registerer) *Producer {
	p := &Producer{cfg: cfg, log: log, wake: make(chan struct{}, 1)}
	p.metrics = newProducerMetrics(cfg.ClientID, []string{cfg.Topic, cfg.DeadLetterTopic()}, metrics, func() float64 {
		p.mu.Lock()
		defer p.mu.Unlock()
		return float64(p.unacked)
	})
	return p
}

// Run sends until ctx ends, then finishes what Produce took before, waiting for Kafka at most the drain
// time (5 s), and returns nil. What could not be sent by then is reported to its done as ErrClosed. Call
// it once.
func (p *Producer) Run(ctx context.Context) error {
	s := newSender(p)
	s.run(ctx)
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
func (p *Producer) Produce(r Record, done func(error)) {
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
	p.incoming = append(p.incoming, pending{record: r, done: done})
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
func (p *Producer) take(spare []pending, closed bool) []pending {
	p.mu.Lock()
	defer p.mu.Unlock()
	taken := p.incoming
	p.incoming = spare
	p.closed = p.closed || closed
	return taken
}

// Send is Produce for many records, and waits for all of them. It returns the first error, or ctx's when
// that ends first; the records may still get to Kafka then, and their slices stay in use.
func (p *Producer) Send(ctx context.Context, records ...Record) error {
	if len(records) == 0 {
		return nil
	}
	var (
		mu    sync.Mutex
		left  = len(records)
		first error
		all   = make(chan struct{})
	)
	done := func(err error) {
		mu.Lock()
		defer mu.Unlock()
		if first == nil {
			first = err
		}
		if left--; left == 0 {
			close(all)
		}
	}
	for _, r := range records {
		p.Produce(r, done)
	}
	select {
	case <-all:
		return first
	case <-ctx.Done():
		return ctx.Err()
	}
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
	case h.contact.IsZero():
		return fmt.Errorf("kafka at %v has not answered yet: %w", p.cfg.Brokers, cause(h.err))
	case now.Sub(h.contact) > silence:
		return fmt.Errorf("kafka has not answered for %v: %w", now.Sub(h.contact).Round(time.Second/10), cause(h.err))
	case h.missing != nil:
		return h.missing
	case !h.oldest.IsZero() && now.Sub(h.oldest) > silence:
		return fmt.Errorf("records have waited for kafka for %v: %w", now.Sub(h.oldest).Round(time.Second/10), cause(h.err))
	}
	return nil
}

// State tells people what the producer holds.
func (p *Producer) State() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	age := time.Duration(0)
	if !p.health.oldest.IsZero() {
		age = time.Since(p.health.oldest)
	}
	return fmt.Sprintf("%d records unacknowledged, the oldest for %v", p.unacked, age.Round(time.Millisecond))
}

var errNoAnswer = errors.New("no answer")

// cause is err, or that there is no answer where nothing has failed yet.
func cause(err error) error {
	if err == nil {
		return errNoAnswer
	}
	return err
}
