package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/IBM/sarama"
	"github.com/cenkalti/backoff/v5"
)

// session is the time from joining the group to leaving it. It is sarama's handler: sarama runs
// ConsumeClaim in a goroutine for each partition that the group gives us.
type session struct {
	*Consumer
	client   sarama.Client
	patience *backoff.ExponentialBackOff

	topicID sarama.Uuid        // of what is read, when the session began
	remade  context.Context    // ends with the session, or when the topic is another one
	end     context.CancelFunc // of remade
	commits map[int32]*sarama.OffsetFetchResponseBlock
}

// Setup tells that the group is joined, and sees to it that partitions of a topic that was made anew are started
// over. sarama fetches nothing before it returns.
func (s *session) Setup(membership sarama.ConsumerGroupSession) error {
	if err := s.begin(membership); err != nil {
		return err
	}
	s.patience.Reset()
	s.setSession(s)
	s.log.Info("joined the consumer group", "topic", s.cfg.ReadTopic)
	return nil
}

// Cleanup tells that the session is at its end.
func (s *session) Cleanup(sarama.ConsumerGroupSession) error {
	s.end()
	s.setSession(nil)
	return nil
}

func (s *session) begin(membership sarama.ConsumerGroupSession) error {
	s.remade, s.end = context.WithCancel(membership.Context()) // Cleanup comes also when this fails
	topic := s.cfg.ReadTopic
	topics, err := describeTopics(s.client, topic)
	if err == nil {
		err = topics[topic].err
	}
	if err != nil {
		return fmt.Errorf("look at topic %q: %w", topic, err)
	}
	s.topicID = topics[topic].id
	partitions := membership.Claims()[topic]
	if s.commits, err = s.committed(topic, partitions); err != nil {
		return fmt.Errorf("find the committed offsets: %w", err)
	}
	for _, id := range partitions {
		switch commit := s.commits[id]; {
		case commit.Offset < 0: // the group has not been here yet
		case s.consumedAnother(commit):
			if err := s.startOver(membership, id); err != nil {
				return err
			}
		case commit.Metadata != s.mark():
			membership.ResetOffset(topic, id, commit.Offset, s.mark())
		}
	}
	return nil
}

// mark is what is committed beside an offset: of which topic it is one. A topic that was deleted and made again has
// the same name and another id, and may well be longer than what was consumed of the old one.
func (s *session) mark() string {
	if s.topicID == (sarama.Uuid{}) {
		return "" // Kafka before 2.8
	}
	return markPrefix + s.topicID.String()
}

const markPrefix = "topic "

// consumedAnother reports whether what is committed is of another topic. Offsets that an operator has set, or an
// older version of this program, do not tell.
func (s *session) consumedAnother(commit *sarama.OffsetFetchResponseBlock) bool {
	return s.mark() != "" && strings.HasPrefix(commit.Metadata, markPrefix) && commit.Metadata != s.mark()
}

// startOver sets a partition to the oldest record that there is.
func (s *session) startOver(membership sarama.ConsumerGroupSession, partition int32) error {
	topic, committed := s.cfg.ReadTopic, s.commits[partition].Offset
	oldest, err := s.client.GetOffset(topic, partition, sarama.OffsetOldest)
	if err != nil {
		return fmt.Errorf("find the oldest offset of partition %d: %w", partition, err)
	}
	s.metrics.rewound.Inc()
	s.log.Error("the topic was deleted and made again, starting over", "topic", topic, "partition", partition,
		"committed", committed, "oldest", oldest)
	membership.ResetOffset(topic, partition, oldest, s.mark()) // back
	membership.MarkOffset(topic, partition, oldest, s.mark())  // or on
	return nil
}

// ConsumeClaim consumes one partition until it is taken away.
func (s *session) ConsumeClaim(membership sarama.ConsumerGroupSession, from sarama.ConsumerGroupClaim) error {
	next, err := s.start(membership, from)
	if err != nil {
		s.fail(err) // sarama ends the session now, and we join again
		return nil
	}
	c := &claim{
		Consumer:  s.Consumer,
		partition: from.Partition(),
		resolved:  func(next int64) { membership.MarkOffset(from.Topic(), from.Partition(), next, s.mark()) },
	}
	c.next.Store(next)
	c.extends(from.HighWaterMarkOffset())
	s.setClaim(c)
	defer s.dropClaim(c)
	c.run(s.remade, from.(sarama.PartitionConsumer)) // sarama's claim is one
	return nil
}

