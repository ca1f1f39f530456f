package kafka

import (
	"context"
	"fmt"
	"strings"

	"github.com/IBM/sarama"
	"github.com/cenkalti/backoff/v5"
)

// session is a membership of the group, in one generation. It is sarama's handler: sarama runs ConsumeClaim in a
// goroutine for each partition that is assigned to us.
type session struct {
	*Consumer
	client  sarama.Client
	backoff *backoff.ExponentialBackOff

	topicID sarama.Uuid        // of what is read, when the session began
	ctx     context.Context    // ends with the session, or when the topic is another one
	cancel  context.CancelFunc // of ctx
	commits map[int32]*sarama.OffsetFetchResponseBlock
}

// Setup notes that the group is joined, and rewinds the partitions of a topic that was deleted and created again.
// sarama fetches nothing before it returns.
func (s *session) Setup(membership sarama.ConsumerGroupSession) error {
	if err := s.begin(membership); err != nil {
		return err
	}
	s.backoff.Reset()
	s.setSession(s)
	s.log.Info("joined the consumer group", "topic", s.cfg.ReadTopic)
	return nil
}

// Cleanup notes that the session has ended.
func (s *session) Cleanup(sarama.ConsumerGroupSession) error {
	s.cancel()
	s.setSession(nil)
	return nil
}

func (s *session) begin(membership sarama.ConsumerGroupSession) error {
	s.ctx, s.cancel = context.WithCancel(membership.Context()) // Cleanup comes also when this fails
	topic := s.cfg.ReadTopic
	topics, err := fetchTopics(s.client, topic)
	if err == nil {
		err = topics[topic].err
	}
	if err != nil {
		return fmt.Errorf("look at topic %q: %w", topic, err)
	}
	s.topicID = topics[topic].id
	partitions := membership.Claims()[topic]
	if s.commits, err = s.fetchCommits(topic, partitions); err != nil {
		return fmt.Errorf("find the committed offsets: %w", err)
	}
	for _, id := range partitions {
		switch commit := s.commits[id]; {
		case commit.Offset < 0: // the group has not been here yet
		case s.ofAnotherTopic(commit):
			if err := s.rewind(membership, id); err != nil {
				return err
			}
		case commit.Metadata != s.commitMetadata():
			membership.ResetOffset(topic, id, commit.Offset, s.commitMetadata())
		}
	}
	return nil
}

// commitMetadata is committed beside each offset: the id of its topic. A topic that was deleted and created again has
// the same name and another id, and may well be longer than what was consumed of the old one.
func (s *session) commitMetadata() string {
	if s.topicID == (sarama.Uuid{}) {
		return "" // Kafka before 2.8
	}
	return metadataPrefix + s.topicID.String()
}

const metadataPrefix = "topic "

// ofAnotherTopic reports whether a commit is of another topic. It is false for an offset without a topic id, which an
// operator or an older version of this program has committed.
func (s *session) ofAnotherTopic(commit *sarama.OffsetFetchResponseBlock) bool {
	return s.commitMetadata() != "" && strings.HasPrefix(commit.Metadata, metadataPrefix) && commit.Metadata != s.commitMetadata()
}

// rewind sets a partition to the oldest record that there is.
func (s *session) rewind(membership sarama.ConsumerGroupSession, partition int32) error {
	topic, committed := s.cfg.ReadTopic, s.commits[partition].Offset
	oldest, err := s.client.GetOffset(topic, partition, sarama.OffsetOldest)
	if err != nil {
		return fmt.Errorf("find the oldest offset of partition %d: %w", partition, err)
	}
	s.metrics.rewound.Inc()
	s.log.Error("the topic was deleted and made again, starting over", "topic", topic, "partition", partition,
		"committed", committed, "oldest", oldest)
	membership.ResetOffset(topic, partition, oldest, s.commitMetadata()) // back
	membership.MarkOffset(topic, partition, oldest, s.commitMetadata())  // or on
	return nil
}

// ConsumeClaim consumes one partition until it is revoked.
func (s *session) ConsumeClaim(membership sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	next, err := s.firstOffset(membership, claim)
	if err != nil {
		s.fail(err) // sarama ends the session now, and we join again
		return nil
	}
	a := &assignment{
		Consumer:  s.Consumer,
		partition: claim.Partition(),
		resolved: func(next int64) {
			membership.MarkOffset(claim.Topic(), claim.Partition(), next, s.commitMetadata())
		},
	}
	a.next.Store(next)
	a.setEnd(claim.HighWaterMarkOffset())
	s.addAssignment(a)
	defer s.removeAssignment(a)
	a.run(s.ctx, claim.(sarama.PartitionConsumer)) // sarama's claim is one
	return nil
}

// firstOffset returns the offset that consumption begins with. Where it is not the committed one, Kafka has deleted
// records that were not consumed, or they are gone with their topic: that is logged as an error.
func (s *session) firstOffset(membership sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) (int64, error) {
	topic, partition := claim.Topic(), claim.Partition()
	if offset := claim.InitialOffset(); offset >= 0 {
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
		membership.ResetOffset(topic, partition, oldest, s.commitMetadata()) // or marks below would not count
	}
	return oldest, nil
}

// fetchCommits fetches the group's commits. Their offsets are negative where there are none.
func (s *session) fetchCommits(topic string, partitions []int32) (map[int32]*sarama.OffsetFetchResponseBlock, error) {
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
