package kafka

import (
	"context"
	"errors"
	"fmt"
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
}

// Setup tells that the group is joined.
func (s *session) Setup(sarama.ConsumerGroupSession) error {
	s.patience.Reset()
	s.setJoined(true)
	s.log.Info("joined the consumer group", "topic", s.cfg.ReadTopic)
	return nil
}

// Cleanup tells that the session is at its end.
func (s *session) Cleanup(sarama.ConsumerGroupSession) error {
	s.setJoined(false)
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
		resolved:  func(next int64) { membership.MarkOffset(from.Topic(), from.Partition(), next, "") },
	}
	c.next.Store(next)
	c.extends(from.HighWaterMarkOffset())
	s.setClaim(c)
	defer s.dropClaim(c)
	c.run(membership.Context(), from.(sarama.PartitionConsumer)) // sarama's claim is one
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
	committed, err := s.committed(topic, partition)
	if err != nil {
		return 0, fmt.Errorf("find the committed offset of partition %d: %w", partition, err)
	}
	switch {
	case committed < 0: // the group has not been here yet
	case committed < oldest:
		s.metrics.lost.Add(float64(oldest - committed))
		s.log.Error("records were deleted before they were consumed", "topic", topic, "partition", partition,
			"committed", committed, "oldest", oldest, "lost", oldest-committed)
	default:
		s.metrics.rewound.Inc()
		s.log.Error("the log is shorter than what was consumed of it, starting over", "topic", topic, "partition", partition,
			"committed", committed, "oldest", oldest)
		membership.ResetOffset(topic, partition, oldest, "") // or marks below would not count
	}
	return oldest, nil
}

// committed asks for the group's offset; it is negative where there is none.
func (s *session) committed(topic string, partition int32) (int64, error) {
	coordinator, err := s.client.Coordinator(s.cfg.Group)
	if err != nil {
		return 0, err
	}
	request := sarama.NewOffsetFetchRequest(s.client.Config().Version, s.cfg.Group, map[string][]int32{topic: {partition}})
	response, err := coordinator.FetchOffset(request)
	if err != nil {
		return 0, err
	}
	block := response.GetBlock(topic, partition)
	if block == nil {
		return 0, sarama.ErrIncompleteResponse
	}
	if block.Err != sarama.ErrNoError {
		return 0, block.Err
	}
	return block.Offset, nil
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

// pulse asks Kafka, every second, how long the partitions are. It is how we know that Kafka is there, and
// how far behind we are also when a store is away and nothing is being fetched.
func (c *Consumer) pulse(ctx context.Context, client sarama.Client) {
	ticks := time.NewTicker(pulse)
	defer ticks.Stop()
	for {
		err := c.measure(client)
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

func (c *Consumer) measure(client sarama.Client) error {
	c.mu.Lock()
	claims := make([]*claim, 0, len(c.claims))
	for _, claim := range c.claims {
		claims = append(claims, claim)
	}
	c.mu.Unlock()
	if len(claims) == 0 {
		return client.RefreshMetadata(c.cfg.ReadTopic)
	}
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
