package embedded

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/telltale-iot/telltale/pkg/lograte"
)

// sweepEvery is how often the log is looked at; it may be longer than it should be for that long.
const sweepEvery = 10 * time.Second

// retention deletes old records. kfake could, but it would delete what no group has read yet, so that an
// outage of a store longer than the retention would lose records that were acknowledged; it would empty a
// partition, and then forget after a restart at which offset that was; and after a restart it would not do
// it at all.
//
// Only groups of this process have records kept for them. Any client can commit an offset once and never come back.
type retention struct {
	cluster  *kfake.Cluster
	port     *port
	groups   map[string]string // of this process, and the topic that each reads
	maxAge   time.Duration
	maxBytes int64
	maxAges  map[string]time.Duration // of topics
	kept     []string
	log      *slog.Logger
	every    time.Duration
	size     prometheus.Gauge
	lines    lograte.Limiter // about what is kept for longer
}

func newRetention(cfg KafkaConfig, k *Kafka) *retention {
	return &retention{
		cluster: k.cluster, port: k.port, groups: cfg.Groups,
		maxAge: cfg.Retention, maxBytes: cfg.MaxBytes, maxAges: cfg.Retentions, kept: cfg.Kept, log: cfg.Log, every: sweepEvery,
		size: promauto.With(cfg.Metrics).NewGauge(prometheus.GaugeOpts{
			Name: "telltale_embedded_kafka_size_bytes",
			Help: "What the records of all topics take in the log of the embedded Kafka broker.",
		}),
	}
}

func (r *retention) run(ctx context.Context) {
	client, err := kgo.NewClient(kgo.SeedBrokers(string(r.port.addr)), kgo.Dialer(r.port.dial), kgo.ClientID("embedded-retention"))
	if err != nil {
		r.log.Error("old records are not deleted", "err", err)
		return
	}
	defer client.Close()
	ticks := time.NewTicker(r.every)
	defer ticks.Stop()
	for {
		select {
		case <-ticks.C:
		case <-ctx.Done():
			return
		}
		if err := r.sweep(ctx, client); err != nil && ctx.Err() == nil {
			r.log.Warn("old records could not be deleted, trying again", "err", err)
		}
	}
}

func (r *retention) sweep(ctx context.Context, client *kgo.Client) error {
	if err := r.limitGroups(ctx, client); err != nil {
		return err
	}
	topics, err := kmsg.NewPtrMetadataRequest().RequestWith(ctx, client) // of all topics
	if err != nil {
		return fmt.Errorf("list topics: %w", err)
	}
	var groups []progress
	for name, topic := range r.groups {
		g := progress{group: name, reads: topic}
		if info := r.cluster.GroupInfo(name); info != nil {
			g.commits = info.Commits
		}
		groups = append(groups, g)
	}
	var size int64
	for _, topic := range topics.Topics {
		if topic.Topic == nil {
			continue
		}
		partitions := r.cluster.PartitionInfos(*topic.Topic)
		for _, partition := range partitions {
			size += partition.NumBytes
			if slices.Contains(r.kept, *topic.Topic) {
				continue
			}
			if err := r.trim(ctx, client, *topic.Topic, partition, r.maxBytes/int64(len(partitions)), groups); err != nil {
				return fmt.Errorf("partition %d of %q: %w", partition.Partition, *topic.Topic, err)
			}
		}
	}
	r.size.Set(float64(size))
	return nil
}