// start returns the offset that a claim begins with. Where it is not the committed one, Kafka has deleted
// records that were not consumed, or they are gone with their topic: that is said aloud.
func (s *session) start(membership sarama.ConsumerGroupSession, from sarama.ConsumerGroupClaim) (int64, error) {
	topic, partition := from.Topic(), from.Partition()
	if offset := from.InitialOffset(); offset >= 0 {
		return offset, nil
	}
	oldest, err := s.client.GetOffset(topic, partition, sarama.OffsetOldest)
	if err != nil {
		return 0, fmt.Errorf("find the oldest offset of partition %d: %w", partition, err)
	}
	switch committed := s.commits[partition].Offset; {
	case committed < 0: // the group has not been here yet
	case committed < oldest:
		s.metrics.lost.Add(float64(oldest - committed))
		s.log.Error("records were deleted before they were consumed", "topic", topic, "partition", partition,
			"committed", committed, "oldest", oldest, "lost", oldest-committed)
	default:
		s.metrics.rewound.Inc()
		s.log.Error("the log is shorter than what was consumed of it, starting over", "topic", topic, "partition", partition,
			"committed", committed, "oldest", oldest)
		membership.ResetOffset(topic, partition, oldest, s.mark()) // or marks below would not count
	}
	return oldest, nil
}

// committed asks for the group's offsets; they are negative where there are none.
func (s *session) committed(topic string, partitions []int32) (map[int32]*sarama.OffsetFetchResponseBlock, error) {
	commits := make(map[int32]*sarama.OffsetFetchResponseBlock, len(partitions))
	if len(partitions) == 0 {
		return commits, nil // there are more members than partitions
	}
	coordinator, err := s.client.Coordinator(s.cfg.Group)
	if err != nil {
		return nil, err
	}
	request := sarama.NewOffsetFetchRequest(s.client.Config().Version, s.cfg.Group, map[string][]int32{topic: partitions})
	response, err := coordinator.FetchOffset(request)
	if err != nil {
		return nil, err
	}
	for _, id := range partitions {
		block := response.GetBlock(topic, id)
		if block == nil {
			return nil, sarama.ErrIncompleteResponse
		}
		if block.Err != sarama.ErrNoError {
			return nil, block.Err
		}
		commits[id] = block
	}
	return commits, nil
}

func (c *Consumer) setClaim(claim *claim) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.claims[claim.partition] = claim
}

func (c *Consumer) dropClaim(claim *claim) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.claims[claim.partition] == claim { // it may be ours again already
		delete(c.claims, claim.partition)
	}
}

// pulse asks Kafka, every second, for the topics and for how long the partitions are. It is how we know that Kafka
// is there, and how far behind we are also when a store is away and nothing is being fetched.
func (c *Consumer) pulse(ctx context.Context, client sarama.Client) {
	ticks := time.NewTicker(pulse)
	defer ticks.Stop()
	keeper := newTopicKeeper(c.cfg.Config, c.log)
	for {
		err := c.look(client, keeper)
		if err == nil {
			err = c.measure(client)
		}
		if kerr := sarama.KError(0); err == nil || errors.As(err, &kerr) { // an error of its own is an answer
			c.answered()
		}
		if err != nil && ctx.Err() == nil {
			c.fail(err)
		}
		select {
		case <-ticks.C:
		case <-ctx.Done():
			return
		}
	}
}

// look asks for the topics. When the one that is read is no longer the one that the session began with, it ends the
// session: the next one starts over.
func (c *Consumer) look(client sarama.Client, keeper *topicKeeper) error {
	names := []string{c.cfg.Topic, c.cfg.DeadLetterTopic()}
	topics, err := describeTopics(client, names...)
	if err != nil {
		_ = client.RefreshMetadata(c.cfg.ReadTopic) // at another broker, and it forgets this one
		return err
	}
	var missing error
	for _, name := range names {
		missing = cmp.Or(missing, keeper.look(client, name, topics[name].err))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.missing = missing
	if read := topics[c.cfg.ReadTopic]; read.err == nil && c.session != nil && c.session.topicID != read.id {
		c.session.end()
	}
	return missing
}

func (c *Consumer) measure(client sarama.Client) error {
	c.mu.Lock()
	claims := make([]*claim, 0, len(c.claims))
	for _, claim := range c.claims {
		claims = append(claims, claim)
	}
	c.mu.Unlock()
	var failed error
	requests := map[*sarama.Broker]*sarama.OffsetRequest{}
	for _, claim := range claims {
		leader, err := client.Leader(c.cfg.ReadTopic, claim.partition)
		if err != nil {
			return fmt.Errorf("find the leader of partition %d: %w", claim.partition, err)
		}
		if requests[leader] == nil {
			requests[leader] = sarama.NewOffsetRequest(client.Config().Version)
		}
		requests[leader].AddBlock(c.cfg.ReadTopic, claim.partition, sarama.OffsetNewest, 1)
	}
	for leader, request := range requests {
		response, err := leader.GetAvailableOffsets(request)
		if err != nil {
			return fmt.Errorf("ask for the newest offsets: %w", err)
		}
		for _, claim := range claims {
			block := response.GetBlock(c.cfg.ReadTopic, claim.partition)
			switch {
			case block == nil: // another leader's
			case block.Err != sarama.ErrNoError:
				failed = fmt.Errorf("ask for the newest offset of partition %d: %w", claim.partition, block.Err)
			case len(block.Offsets) == 1:
				claim.extends(block.Offsets[0])
			}
		}
	}
	if failed != nil {
		_ = client.RefreshMetadata(c.cfg.ReadTopic) // it may have other leaders now
	}
	return failed
}
