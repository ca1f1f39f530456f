package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/protobuf/proto"

	"github.com/telltale-iot/telltale/deploy/acceptance/ledger"
	"github.com/telltale-iot/telltale/pkg/iot"
	telltalev1 "github.com/telltale-iot/telltale/proto/telltale/v1"
)

// offsets is the end of each partition of the topic at some moment.
type offsets map[int32]int64

func (y *system) kafkaClient(opts ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append(opts, kgo.SeedBrokers(y.kafka))...)
}

// endOf returns where a topic ends now.
func (y *system) endOf(ctx context.Context, topic string) (offsets, error) {
	return y.offsetsOf(ctx, topic, (*kadm.Client).ListEndOffsets)
}

// startOf returns where a topic begins now.
func (y *system) startOf(ctx context.Context, topic string) (offsets, error) {
	return y.offsetsOf(ctx, topic, (*kadm.Client).ListStartOffsets)
}

func (y *system) offsetsOf(ctx context.Context, topic string, list func(*kadm.Client, context.Context, ...string) (kadm.ListedOffsets, error)) (offsets, error) {
	client, err := y.kafkaClient()
	if err != nil {
		return nil, err
	}
	defer client.Close()
	listed, err := list(kadm.NewClient(client), ctx, topic)
	if err == nil {
		err = listed.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("ask for the offsets of %s: %w", topic, err)
	}
	all := offsets{}
	listed.Each(func(o kadm.ListedOffset) { all[o.Partition] = o.Offset })
	return all, nil
}

// topicID is another one when the topic was deleted and made anew.
func (y *system) topicID(ctx context.Context) (kadm.TopicID, error) {
	client, err := y.kafkaClient() // which remembers nothing
	if err != nil {
		return kadm.TopicID{}, err
	}
	defer client.Close()
	listed, err := kadm.NewClient(client).ListTopics(ctx, topic)
	return listed[topic].ID, err
}

// checkDeadLetters is nil when as many dead letters came as there must be, since the moment of before.
func (t *trial) checkDeadLetters(ctx context.Context, before offsets) error {
	end, err := t.endOf(ctx, deadLetters)
	if err != nil {
		return err
	}
	n := int64(0)
	for partition, offset := range end {
		n += offset - before[partition]
	}
	if n < t.rejected {
		return fmt.Errorf("%d dead letters, want %d at least", n, t.rejected)
	}
	return nil
}

// records are what came to the topic.
type records struct {
	dated       map[iot.DeviceID][]int64 // when readings that their devices dated were, in milliseconds, in the order on Kafka
	undecodable int                      // are no readings
}

// readTopic returns what came to the topic in this trial.
func (t *trial) readTopic(ctx context.Context) (records, error) {
	all := records{dated: map[iot.DeviceID][]int64{}}
	end, err := t.endOf(ctx, topic)
	if err != nil {
		return all, err
	}
	begin, err := t.startOf(ctx, topic)
	if err != nil {
		return all, err
	}
	starts := map[int32]kgo.Offset{}
	for partition, offset := range end {
		start := max(t.before[partition], begin[partition])
		if start > offset {
			return all, fmt.Errorf("partition %d of %s ended at %d, and now at %d", partition, topic, start, offset)
		}
		if offset > start {
			starts[partition] = kgo.NewOffset().At(start)
		}
	}
	left := len(starts)
	if left == 0 {
		return all, nil
	}
	client, err := t.kafkaClient(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: starts}))
	if err != nil {
		return all, err
	}
	defer client.Close()
	for left > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return all, fmt.Errorf("read %s: %w", topic, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			all.add(r)
			if r.Offset == end[r.Partition]-1 {
				left--
			}
		})
	}
	return all, nil
}

// add takes a record as the contract says that one reads: protobuf, and the JSON that was there before it.
func (all *records) add(r *kgo.Record) {
	var m telltalev1.Reading
	var legacy struct {
		Device    int64     `json:"device_id"`
		Timestamp time.Time `json:"timestamp"`
	}
	switch contentType(r) {
	case "application/x-protobuf":
		if proto.Unmarshal(r.Value, &m) != nil {
			m.Reset()
		}
	case "", "application/json":
		if json.Unmarshal(r.Value, &legacy) == nil && !legacy.Timestamp.IsZero() {
			m.DeviceId, m.TimestampMs = legacy.Device, legacy.Timestamp.UnixMilli()
			m.TimestampSource = telltalev1.TimestampSource_TIMESTAMP_SOURCE_DEVICE
		}
	}
	id := iot.DeviceID(m.DeviceId)
	switch {
	case !id.Valid() || m.TimestampMs == 0:
		all.undecodable++
	case m.TimestampSource == telltalev1.TimestampSource_TIMESTAMP_SOURCE_DEVICE:
		all.dated[id] = append(all.dated[id], m.TimestampMs)
	}
}

func contentType(r *kgo.Record) string {
	for _, h := range r.Headers {
		if h.Key == "content-type" {
			return string(h.Value)
		}
	}
	return ""
}

// err is nil when as many records are no readings as there were put on the topic.
func (all records) err(junk int) error {
	if all.undecodable != junk {
		return fmt.Errorf("%d records on %s are no readings, want %d", all.undecodable, topic, junk)
	}
	return nil
}

// complete is nil when all readings are there that l has as acknowledged and dated, at since or later.
func (all records) complete(l *ledger.Ledger, since time.Time) error {
	missing, example := 0, ""
	for id, acknowledged := range l.Acknowledged() {
		there := map[int64]bool{}
		for _, ms := range all.dated[iot.DeviceID(id)] {
			there[ms] = true
		}
		for _, ms := range acknowledged {
			if !there[ms] && ms >= since.UnixMilli() {
				missing++
				example = fmt.Sprintf("device %d's of %d ms", id, ms)
			}
		}
	}
	if missing > 0 {
		return fmt.Errorf("acknowledged, and not on %s: %d readings, like %s", topic, missing, example)
	}
	return nil
}

// order counts the records of f's readings that are there again, and is an error when the first ones of a device
// are not in the order in which it published them, which is that of their timestamps.
func (all records) order(f *fleet) (repeated int, err error) {
	for id, milliseconds := range all.dated {
		if !f.has(id) {
			continue
		}
		seen := map[int64]bool{}
		newest := int64(0)
		for _, ms := range milliseconds {
			if seen[ms] {
				repeated++
				continue
			}
			if ms < newest {
				err = fmt.Errorf("out of order on Kafka: device %d's reading of %d ms came after that of %d", id, ms, newest)
			}
			seen[ms] = true
			newest = max(newest, ms)
		}
	}
	return repeated, err
}