// limitGroups has the port know the groups that are not of this process, and makes room for more: of those without
// members it deletes the ones that have not committed for longest. A console consumer makes a group each time.
func (r *retention) limitGroups(ctx context.Context, client *kgo.Client) error {
	list, err := kmsg.NewPtrListGroupsRequest().RequestWith(ctx, client)
	if err != nil {
		return fmt.Errorf("list groups: %w", err)
	}
	names := map[string]bool{}
	var idle []*kfake.GroupInfo
	for _, g := range list.Groups {
		if _, own := r.groups[g.Group]; own {
			continue
		}
		names[g.Group] = true
		if info := r.cluster.GroupInfo(g.Group); info != nil && len(info.Members) == 0 {
			idle = append(idle, info)
		}
	}
	slices.SortFunc(idle, func(a, b *kfake.GroupInfo) int { return lastCommit(a).Compare(lastCommit(b)) })
	surplus := idle[:min(len(idle), max(0, len(names)-keptGroups))]
	for _, g := range surplus {
		if err := deleteGroup(ctx, client, g); err != nil {
			return fmt.Errorf("delete group %q: %w", g.Group, err)
		}
		delete(names, g.Group)
	}
	if len(surplus) > 0 {
		r.log.Info("deleted groups of the embedded kafka that have no members, to make room for others", "deleted", len(surplus), "kept", len(names))
	}
	r.port.setGroups(names)
	return nil
}

func lastCommit(g *kfake.GroupInfo) (last time.Time) {
	for _, partitions := range g.Commits {
		for _, commit := range partitions {
			if commit.At.After(last) {
				last = commit.At
			}
		}
	}
	return last
}

// deleteGroup deletes the group's offsets first: kfake does not write down that a group is gone.
func deleteGroup(ctx context.Context, client *kgo.Client, g *kfake.GroupInfo) error {
	offsets := kmsg.NewPtrOffsetDeleteRequest()
	offsets.Group = g.Group
	for topic, commits := range g.Commits {
		t := kmsg.OffsetDeleteRequestTopic{Topic: topic}
		for partition := range commits {
			t.Partitions = append(t.Partitions, kmsg.OffsetDeleteRequestTopicPartition{Partition: partition})
		}
		offsets.Topics = append(offsets.Topics, t)
	}
	if len(offsets.Topics) > 0 {
		if _, err := offsets.RequestWith(ctx, client); err != nil {
			return err
		}
	}
	group := kmsg.NewPtrDeleteGroupsRequest()
	group.Groups = []string{g.Group}
	_, err := group.RequestWith(ctx, client) // it may have members or be gone by now: the next sweep sees
	return err
}

// trim deletes what is too old or too much of a partition.
func (r *retention) trim(ctx context.Context, client *kgo.Client, topic string, p *kfake.PartitionInfo, maxBytes int64, groups []progress) error {
	if p.HighWatermark == p.LogStartOffset {
		return nil
	}
	start := p.LogStartOffset
	if excess := p.NumBytes - maxBytes; maxBytes > 0 && excess > 0 {
		// Records are much of a size: so many in a hundred of the bytes are as many of the records.
		start += int64(float64(p.HighWatermark-start)*float64(excess)/float64(p.NumBytes)) + 1
	}
	if maxAge := cmp.Or(r.maxAges[topic], r.maxAge); maxAge > 0 {
		young, err := firstSince(ctx, client, topic, p, time.Now().Add(-maxAge))
		if err != nil {
			return err
		}
		start = max(start, young)
	}
	unread, group := firstUnread(topic, p, groups)
	if unread < start && r.lines.Event() > 0 {
		r.log.Warn("keeping records longer than configured, until the group has read them; see what its service waits for in /readyz?verbose",
			"group", group, "topic", topic, "partition", p.Partition, "records", start-unread, "bytes", p.NumBytes)
	}
	start = min(start, unread, p.HighWatermark-1)
	if start <= p.LogStartOffset {
		return nil
	}
	return r.cluster.DeleteRecords(topic, p.Partition, start)
}

// progress is how far a group has read.
type progress struct {
	group   string
	reads   string                                 // the topic
	commits map[string]map[int32]kfake.GroupCommit // by topic, one that it once read too; none before it begins
}

// firstUnread returns the offset of the first record that a group which reads the topic has not committed,
// and the group.
func firstUnread(topic string, p *kfake.PartitionInfo, groups []progress) (first int64, group string) {
	first = p.HighWatermark
	for _, g := range groups {
		commits := g.commits[topic]
		if g.reads != topic && len(commits) == 0 {
			continue
		}
		if unread := commits[p.Partition].Offset; unread < first { // 0 when there is none
			first, group = unread, g.group
		}
	}
	return first, group
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
	return 0, errors.New("find the offset of a time: no response")
}
