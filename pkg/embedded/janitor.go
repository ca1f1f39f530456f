package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
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
//
// Only groups of this process have records kept for them. Any client can commit an offset once and never come back.
type janitor struct {
	cluster   *kfake.Cluster
	port      *port
	groups    []string // of this process
	retention time.Duration
	maxBytes  int64
	log       *slog.Logger
	every     time.Duration
	warned    time.Time
}

func newJanitor(cfg KafkaConfig, k *Kafka) *janitor {
	return &janitor{
		cluster: k.cluster, port: k.port, groups: cfg.Groups,
		retention: cfg.Retention, maxBytes: cfg.MaxBytes, log: cfg.Log, every: sweepEvery,
	}
}

func (j *janitor) run(ctx context.Context) {
	client, err := kgo.NewClient(kgo.SeedBrokers(string(j.port.addr)), kgo.Dialer(j.port.dial), kgo.ClientID("embedded-retention"))
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
	list, err := kmsg.NewPtrListGroupsRequest().RequestWith(ctx, client)
	if err != nil {
		return fmt.Errorf("list groups: %w", err)
	}
	names := make([]string, 0, len(list.Groups))
	for _, g := range list.Groups {
		names = append(names, g.Group)
	}
	j.port.knowGroups(names)
	if j.retention <= 0 && j.maxBytes <= 0 {
		return nil
	}
	topics, err := kmsg.NewPtrMetadataRequest().RequestWith(ctx, client) // of all topics
	if err != nil {
		return fmt.Errorf("list topics: %w", err)
	}
	var groups []*kfake.GroupInfo
	for _, name := range j.groups {
		if info := j.cluster.GroupInfo(name); info != nil {
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
	unread, group := firstUnread(topic, p, groups)
	if unread < start && time.Since(j.warned) > time.Minute {
		j.warned = time.Now()
		j.log.Warn("keeping records longer than configured, until the group has read them; see what its service waits for in /readyz?verbose",
			"group", group, "topic", topic, "partition", p.Partition, "records", start-unread, "bytes", p.NumBytes)
	}
	start = min(start, unread, p.HighWatermark-1)
	if start <= p.LogStartOffset {
		return nil
	}
	return j.cluster.DeleteRecords(topic, p.Partition, start)
}

// firstUnread returns the offset of the first record that a group which reads the topic has not committed,
// and the group.
func firstUnread(topic string, p *kfake.PartitionInfo, groups []*kfake.GroupInfo) (first int64, group string) {
	first = p.HighWatermark
	for _, g := range groups {
		unread := first
		if commits := g.Commits[topic]; len(commits) > 0 {
			unread = commits[p.Partition].Offset // 0 when this partition has none
		} else if subscribed(g, topic) {
			unread = 0
		}
		if unread < first {
			first, group = unread, g.Group
		}
	}
	return first, group
}

func subscribed(g *kfake.GroupInfo, topic string) bool {
	for _, m := range g.Members {
		if slices.Contains(m.SubscribedTopics, topic) {
			return true
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
