package producer

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/IBM/sarama"
	"github.com/cenkalti/backoff/v5"

	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/kafka/internal/retry"
)

// maxSpareCapacity is how long, in records, a buffer may be to be used again; an outage makes them longer.
const maxSpareCapacity = 1 << 12

// queuedRecord is a record that is not acknowledged yet, with its callback.
type queuedRecord struct {
	record     kafka.Record
	done       func(error)
	acceptedAt time.Time // when Run took it over from Produce
}

// partition is what the producer has for one partition: a queue, whose head is the batch that is being sent. Only one
// batch is, and it stays at the head until the broker has acknowledged it: that keeps the order, whatever fails. A
// batch that was sent is never changed, and is retried under the same sequence numbers, by which the broker
// recognises one that it has already.
type partition struct {
	topic  string
	id     int32
	leader *sarama.Broker // nil while none is known

	queue        []queuedRecord
	head         int // queue[head:] is waiting
	batch        batch
	size         int  // records of the queue that are in batch; 0 = the batch is yet to be made
	max          int  // records that the next batch may have; fewer after one was rejected
	timed        bool // the records of batch have timestamps
	inFlight     bool // batch is with the broker
	topicMissing bool // its topic went missing, and is not there again with this partition

	producerID producerID // whose sequence the next number belongs to
	sequence   int32      // the number of the next record that is not in a batch

	err     error // why the latest attempt failed; nil after a success
	retryAt time.Time
	backoff *backoff.ExponentialBackOff
}

func newPartition(topic string, id int32) *partition {
	return &partition{
		topic: topic, id: id, max: maxBatchRecords, producerID: noProducerID,
		backoff: retry.NewBackoff(100*time.Millisecond, 2*time.Second),
	}
}

func (p *partition) push(r queuedRecord) {
	if p.head > len(p.queue)/2 && len(p.queue) == cap(p.queue) { // make room in place rather than grow
		n := copy(p.queue, p.queue[p.head:])
		clear(p.queue[n:])
		p.queue, p.head = p.queue[:n], 0
	}
	p.queue = append(p.queue, r)
}

// waiting returns the records that are not acknowledged.
func (p *partition) waiting() []queuedRecord { return p.queue[p.head:] }

// ready reports whether a batch can go out now.
func (p *partition) ready(now time.Time) bool {
	return !p.inFlight && p.leader != nil && p.head < len(p.queue) && !now.Before(p.retryAt)
}

// drop takes the first n records off the queue, and calls their done with err.
func (p *partition) drop(n int, err error) {
	for range n {
		done := p.queue[p.head].done
		p.queue[p.head] = queuedRecord{} // let go of its bytes
		p.head++
		done(err)
	}
	if p.head == len(p.queue) {
		p.head = 0
		if p.queue = p.queue[:0]; cap(p.queue) > maxSpareCapacity {
			p.queue = nil
		}
	}
}

// prepare makes the batch from the head of the queue, unless there is one to be retried, and returns its length in
// bytes. A new producer id takes effect with a new batch, or where the broker has lost the old one.
func (p *partition) prepare(current producerID, timed bool) int {
	made := p.size > 0
	if !made {
		p.size = p.batch.fill(p.waiting(), p.max)
		if p.timed = timed; !timed {
			p.batch.removeTimes()
		}
	}
	if p.producerID == noProducerID || !made && p.producerID != current {
		p.producerID, p.sequence = current, 0
	}
	p.batch.wire.ProducerID = p.producerID.id
	p.batch.wire.ProducerEpoch = p.producerID.epoch
	p.batch.wire.FirstSequence = p.sequence
	return p.batch.bytes
}

// lostProducerID reports whether the batch has to wait for a new producer id.
func (p *partition) lostProducerID() bool { return p.size > 0 && p.producerID == noProducerID }

// acknowledged ends the batch: the broker has it.
func (p *partition) acknowledged() {
	n := p.size
	p.sequence = advance(p.sequence, n)
	p.reset()
	p.max = min(2*p.max, maxBatchRecords)
	p.drop(n, nil)
}

// rejected ends the batch: the broker will never take it as it is. Its halves are tried next, down to the one record
// whose fault it is, which is given up with err; its neighbours get through. The broker kept nothing of the batch, so
// its sequence numbers are used again.
func (p *partition) rejected(err error) {
	n := p.size
	p.reset()
	if n > 1 {
		p.max = n / 2
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

// removable reports whether a partition that is not in the metadata may be removed. The metadata may show it again, and
// a batch that the broker may have counted must not be cut anew then. A leader that says it has no such partition has
// counted nothing, nor has a topic that was missing.
func (p *partition) removable() bool {
	return !p.inFlight && (p.size == 0 || p.topicMissing || errors.Is(p.err, sarama.ErrUnknownTopicOrPartition))
}

// remove empties the queue, and returns what was in it.
func (p *partition) remove() []queuedRecord {
	waiting := p.waiting()
	p.reset()
	p.queue, p.head = nil, 0
	return waiting
}

// failed keeps the batch for a retry.
func (p *partition) failed(err error, now time.Time) {
	p.err = err
	p.retryAt = now.Add(p.backoff.NextBackOff())
}

// advance counts n records on, the way brokers do: the number after the greatest is 0.
func advance(sequence int32, n int) int32 {
	return int32((int64(sequence) + int64(n)) & math.MaxInt32)
}
