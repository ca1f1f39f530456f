package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// sweepEvery is how often the log is looked at; it may be longer than it should be for that long.
const sweepEvery = 10 * time.Second

// janitor deletes old records. kfake could, but it would delete what no group has read yet, so that an
// outage of a store longer than the retention would lose records that were acknowledged; it would empty a
// partition, and then forget after a restart at which offset that was; and after a restart it would not do
// it at all.
type janitor struct {
	cluster   *kfake.Cluster
	addr      string
	retention time.Duration
	maxBytes  int64
	log       *slog.Logger
	every     time.Duration
	warned    time.Time
}

func newJanitor(cfg KafkaConfig, k *Kafka) *janitor {
	return &janitor{
		cluster: k.cluster, addr: k.addr,
		retention: cfg.Retention, maxBytes: cfg.MaxBytes, log: cfg.Log, every: sweepEvery,
	}
}

func (j *janitor) run(ctx context.Context) {
	if j.retention <= 0 && j.maxBytes <= 0 {
		return
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(j.addr), kgo.ClientID("embedded-retention"))
	if err != nil {
		j.log.Error("old records are not deleted", "err", err)
		return
	}
	defer client.Close()
	ticks := time.NewTicker(j.every)
	defer ticks.Stop()
	for {
		select {
		case <-ticks.C:
		case <-ctx.Done():
			return
		}
		if err := j.sweep(ctx, client); err != nil && ctx.Err() == nil {
			j.log.Warn("old records could not be deleted, trying again", "err", err)
		}
	}
}

func (j *janitor) sweep(ctx context.Context, client *kgo.Client) error {
	topics, err := kmsg.NewPtrMetadataRequest().RequestWith(ctx, client) // of all topics
	if err != nil {
		return fmt.Errorf("list topics: %w", err)
	}
	list, err := kmsg.NewPtrListGroupsRequest().RequestWith(ctx, client)
	if err != nil {
		return fmt.Errorf("list groups: %w", err)
	}
	var groups []*kfake.GroupInfo
	for _, g := range list.Groups {
		if info := j.cluster.GroupInfo(g.Group); info != nil {
			groups = append(groups, info)
		}
	}
	for _, topic := range topics.Topics {
		if topic.Topic == nil {
			continue
		}
		for _, partition := range j.cluster.PartitionInfos(*topic.Topic) {
			if err := j.trim(ctx, client, *topic.Topic, partition, groups); err != nil {
				return fmt.Errorf("partition %d of %q: %w", partition.Partition, *topic.Topic, err)
			}
		}
	}
	return nil
}

// trim deletes what is too old or too much of a partition.
func (j *janitor) trim(ctx context.Context, client *kgo.Client, topic string, p *kfake.PartitionInfo, groups []*kfake.GroupInfo) error {
	if p.HighWatermark == p.LogStartOffset {
		return nil
	}
	start := p.LogStartOffset
	if excess := p.NumBytes - j.maxBytes; j.maxBytes > 0 && excess > 0 {
		// Records are much of a size: so many in a hundred of the bytes are as many of the records.
		start += int64(float64(p.HighWatermark-start)*float64(excess)/float64(p.NumBytes)) + 1
	}
	if j.retention > 0 {
		young, err := firstSince(ctx, client, topic, p, time.Now().Add(-j.retention))
		if err != nil {
			return err
		}
		start = max(start, young)
	}
	unread := firstUnread(topic, p, groups)
	if unread < start && time.Since(j.warned) > time.Minute {
		j.warned = time.Now()
		j.log.Warn("keeping records longer than configured, since a group has not read them", "topic", topic,
			"partition", p.Partition, "records", start-unread, "bytes", p.NumBytes)
	}
	start = min(start, unread, p.HighWatermark-1)
	if start <= p.LogStartOffset {
		return nil
	}
	return j.cluster.DeleteRecords(topic, p.Partition, start)
}

// firstUnread returns the offset of the first record that a group which reads the topic has not committed.
func firstUnread(topic string, p *kfake.PartitionInfo, groups []*kfake.GroupInfo) int64 {
	first := p.HighWatermark
	for _, g := range groups {
		if commits := g.Commits[topic]; len(commits) > 0 {
			first = min(first, commits[p.Partition].Offset) // 0 when this partition has none
		} else if subscribed(g, topic) {
			first = 0
		}
	}
	return first
}

func subscribed(g *kfake.GroupInfo, topic string) bool {
	for _, m := range g.Members {
		for _, t := range m.SubscribedTopics {
			if t == topic {
				return true
			}
		}
	}
	return false
}

// firstSince returns the offset of the first record not older than at.
func firstSince(ctx context.Context, client *kgo.Client, topic string, p *kfake.PartitionInfo, at time.Time) (int64, error) {
	if p.MaxTimestamp < at.UnixMilli() {
		return p.HighWatermark, nil
	}
	partition := kmsg.NewListOffsetsRequestTopicPartition()
	partition.Partition = p.Partition
	partition.Timestamp = at.UnixMilli()
	request := kmsg.NewPtrListOffsetsRequest()
	request.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: topic, Partitions: []kmsg.ListOffsetsRequestTopicPartition{partition}}}
	response, err := request.RequestWith(ctx, client)
	if err != nil {
		return 0, fmt.Errorf("find the offset of a time: %w", err)
	}
	for _, t := range response.Topics {
		for _, found := range t.Partitions {
			if found.ErrorCode == 0 && found.Offset >= 0 {
				return found.Offset, nil
			}
		}
	}
	return 0, errors.New("find the offset of a time: no answer")
}
