package main

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/protobuf/proto"

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
	client, err := y.kafkaClient()
	if err != nil {
		return nil, err
	}
	defer client.Close()
	listed, err := kadm.NewClient(client).ListEndOffsets(ctx, topic)
	if err == nil {
		err = listed.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("ask for the end of %s: %w", topic, err)
	}
	end := offsets{}
	listed.Each(func(o kadm.ListedOffset) { end[o.Partition] = o.Offset })
	return end, nil
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

// records are the readings on Kafka, by device in the order in which they stand there.
type records map[iot.DeviceID][]int64 // milliseconds; only readings that their devices dated

// readTopic returns what came to the topic after the moment of before.
func (y *system) readTopic(ctx context.Context, before offsets) (records, error) {
	end, err := y.endOf(ctx, topic)
	if err != nil {
		return nil, err
	}
	starts := map[int32]kgo.Offset{}
	left := 0
	for partition, offset := range end {
		start := before[partition]
		if start > offset { // the topic was deleted and made anew
			start = 0
		}
		if offset > start {
			left++
			starts[partition] = kgo.NewOffset().At(start)
		}
	}
	all := records{}
	if left == 0 {
		return all, nil
	}
	client, err := y.kafkaClient(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: starts}))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	for left > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return nil, fmt.Errorf("read %s: %w", topic, err)
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

func (all records) add(r *kgo.Record) {
	var m telltalev1.Reading
	if proto.Unmarshal(r.Value, &m) == nil && m.TimestampSource == telltalev1.TimestampSource_TIMESTAMP_SOURCE_DEVICE {
		id := iot.DeviceID(m.DeviceId)
		all[id] = append(all[id], m.TimestampMs)
	}
}

// order counts the records of f's readings that are there again, and is an error when the first ones of a device
// are not in the order in which it published them, which is that of their timestamps.
func (all records) order(f *fleet) (repeated int, err error) {
	for id, milliseconds := range all {
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
