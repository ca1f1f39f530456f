package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/IBM/sarama"
	"golang.org/x/sync/errgroup"
)

// RangeReader reads again what is on a topic, by when it was produced or by offset. It is in no consumer group, commits
// nothing, and may run beside the consumers of the topic.
type RangeReader struct {
	Config
	From, To time.Time     // From <= Timestamp < To; a zero To is no limit
	Offsets  []OffsetRange // in place of all that: these, a few at the same time
	MaxBatch int           // records handed to Handle at once, at most
	Handle   Handler       // of each record once; its first error ends Run
	Log      *slog.Logger

	done, total atomic.Int64
}

const (
	// maxDelay is how long after its timestamp a record may have come to Kafka and still be found before To: during
	// an outage records wait in the bridge. Without a To all are found.
	maxDelay = time.Hour
	// stallTimeout is how long Kafka may send nothing although there are records.
	stallTimeout = 30 * time.Second
	// offsetsAtOnce is how many of Offsets are read at the same time: to begin with one takes 0.1 s.
	offsetsAtOnce = 4
)

// Run reads what is there when it is called, the partitions at the same time, and returns nil when all of it
// was handled. It returns ctx's error when that ends first, and an error when Kafka is away for long or, ErrGone, has
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
	if r.Offsets != nil {
		group.SetLimit(offsetsAtOnce)
	}
	for _, s := range ranges {
		group.Go(func() error { return r.read(ctx, consumer, s) })
	}
	return group.Wait()
}

// Progress returns how many records have been read, and how many there are; 0 until that is known.
func (r *RangeReader) Progress() (done, total int64) { return r.done.Load(), r.total.Load() }

// OffsetRange is the part of a partition that is to be read.
type OffsetRange struct {
	Partition  int32
	Start, End int64 // offsets; End is the first one behind
}

func (r *RangeReader) ranges(client sarama.Client) (ranges []OffsetRange, err error) {
	if r.Offsets != nil {
		for _, s := range r.Offsets {
			r.total.Add(s.End - s.Start)
		}
		return r.Offsets, client.RefreshMetadata(r.Topic)
	}
	if err := client.RefreshMetadata(r.Topic); err != nil {
		return nil, fmt.Errorf("topic %q: %w", r.Topic, err)
	}
	ids, err := client.Partitions(r.Topic)
	if err != nil {
		return nil, fmt.Errorf("topic %q: %w", r.Topic, err)
	}
	for _, id := range ids {
		s := OffsetRange{Partition: id}
		if s.End, err = client.GetOffset(r.Topic, id, sarama.OffsetNewest); err != nil {
			return nil, fmt.Errorf("end of partition %d: %w", id, err)
		}
		if s.Start, err = client.GetOffset(r.Topic, id, max(r.From.UnixMilli(), 0)); err != nil {
			return nil, fmt.Errorf("start in partition %d: %w", id, err)
		}
		if !r.To.IsZero() {
			behind, err := client.GetOffset(r.Topic, id, max(r.To.Add(maxDelay).UnixMilli(), 0))
			if err != nil {
				return nil, fmt.Errorf("end in partition %d: %w", id, err)
			}
			if behind >= 0 { // negative where no record is that young
				s.End = min(s.End, behind)
			}
		}
		if s.Start >= 0 && s.Start < s.End {
			ranges = append(ranges, s)
			r.total.Add(s.End - s.Start)
		}
	}
	return ranges, nil
}

// read hands the records of s to Handle.
func (r *RangeReader) read(ctx context.Context, consumer sarama.Consumer, s OffsetRange) error {
	from, err := consumer.ConsumePartition(r.Topic, s.Partition, s.Start)
	if errors.Is(err, sarama.ErrOffsetOutOfRange) {
		err = fmt.Errorf("%w: %w", ErrGone, err)
	}
	if err != nil {
		return fmt.Errorf("read partition %d: %w", s.Partition, err)
	}
	defer func() { _ = from.Close() }()
	var batch recordBatch
	stalled := time.NewTimer(stallTimeout)
	defer stalled.Stop()
	failure := errNoResponse
	for next := s.Start; next < s.End; {
		select {
		case m, more := <-from.Messages():
			if !more {
				return fmt.Errorf("read partition %d at offset %d of %d: %w", s.Partition, next, s.End, failure)
			}
			stalled.Reset(stallTimeout)
			r.done.Add(min(m.Offset+1, s.End) - next)
			next = m.Offset + 1
			if m.Offset < s.End && r.selects(m) {
				batch.add(m)
			}
		case err := <-from.Errors():
			if err == nil {
				continue // they have ended, and with them the messages
			}
			failure = err
			if errors.Is(err, sarama.ErrOffsetOutOfRange) {
				failure = fmt.Errorf("%w: %w", ErrGone, err)
			}
			r.Log.Warn("reading again failed, trying again", "partition", s.Partition, "offset", next, "err", err)
			continue
		case <-stalled.C:
			return fmt.Errorf("read partition %d at offset %d of %d: nothing for %v: %w", s.Partition, next, s.End, stallTimeout, failure)
		case <-ctx.Done():
			return ctx.Err()
		}
		full := len(batch.records) == r.MaxBatch || batch.bytes >= batchBytes
		if full || next >= s.End && len(batch.records) > 0 {
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
	if r.Offsets != nil {
		return true
	}
	if m.Timestamp.UnixMilli() < 0 { // it has none
		return true
	}
	return !m.Timestamp.Before(r.From) && (r.To.IsZero() || m.Timestamp.Before(r.To))
}
