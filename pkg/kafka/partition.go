package kafka

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/IBM/sarama"
	"github.com/cenkalti/backoff/v5"
)

const (
	// A batch is at most that long. Kafka's own default for the longest that a topic takes is a little
	// more than 1 MiB; a single record may be longer, the broker then decides.
	maxBatchBytes   = 1_000_000
	maxBatchRecords = 1_000
	// maxRequestBytes bounds a request, which is a batch for each of many partitions, and so the
	// longest record too. Brokers take 100 MiB, and cut the connection of a client that sends more.
	maxRequestBytes = 16 << 20
	// keptCapacity is how long, in records, a buffer may be to be used again; an outage makes them longer.
	keptCapacity = 1 << 12
)

// pending is a record that was not acknowledged yet, and whom to tell.
type pending struct {
	record Record
	done   func(error)
	taken  time.Time // when Run took it over from Produce
}

// partition is what the producer has for one partition: a queue, whose head is the batch that is being
// sent. Only one batch is, and it stays at the head until the broker has answered for it: that keeps the
// order, whatever fails. A batch that was sent is never changed, and is sent again under the same sequence
// numbers, by which the broker knows one that it has already.
type partition struct {
	topic  string
	id     int32
	leader *sarama.Broker // nil while none is known

	queue  []pending
	head   int // queue[head:] is waiting
	batch  batch
	size   int  // records of the queue that are in batch; 0 = the batch is yet to be made
	most   int  // records that the next batch may have; fewer after one was refused
	timed  bool // the records of batch have times
	flying bool // batch is with the broker
	lost   bool // its topic went missing, and is not there again with this partition

	identity identity // whose sequence the next number belongs to
	sequence int32    // the number of the next record that is not in a batch

	err     error // why the latest attempt failed; nil after a success
	retryAt time.Time
	backoff *backoff.ExponentialBackOff
}

func newPartition(topic string, id int32) *partition {
	return &partition{
		topic: topic, id: id, most: maxBatchRecords, identity: noIdentity,
		backoff: newBackoff(100*time.Millisecond, 2*time.Second),
	}
}

func (p *partition) push(r pending) {
	if p.head > len(p.queue)/2 && len(p.queue) == cap(p.queue) { // make room in place rather than grow
		n := copy(p.queue, p.queue[p.head:])
		clear(p.queue[n:])
		p.queue, p.head = p.queue[:n], 0
	}
	p.queue = append(p.queue, r)
}

func (p *partition) waiting() []pending { return p.queue[p.head:] }

// ready reports whether a batch can go out now.
func (p *partition) ready(now time.Time) bool {
	return !p.flying && p.leader != nil && p.head < len(p.queue) && !now.Before(p.retryAt)
}

// drop takes the first n records off the queue and tells them err.
func (p *partition) drop(n int, err error) {
	for range n {
		done := p.queue[p.head].done
		p.queue[p.head] = pending{} // let go of its bytes
		p.head++
		done(err)
	}
	if p.head == len(p.queue) {
		p.head = 0
		if p.queue = p.queue[:0]; cap(p.queue) > keptCapacity {
			p.queue = nil
		}
	}
}

// prepare makes the batch from the head of the queue, unless there is one to be sent again, and returns
// its length in bytes. A change of identity takes effect with a new batch, or where the old one was lost.
func (p *partition) prepare(current identity, timed bool) int {
	made := p.size > 0
	if !made {
		p.size = p.batch.fill(p.waiting(), p.most)
		if p.timed = timed; !timed {
			p.batch.forgetTimes()
		}
	}
	if p.identity == noIdentity || !made && p.identity != current {
		p.identity, p.sequence = current, 0
	}
	p.batch.wire.ProducerID = p.identity.id
	p.batch.wire.ProducerEpoch = p.identity.epoch
	p.batch.wire.FirstSequence = p.sequence
	return p.batch.bytes
}

// lostIdentity reports whether the batch has to wait for a new identity.
func (p *partition) lostIdentity() bool { return p.size > 0 && p.identity == noIdentity }

// acknowledged ends the batch: the broker has it.
func (p *partition) acknowledged() {
	n := p.size
	p.sequence = advance(p.sequence, n)
	p.reset()
	p.most = min(2*p.most, maxBatchRecords)
	p.drop(n, nil)
}

// refused ends the batch: the broker will never take it as it is. Its halves are tried next, down to the
// one record whose fault it is, which is given up with err; its neighbours get through. The broker kept
// nothing of the batch, so the numbers are used again.
func (p *partition) refused(err error) {
	n := p.size
	p.reset()
	if n > 1 {
		p.most = n / 2
		return
	}
	p.drop(1, err)
}

