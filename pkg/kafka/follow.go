package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/IBM/sarama"
	"golang.org/x/sync/errgroup"

	"github.com/telltale-iot/telltale/pkg/kafka/internal/retry"
)

// followWait is how long the broker may wait for more records before it answers a Follower: of what a record takes to
// those who follow a topic, it is the greater part.
const followWait = 20 * time.Millisecond

// Follower hands over what comes to topics from now on, as it comes. It is in no consumer group and commits nothing.
type Follower struct {
	Config
	Topics []string
	// Begin is called once, before the other functions, with where the topics end.
	Begin func(ends []TopicEnds)
	// Grown is called when a topic, which is named by its index, has got partitions: it has so many then.
	Grown func(topic, partitions int)
	// Handle takes records of one partition, in order of offset. It is called for several partitions at the same time,
	// and keeps neither records nor their headers.
	Handle func(topic int, records []Record)
	Log    *slog.Logger
}

// TopicEnds is where the log of a topic begins and ends.
type TopicEnds struct {
	ID     TopicID
	Oldest []int64 // by partition: the first offset that is there
	Next   []int64 // by partition: the offset that the next record gets
}

// TopicID tells a topic from others of its name that were before it. It is zero before Kafka 2.8.
type TopicID [16]byte

// ErrGone is of a part of a log that is not there (any more), or of a topic that was deleted and made again.
var ErrGone = errors.New("the log does not have what was to be read of it")

// Run follows the topics until ctx ends, and then returns its error. While Kafka is away it waits, once it has begun; when
// it cannot begin it returns why. It returns ErrGone when what was to come next is not there any more. Call it once.
func (f *Follower) Run(ctx context.Context) error {
	client, err := newClient(f.Config, groupConfig(GroupConfig{Config: f.Config, MaxWait: followWait}))
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	defer context.AfterFunc(ctx, client.Disconnect)()
	ends, err := topicEnds(client, f.Topics)
	if err != nil {
		return err
	}
	consumer, err := sarama.NewConsumerFromClient(client)
	if err != nil {
		return fmt.Errorf("configure consumer: %w", err)
	}
	f.Begin(ends)
	group, ctx := errgroup.WithContext(ctx)
	defer context.AfterFunc(ctx, client.Disconnect)() // also when one of the group fails
	for topic := range ends {
		for partition, next := range ends[topic].Next {
			group.Go(func() error { return f.follow(ctx, consumer, topic, int32(partition), next) })
		}
	}
	group.Go(func() error { return f.watch(ctx, client, consumer, group, ends) })
	return group.Wait()
}

// follow hands over what comes to a partition from an offset on.
func (f *Follower) follow(ctx context.Context, consumer sarama.Consumer, topic int, partition int32, from int64) error {
	records, err := consumer.ConsumePartition(f.Topics[topic], partition, from)
	for backoff := retry.NewBackoff(100*time.Millisecond, 2*time.Second); err != nil; {
		if errors.Is(err, sarama.ErrOffsetOutOfRange) {
			return fmt.Errorf("partition %d of topic %q: %w", partition, f.Topics[topic], ErrGone)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(backoff.NextBackOff()):
		}
		records, err = consumer.ConsumePartition(f.Topics[topic], partition, from)
	}
	defer func() { _ = records.Close() }()
	var batch recordBatch
	for {
		select {
		case m, more := <-records.Messages():
			if !more {
				return fmt.Errorf("partition %d of topic %q: %w", partition, f.Topics[topic], ErrGone)
			}
			batch.add(m)
			for n := len(records.Messages()); n > 0 && batch.bytes < batchBytes; n-- {
				if m, more = <-records.Messages(); more {
					batch.add(m)
				}
			}
			f.Handle(topic, batch.records)
			batch.reset()
		case err := <-records.Errors():
			if err != nil {
				f.Log.Debug("following a topic failed, trying again", "topic", f.Topics[topic], "partition", partition, "err", err)
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// watch looks for topics that were made again, which ends it, and follows partitions that are new.
func (f *Follower) watch(ctx context.Context, client sarama.Client, consumer sarama.Consumer, group *errgroup.Group, ends []TopicEnds) error {
	ticks := time.NewTicker(pollInterval)
	defer ticks.Stop()
	var failures retry.Log
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticks.C:
		}
		topics, err := fetchTopics(client, f.Topics...)
		if ctx.Err() != nil {
			return ctx.Err() // the client's connections end with it, which is no failure
		}
		if err != nil {
			failures.Failed(f.Log, "topics that are followed cannot be looked at, trying again", err)
			_ = client.RefreshMetadata(f.Topics...) // at another broker, and it forgets this one
			continue
		}
		failures.Recovered(f.Log, "topics that are followed are there again")
		for i, name := range f.Topics {
			is, had := topics[name], len(ends[i].Next)
			switch {
			case is.err != nil: // deleted: it is made again, with another id
			case TopicID(is.id) != ends[i].ID, is.partitions < had:
				return fmt.Errorf("topic %q was made again: %w", name, ErrGone)
			case is.partitions > had:
				_ = client.RefreshMetadata(name)
				f.Grown(i, is.partitions)
				for partition := had; partition < is.partitions; partition++ {
					ends[i].Next = append(ends[i].Next, 0)
					group.Go(func() error { return f.follow(ctx, consumer, i, int32(partition), 0) })
				}
			}
		}
	}
}

// FetchEnds asks Kafka where the logs of topics begin and end.
func FetchEnds(ctx context.Context, cfg Config, topics ...string) ([]TopicEnds, error) {
	client, err := NewClient(cfg)
	if err != nil {
		return nil, err
	}
	defer func() { _ = client.Close() }()
	defer context.AfterFunc(ctx, client.Disconnect)()
	return topicEnds(client, topics)
}

func topicEnds(client sarama.Client, names []string) ([]TopicEnds, error) {
	if err := client.RefreshMetadata(names...); err != nil {
		return nil, fmt.Errorf("look at the topics: %w", err)
	}
	topics, err := fetchTopics(client, names...)
	if err != nil {
		return nil, err
	}
	ends := make([]TopicEnds, len(names))
	for i, name := range names {
		if err := topics[name].err; err != nil {
			return nil, fmt.Errorf("topic %q: %w", name, err)
		}
		ends[i].ID = TopicID(topics[name].id)
		for partition := range int32(topics[name].partitions) {
			oldest, err := client.GetOffset(name, partition, sarama.OffsetOldest)
			if err != nil {
				return nil, fmt.Errorf("start of partition %d of topic %q: %w", partition, name, err)
			}
			next, err := client.GetOffset(name, partition, sarama.OffsetNewest)
			if err != nil {
				return nil, fmt.Errorf("end of partition %d of topic %q: %w", partition, name, err)
			}
			ends[i].Oldest, ends[i].Next = append(ends[i].Oldest, oldest), append(ends[i].Next, next)
		}
	}
	return ends, nil
}
