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
)

// Handler processes a batch of one partition's records, in order of offset. nil means that every record
// is resolved (stored, recognised as a duplicate, or a dead letter), and lets the offset behind the last
// be committed. After an error the same batch comes again, with backoff, for as long as it takes: return
// one for outages only. Several partitions are handled at the same time. ctx ends when the partition was
// taken away or the process stops, and the batch was not done with some seconds later; what was not
// resolved by then comes again elsewhere. batch is the handler's until it returns.
type Handler func(ctx context.Context, batch []Record) error

// GroupConfig says what a consumer group reads and in what portions.
type GroupConfig struct {
	Config
	Group     string        // the group's id, and the label of its metrics
	ReadTopic string        // which of Config's topics is read; "" is Config.Topic
	MaxBatch  int           // records handed to a handler at once, at most
	MaxWait   time.Duration // how long the first record of a batch waits for others
	// Released is told of a batch that the handler failed on and does not see again, since its partition
	// is let go: it comes again, to this process or another. May be nil.
	Released func(batch []Record)
}

// HandlerGrace is how long a handler may go on when its partition was taken away or the process stops. It is
// well within the time that the group waits for a member (rebalanceTimeout).
const HandlerGrace = 3 * time.Second

// leaveTime is how long the last commit and leaving the group may take after that, when the process stops.
const leaveTime = time.Second

// Consumer is a member of a consumer group on cfg.Topic.
//
// Offsets are committed within half a second after their batch was resolved, and at once when a partition
// is taken away or the process stops. A crash therefore repeats half a second, and loses nothing. When
// Kafka has deleted records that the group had not read yet, the consumer goes on with the oldest that is
// left; when the topic is another one under the same name, it starts over. Both it says as an error in the log
// and in its metrics. The topics of its Config are made again when they have been missing for some seconds.
type Consumer struct {
	cfg     GroupConfig
	handle  Handler
	log     *slog.Logger
	metrics *consumerMetrics

	mu      sync.Mutex
	started bool      // EnsureTopics or Run was called
	contact time.Time // when Kafka last answered
	outage  outage
	failed  time.Time // when it last got worse
	missing error     // names a topic that is missing; nil when none is
	session *session  // nil while there is none
	claims  map[int32]*claim
}

// NewConsumer returns a consumer that reads once Run is running.
func NewConsumer(cfg GroupConfig, h Handler, log *slog.Logger, metrics prometheus.Registerer) *Consumer {
	cfg.ReadTopic = cmp.Or(cfg.ReadTopic, cfg.Topic)
	c := &Consumer{
		cfg:    cfg,
		handle: h,
		log:    log.With("group", cfg.Group),
		claims: map[int32]*claim{},
	}
	c.metrics = newConsumerMetrics(c, metrics)
	return c
}

// EnsureTopics is the function of that name, for the consumer's topics: Check tells what it waits for. It
// returns nil when ctx ends, as Run does. Call it before Run.
func (c *Consumer) EnsureTopics(ctx context.Context) error {
	c.start()
	err := waitForTopics(ctx, c.cfg.Config, c.log, func(err error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.outage.err = err
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
	d := newDialer(c.cfg.Config)
	defer d.closeAll()
	client, err := sarama.NewClient(c.cfg.Brokers, groupConfig(c.cfg, d)) // asks nothing of Kafka yet
	if err != nil {
		return fmt.Errorf("configure client: %w", err)
	}
	group, err := sarama.NewConsumerGroupFromClient(c.cfg.Group, client)
	if err != nil {
		return fmt.Errorf("configure consumer group: %w", err)
	}

	var helpers sync.WaitGroup
	helpers.Go(func() { c.logErrors(group.Errors()) })
	pulseCtx, stopPulse := context.WithCancel(ctx)
	helpers.Go(func() { c.pulse(pulseCtx, client) })
	stopLate := context.AfterFunc(ctx, func() {
		time.AfterFunc(HandlerGrace+leaveTime, d.closeAll) // sarama would wait for a Kafka that is away
	})

	c.consume(ctx, client, group)

	stopPulse()
	if err := group.Close(); err != nil { // leaves the group, and ends Errors
		c.log.Warn("left the consumer group without a word", "err", err)
	}
	_ = client.Close()
	d.closeAll()
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
	patience := newBackoff(100*time.Millisecond, 2*time.Second)
	for ctx.Err() == nil {
		err := group.Consume(ctx, []string{c.cfg.ReadTopic}, &session{Consumer: c, client: client, patience: patience})
		c.setSession(nil)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			c.fail(fmt.Errorf("join group: %w", err))
		}
		select {
		case <-ctx.Done():
		case <-time.After(patience.NextBackOff()):
		}
	}
}

// logErrors passes on what sarama tells of fetches, heartbeats and commits that failed. It repeats them
// all by itself.
func (c *Consumer) logErrors(errs <-chan error) {
	for err := range errs {
		c.fail(err)
	}
}

func (c *Consumer) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failed = time.Now()
	c.outage.failed(c.log, "consumer is in trouble, trying again", err)
}

// setSession notes that the group is joined, or with nil that it is not.
func (c *Consumer) setSession(s *session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.session = s; s != nil {
		c.contact = time.Now()
	}
}

// answered notes that Kafka is there.
func (c *Consumer) answered() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.contact = time.Now()
	if c.session != nil && time.Since(c.failed) > silence {
		c.outage.over(c.log, "consumer is well again")
	}
}

// Check is nil while the topics are there, the group is joined, Kafka answers, and nothing fails again and again:
// neither a fetch or commit, nor the handling of a batch. Otherwise it says what is waited for. It notices a Kafka
// that does not answer within 5 s.
func (c *Consumer) Check(context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch quiet := time.Since(c.contact); {
	case !c.started:
		return errNotStarted
	case c.contact.IsZero():
		return fmt.Errorf("kafka at %v has not answered yet: %w", c.cfg.Brokers, cause(c.outage.err))
	case quiet > silence:
		return fmt.Errorf("kafka has not answered for %v: %w", quiet.Round(time.Second/10), cause(c.outage.err))
	case c.missing != nil:
		return c.missing
	case c.session == nil && c.outage.on():
		return fmt.Errorf("group %q is not joined: %w", c.cfg.Group, c.outage.err)
	case c.session == nil:
		return fmt.Errorf("group %q is not joined: %w", c.cfg.Group, errJoining)
	case c.outage.on() && time.Since(c.outage.since) > silence && time.Since(c.failed) < 2*pulse:
		return fmt.Errorf("kafka has refused something for %v: %w", time.Since(c.outage.since).Round(time.Second/10), c.outage.err)
	}
	for _, claim := range c.claims {
		if f := claim.failing.Load(); f != nil && time.Since(f.since) > silence {
			return elsewhere{fmt.Errorf("partition %d has waited for %v: %w", claim.partition, time.Since(f.since).Round(time.Second/10), f.err)}
		}
	}
	return nil
}

var (
	errNotStarted = elsewhere{errors.New("not started yet, something else is waited for")}
	errJoining    = errors.New("joining")
)

// elsewhere is an error of Check that is not Kafka's, as package daemon tells them apart.
type elsewhere struct{ error }

func (elsewhere) Elsewhere() {}

func (e elsewhere) Unwrap() error { return e.error }
