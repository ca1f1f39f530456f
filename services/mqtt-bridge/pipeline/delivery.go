package pipeline

import (
	"errors"
	"sync/atomic"

	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka/producer"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/budget"
)

// delivery is a message in flight to Kafka.
type delivery struct {
	Message
	pipe   *Pipeline
	device string // the device id that the topic names, or ""
	done   func(error)
	cost   int // what it takes of the budget

	window  *budget.Share // of records in flight; nil is any number
	records int           // one for each reading, rejected ones included
	bytes   int           // that these take
	waiting atomic.Int32  // records that Kafka has not answered for

	// What became of the records. Each outcome is counted by itself, none is computed from the others: so a record
	// that is forgotten, or counted twice, shows in the balance (see package accounting).
	produced atomic.Int32          // readings that are in Kafka
	dead     atomic.Int32          // readings that are dead letters
	failed   atomic.Int32          // readings that are neither
	failure  atomic.Pointer[error] // why one of them is neither
}

// addRecords accounts for records that d becomes, before they are produced.
func (d *delivery) addRecords(readings, deadLetters int, from event.Source) {
	n := readings + deadLetters
	d.records += n
	d.bytes += readings*(readingBytes+from.Len()) + deadLetters*deadLetterBytes
	d.waiting.Add(int32(n))
	d.pipe.Metrics.readings.Receive(n)
}

// waitForWindow waits until one more record may be in flight.
func (d *delivery) waitForWindow() {
	if d.window == nil {
		return
	}
	for room, ok := d.window.Take(1); !ok; room, ok = d.window.Take(1) {
		<-room // Kafka answers, or the producer ends
	}
}

// decoded ends the decoding: now all records of d are known, and what it takes of the budget.
func (d *delivery) decoded() {
	if more := len(d.Topic) + len(d.Payload) + min(d.bytes, deadLetterBytes*d.pipe.maxInFlight()) - d.cost; more != 0 {
		d.cost += more
		d.pipe.share.Add(more)
	}
	if d.waiting.Add(-1) == 0 {
		d.finish()
	}
}

// readingDone is the producer's answer for one of d's readings.
func (d *delivery) readingDone(err error) {
	if errors.Is(err, producer.ErrTooLarge) {
		d.reject(iot.Rejection{
			Reason: iot.ReasonTooLarge,
			Detail: "the record of a reading in it is larger than Kafka takes",
			Bytes:  d.Payload,
		})
		return
	}
	d.recordDone(&d.produced, err)
}

// reject sends r, which is all or a part of d, to the dead-letter topic.
func (d *delivery) reject(r iot.Rejection) {
	deadLetter := event.DeadLetter{DeadLetter: iot.DeadLetter{
		Rejection: r, Source: d.Topic, Client: d.Client, Received: d.Received, TopicDevice: d.device, Retained: d.Retained,
	}}
	deadLetter.Produce(d.pipe.producer, d.pipe.deadLetters, func(err error) {
		if err == nil {
			d.pipe.Metrics.deadLetters.WithLabelValues(string(r.Reason)).Inc()
		}
		d.recordDone(&d.dead, err)
	})
}

// recordDone counts a record of d as kept or, with an error, as failed. With the last record d is finished.
func (d *delivery) recordDone(kept *atomic.Int32, err error) {
	if err == nil {
		kept.Add(1)
	} else {
		d.failed.Add(1)
		d.failure.Store(&err)
	}
	if d.window != nil {
		d.window.Release(1)
	}
	if d.waiting.Add(-1) == 0 {
		d.finish()
	}
}

// finish counts what became of d, calls done, and gives back what d took of the budget.
func (d *delivery) finish() {
	defer d.pipe.share.Release(d.cost) // after done: Drain takes an unused share as "all is acknowledged"
	m := d.pipe.Metrics
	m.readings.Finish(d.records, int(d.produced.Load()), int(d.dead.Load()), int(d.failed.Load()))
	failure := d.failure.Load()
	if failure == nil {
		m.messages.FinishOne(Handled)
		m.ackSeconds.Observe(d.pipe.Now().Sub(d.Received).Seconds())
		d.done(nil)
		return
	}
	m.messages.FinishOne(Failed)
	if !errors.Is(*failure, producer.ErrClosed) { // then the bridge ends anyway
		d.pipe.log.Error("kafka refuses a record; the message is not acknowledged, and its connection closed", "err", *failure)
	}
	d.done(*failure)
}
