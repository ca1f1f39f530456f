package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/IBM/sarama"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/telltale-iot/telltale/pkg/kafka/internal/retry"
	"github.com/telltale-iot/telltale/pkg/timeouts"
)

// Handler processes a batch of one partition's records, in order of offset. nil means that every record
// is resolved (stored, recognised as a duplicate, or a dead letter), and lets the offset behind the last
// be committed. After an error the same batch comes again, with backoff, without end: return an error
// for an outage only. Several partitions are handled at the same time. ctx ends timeouts.HandlerGrace after the
// partition was revoked, or the process began to stop; what was not resolved by then is consumed again elsewhere.
// batch is the handler's until it returns.
type Handler func(ctx context.Context, batch []Record) error

// GroupConfig says what a consumer group reads and in what portions.
type GroupConfig struct {
	Config
	Group     string        // the group's id, and the label of its metrics
	ReadTopic string        // which of Config's topics is read; "" is Config.Topic
	MaxBatch  int           // records handed to a handler at once, at most
	MaxWait   time.Duration // how long the broker may wait for more records before it answers
	Linger    time.Duration // at least between two batches of a partition, while few records arrive (littleRate)
	// Released is called with a batch that the handler failed on and does not get again, since its partition
	// was revoked. The batch is consumed again, by this process or another. May be nil.
	Released func(batch []Record)
}

// Consumer is a member of a consumer group on cfg.Topic.
//
// Offsets are committed within half a second after their batch was resolved, and at once when a partition
// is revoked or the process stops. A crash therefore repeats half a second, and loses nothing. Where
// Kafka has deleted records that the group had not read yet, the consumer goes on with the oldest that is
// left. Where the topic was deleted and created again, it starts over. Either is logged as an error, and counted.
// The topics of its Config are created again when they have been missing for some seconds.
type Consumer struct {
	cfg     GroupConfig
	handle  Handler
	log     *slog.Logger
	metrics *consumerMetrics

	mu          sync.Mutex
	started     bool      // EnsureTopics or Run was called
	respondedAt time.Time // when Kafka last responded
	failures    retry.Log
	failedAt    time.Time // when the latest of failures was
	missing     error     // names a topic that is missing; nil when none is
	session     *session  // nil while there is none
	assignments map[int32]*assignment
}

// NewConsumer returns a consumer that reads once Run is running.
func NewConsumer(cfg GroupConfig, h Handler, log *slog.Logger, metrics prometheus.Registerer) *Consumer {
	cfg.ReadTopic = cmp.Or(cfg.ReadTopic, cfg.Topic)
	c := &Consumer{
		cfg:         cfg,
		handle:      h,
		log:         log.With("group", cfg.Group),
		assignments: map[int32]*assignment{},
	}
	c.metrics = newConsumerMetrics(c, metrics)
	return c
}

// EnsureTopics is the function of that name, for the consumer's topics: Check reports what it waits for. It
// returns nil when ctx ends, as Run does. Call it before Run.
func (c *Consumer) EnsureTopics(ctx context.Context) error {
	c.start()
	err := waitForTopics(ctx, c.cfg.Config, c.log, func(err error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.failures.Err = err
	})
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// Run consumes until ctx ends, then lets the handlers finish, commits what they resolved, leaves the
// group and returns nil; that takes at most 5 s. Call it once.
func (c *Consumer) Run(ctx context.Context) error {
	c.start()
	client, err := newClient(c.cfg.Config, groupConfig(c.cfg))
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	group, err := sarama.NewConsumerGroupFromClient(c.cfg.Group, client)
	if err != nil {
		return fmt.Errorf("configure consumer group: %w", err)
	}

	var helpers sync.WaitGroup
	helpers.Go(func() { c.logErrors(group.Errors()) })
	pollCtx, stopPoll := context.WithCancel(ctx)
	helpers.Go(func() { c.poll(pollCtx, client) })
	stopLate := context.AfterFunc(ctx, func() {
		time.AfterFunc(timeouts.HandlerGrace+timeouts.LeaveGroup, client.Disconnect) // sarama would wait for a Kafka that is away
	})

	c.consume(ctx, client, group)

	stopPoll()
	if err := group.Close(); err != nil { // leaves the group, and ends Errors
		c.log.Warn("left the consumer group without a word", "err", err)
	}
	client.Disconnect()
	helpers.Wait()
	stopLate()
	return nil
}

func (c *Consumer) start() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.started = true
}