func (p *partition) reset() {
	p.batch.release()
	p.size = 0
	p.err = nil
	p.retryAt = time.Time{}
	p.backoff.Reset()
}

var errNoLeader = errors.New("no leader")

// failure says why records wait here, or nil where that is not known to be for long.
func (p *partition) failure() error {
	err := p.err
	if err == nil && p.leader == nil {
		err = errNoLeader
	}
	if err == nil {
		return nil
	}
	return fmt.Errorf("partition %d of %q: %w", p.id, p.topic, err)
}

// gone reports whether a partition that the cluster does not show may be given up. It may be shown again by
// a broker that knows more; a batch whose fate is not known must not be cut anew then, since the broker may
// have counted it. A leader that says it has no such partition has no count either, nor has a topic that was
// missing.
func (p *partition) gone() bool {
	return !p.flying && (p.size == 0 || p.lost || errors.Is(p.err, sarama.ErrUnknownTopicOrPartition))
}

// abandon empties the queue of a partition that is no more, and returns what was in it.
func (p *partition) abandon() []pending {
	waiting := p.waiting()
	p.reset()
	p.queue, p.head = nil, 0
	return waiting
}

// failed keeps the batch for another attempt.
func (p *partition) failed(err error, now time.Time) {
	p.err = err
	p.retryAt = now.Add(p.backoff.NextBackOff())
}

// advance counts n records on, the way brokers do: the number after the greatest is 0.
func advance(sequence int32, n int) int32 {
	return int32((int64(sequence) + int64(n)) & math.MaxInt32)
}

// batch holds a sarama.RecordBatch and what it points to, to be filled again and again.
type batch struct {
	wire    *sarama.RecordBatch
	bytes   int // an upper estimate
	records []sarama.Record
	headers []sarama.RecordHeader

	recordPtrs []*sarama.Record
	headerPtrs []*sarama.RecordHeader

	name      string // the latest header's name, and as bytes
	nameBytes []byte
}

// fill takes the first records of queue, at most most of them, and returns how many.
func (b *batch) fill(queue []pending, most int) int {
	n, headers := 0, 0
	b.bytes = 0
	for n < min(len(queue), most) {
		size := queue[n].record.size()
		if n > 0 && b.bytes+size > maxBatchBytes {
			break
		}
		b.bytes += size
		headers += len(queue[n].record.Headers)
		n++
	}
	b.records = slices.Grow(b.records[:0], n)[:n]
	b.recordPtrs = slices.Grow(b.recordPtrs[:0], n)[:n]
	b.headers = slices.Grow(b.headers[:0], headers)[:headers]
	b.headerPtrs = slices.Grow(b.headerPtrs[:0], headers)[:headers]

	first := queue[0].record.Timestamp.UnixMilli()
	last := first
	h := 0
	for i := range n {
		r := &queue[i].record
		at := r.Timestamp.UnixMilli()
		last = max(last, at)
		start := h
		for _, header := range r.Headers {
			if header.Key != b.name { // nearly every record has the same few
				b.name, b.nameBytes = header.Key, []byte(header.Key)
			}
			b.headers[h] = sarama.RecordHeader{Key: b.nameBytes, Value: header.Value}
			b.headerPtrs[h] = &b.headers[h]
			h++
		}
		b.records[i] = sarama.Record{
			Headers:        b.headerPtrs[start:h:h],
			TimestampDelta: time.Duration(at-first) * time.Millisecond,
			OffsetDelta:    int64(i),
			Key:            r.Key,
			Value:          r.Value,
		}
		b.recordPtrs[i] = &b.records[i]
	}
	// A new one each time: sarama keeps the encoded records in it, which is what makes sending it
	// again cheap.
	b.wire = &sarama.RecordBatch{
		Version:         2,
		Codec:           compression,
		LastOffsetDelta: int32(n - 1),
		FirstTimestamp:  time.UnixMilli(first),
		MaxTimestamp:    time.UnixMilli(last),
		Records:         b.recordPtrs,
	}
	return n
}

// forgetTimes leaves the records without a time, which brokers take whatever their clock says.
func (b *batch) forgetTimes() {
	for i := range b.records {
		b.records[i].TimestampDelta = 0
	}
	b.wire.FirstTimestamp, b.wire.MaxTimestamp = time.Time{}, time.Time{}
}

// release lets go of the records' bytes.
func (b *batch) release() {
	b.wire = nil
	clear(b.records)
	clear(b.headers)
}
