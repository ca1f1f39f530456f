package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/IBM/sarama"
)

// pollInterval is how often a consumer looks at its topics and at the ends of its partitions.
const pollInterval = time.Second

// poll requests the topics' metadata and the partitions' newest offsets, again and again. It is how we know that Kafka
// responds, and how far behind we are also when a store is away and nothing is being fetched.
func (c *Consumer) poll(ctx context.Context, client sarama.Client) {
	ticks := time.NewTicker(pollInterval)
	defer ticks.Stop()
	missing := NewMissingTopics(c.cfg.Config, c.log)
	for {
		err := c.pollTopics(client, missing)
		if err == nil {
			err = c.pollOffsets(client)
		}
		if kerr := sarama.KError(0); err == nil || errors.As(err, &kerr) { // an error of its own is a response
			c.responded()
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

// pollTopics requests the topics' metadata. When the topic that is read is no longer the one that the session began
// with, it ends the session: the next one rewinds.
func (c *Consumer) pollTopics(client sarama.Client, missing *MissingTopics) error {
	names := []string{c.cfg.Topic, c.cfg.DeadLetterTopic()}
	topics, err := fetchTopics(client, names...)
	if err != nil {
		_ = client.RefreshMetadata(c.cfg.ReadTopic) // at another broker, and it forgets this one
		return err
	}
	var failure error
	for _, name := range names {
		failure = cmp.Or(failure, missing.Observe(client, name, topics[name].err))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.missing = failure
	if read := topics[c.cfg.ReadTopic]; read.err == nil && c.session != nil && c.session.topicID != read.id {
		c.session.cancel()
	}
	return failure
}

// pollOffsets requests the newest offsets of the partitions, from their leaders.
func (c *Consumer) pollOffsets(client sarama.Client) error {
	c.mu.Lock()
	assignments := make([]*assignment, 0, len(c.assignments))
	for _, assignment := range c.assignments {
		assignments = append(assignments, assignment)
	}
	c.mu.Unlock()
	var failed error
	requests := map[*sarama.Broker]*sarama.OffsetRequest{}
	for _, assignment := range assignments {
		leader, err := client.Leader(c.cfg.ReadTopic, assignment.partition)
		if err != nil {
			return fmt.Errorf("find the leader of partition %d: %w", assignment.partition, err)
		}
		if requests[leader] == nil {
			requests[leader] = sarama.NewOffsetRequest(client.Config().Version)
		}
		requests[leader].AddBlock(c.cfg.ReadTopic, assignment.partition, sarama.OffsetNewest, 1)
	}
	for leader, request := range requests {
		response, err := leader.GetAvailableOffsets(request)
		if err != nil {
			return fmt.Errorf("ask for the newest offsets: %w", err)
		}
		for _, assignment := range assignments {
			block := response.GetBlock(c.cfg.ReadTopic, assignment.partition)
			switch {
			case block == nil: // another leader's
			case block.Err != sarama.ErrNoError:
				failed = fmt.Errorf("ask for the newest offset of partition %d: %w", assignment.partition, block.Err)
			case len(block.Offsets) == 1:
				assignment.setEnd(block.Offsets[0])
			}
		}
	}
	if failed != nil {
		_ = client.RefreshMetadata(c.cfg.ReadTopic) // it may have other leaders now
	}
	return failed
}