// consume joins the group, again and again, until ctx ends.
func (c *Consumer) consume(ctx context.Context, client sarama.Client, group sarama.ConsumerGroup) {
	backoff := retry.NewBackoff(100*time.Millisecond, 2*time.Second)
	for ctx.Err() == nil {
		err := group.Consume(ctx, []string{c.cfg.ReadTopic}, &session{Consumer: c, client: client, backoff: backoff})
		c.setSession(nil)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			c.fail(fmt.Errorf("join group: %w", err))
		}
		select {
		case <-ctx.Done():
		case <-time.After(backoff.NextBackOff()):
		}
	}
}

// logErrors logs sarama's errors of fetches, heartbeats and commits. sarama retries all of them.
func (c *Consumer) logErrors(errs <-chan error) {
	for err := range errs {
		c.fail(err)
	}
}

func (c *Consumer) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failedAt = time.Now()
	c.failures.Failed(c.log, "consumer is in trouble, trying again", err)
}

// setSession notes that the group is joined, or with nil that it is not.
func (c *Consumer) setSession(s *session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.session = s; s != nil {
		c.respondedAt = time.Now()
	}
}

// responded notes that Kafka is there.
func (c *Consumer) responded() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.respondedAt = time.Now()
	if c.session != nil && time.Since(c.failedAt) > c.cfg.timing().unresponsive {
		c.failures.Recovered(c.log, "consumer is well again")
	}
}

// Check is nil while the topics are there, the group is joined, Kafka answers, and nothing fails again and again:
// neither a fetch or commit, nor the handling of a batch. Otherwise it says what is waited for. It notices a Kafka
// that does not answer within 5 s.
func (c *Consumer) Check(context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch quiet := time.Since(c.respondedAt); {
	case !c.started:
		return errNotStarted
	case c.respondedAt.IsZero():
		return fmt.Errorf("kafka at %v has not answered yet: %w", c.cfg.Brokers, cause(c.failures.Err))
	case quiet > c.cfg.timing().unresponsive:
		return fmt.Errorf("kafka has not answered for %v: %w", quiet.Round(time.Second/10), cause(c.failures.Err))
	case c.missing != nil:
		return c.missing
	case c.session == nil && c.failures.Failing():
		return fmt.Errorf("group %q is not joined: %w", c.cfg.Group, c.failures.Err)
	case c.session == nil:
		return fmt.Errorf("group %q is not joined: %w", c.cfg.Group, errJoining)
	case c.failures.Failing() && time.Since(c.failures.Since) > c.cfg.timing().unresponsive && time.Since(c.failedAt) < 2*pollInterval:
		return fmt.Errorf("kafka has refused something for %v: %w", time.Since(c.failures.Since).Round(time.Second/10), c.failures.Err)
	}
	for _, assignment := range c.assignments {
		if f := assignment.failing.Load(); f != nil && time.Since(f.since) > c.cfg.timing().unresponsive {
			return elsewhere{fmt.Errorf("partition %d has waited for %v: %w", assignment.partition, time.Since(f.since).Round(time.Second/10), f.err)}
		}
	}
	return nil
}

var (
	errNotStarted = elsewhere{errors.New("not started yet, something else is waited for")}
	errJoining    = errors.New("joining")
)

// elsewhere is an error of Check that is not Kafka's: see daemon.Dependency.
type elsewhere struct{ error }

func (elsewhere) Elsewhere() {}

func (e elsewhere) Unwrap() error { return e.error }

func (c *Consumer) addAssignment(a *assignment) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.assignments[a.partition] = a
}

func (c *Consumer) removeAssignment(a *assignment) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.assignments[a.partition] == a { // it may be assigned to us again already
		delete(c.assignments, a.partition)
	}
}

var errNoResponse = errors.New("no answer")

// cause is err, or that there is no response where nothing has failed yet.
func cause(err error) error { return cmp.Or(err, errNoResponse) }
