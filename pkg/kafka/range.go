package kafka

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/IBM/sarama"
	"golang.org/x/sync/errgroup"
)

// RangeReader reads again what is on a topic, by when it was produced. It is in no consumer group, commits
// nothing, and may run beside the consumers of the topic.
type RangeReader struct {
	Config
	From, To time.Time // From <= Timestamp < To; a zero To is no limit
	MaxBatch int       // records handed to Handle at once, at most
	Handle   Handler   // of each record once; its first error ends Run
	Log      *slog.Logger

	done, total atomic.Int64
}

const (
	// maxDelay is how long after its timestamp a record may have come to Kafka and still be found before To: during
	// an outage records wait in the bridge. Without a To all are found.
	maxDelay = time.Hour
	// stallTimeout is how long Kafka may send nothing although there are records.
	stallTimeout = 30 * time.Second
)

// Run reads what is there when it is called, the partitions at the same time, and returns nil when all of it
// was handled. It returns ctx's error when that ends first, and an error when Kafka is away for long or has
// deleted what was still to be read. Call it once.
func (r *RangeReader) Run(ctx context.Context) error {
	client, err := newClient(r.Config, groupConfig(GroupConfig{Config: r.Config}))
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	defer context.AfterFunc(ctx, client.Disconnect)()
	ranges, err := r.ranges(client)
	if err != nil {
		return fmt.Errorf("find the records of that time: %w", err)
	}
	consumer, err := sarama.NewConsumerFromClient(client)
	if err != nil {
		return fmt.Errorf("configure consumer: %w", err)
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, s := range ranges {
		group.Go(func() error { return r.read(ctx, consumer, s) })
	}
	return group.Wait()
}

// Progress returns how many records have been read, and how many there are; 0 until that is known.
func (r *RangeReader) Progress() (done, total int64) { return r.done.Load(), r.total.Load() }

// offsetRange is the part of a partition that is to be read.
type offsetRange struct {
	partition  int32
	start, end int64 // offsets; end is the first one behind
}

func (r *RangeReader) ranges(client sarama.Client) (ranges []offsetRange, err error) {
	if err := client.RefreshMetadata(r.Topic); err != nil {
		return nil, fmt.Errorf("topic %q: %w", r.Topic, err)
	}
	ids, err := client.Partitions(r.Topic)
	if err != nil {
		return nil, fmt.Errorf("topic %q: %w", r.Topic, err)
	}
	for _, id := range ids {
		s := offsetRange{partition: id}
		if s.end, err = client.GetOffset(r.Topic, id, sarama.OffsetNewest); err != nil {
			return nil, fmt.Errorf("end of partition %d: %w", id, err)
		}
		if s.start, err = client.GetOffset(r.Topic, id, max(r.From.UnixMilli(), 0)); err != nil {
			return nil, fmt.Errorf("start in partition %d: %w", id, err)
		}
		if !r.To.IsZero() {
			behind, err := client.GetOffset(r.Topic, id, max(r.To.Add(maxDelay).UnixMilli(), 0))
			if err != nil {
				return nil, fmt.Errorf("end in partition %d: %w", id, err)
			}
			if behind >= 0 { // negative where no record is that young
				s.end = min(s.end, behind)
			}
		}
		if s.start >= 0 && s.start < s.end {
			ranges = append(ranges, s)
			r.total.Add(s.end - s.start)
		}
	}
	return ranges, nil
}

// read hands the records of s to Handle.
func (r *RangeReader) read(ctx context.Context, consumer sarama.Consumer, s offsetRange) error {
	from, err := consumer.ConsumePartition(r.Topic, s.partition, s.start)
	if err != nil {
		return fmt.Errorf("read partition %d: %w", s.partition, err)
	}
	defer func() { _ = from.Close() }()
	var batch recordBatch
	stalled := time.NewTimer(stallTimeout)
	defer stalled.Stop()
	failure := errNoResponse
	for next := s.start; next < s.end; {
		select {
		case m, more := <-from.Messages():
			if !more {
				return fmt.Errorf("read partition %d at offset %d of %d: %w", s.partition, next, s.end, failure)
			}
			stalled.Reset(stallTimeout)
			r.done.Add(min(m.Offset+1, s.end) - next)
			next = m.Offset + 1
			if m.Offset < s.end && r.selects(m) {
				batch.add(m)
			}
		case err := <-from.Errors():
			if err == nil {
				continue // they have ended, and with them the messages
			}
			failure = err
			r.Log.Warn("reading again failed, trying again", "partition", s.partition, "offset", next, "err", err)
			continue
		case <-stalled.C:
			return fmt.Errorf("read partition %d at offset %d of %d: nothing for %v: %w", s.partition, next, s.end, stallTimeout, failure)
		case <-ctx.Done():
			return ctx.Err()
		}
		full := len(batch.records) == r.MaxBatch || batch.bytes >= batchBytes
		if full || next >= s.end && len(batch.records) > 0 {
			from.Pause() // see gather
			if err := r.Handle(ctx, batch.records); err != nil {
				return err
			}
			from.Resume()
			batch.reset()
			stalled.Reset(stallTimeout)
		}
	}
	return nil
}

func (r *RangeReader) selects(m *sarama.ConsumerMessage) bool {
	if m.Timestamp.UnixMilli() < 0 { // it has none
		return true
	}
	return !m.Timestamp.Before(r.From) && (r.To.IsZero() || m.Timestamp.Before(r.To))
}
