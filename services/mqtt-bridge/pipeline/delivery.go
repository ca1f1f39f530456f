package pipeline

import (
	"errors"
	"sync/atomic"

	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/kafka/producer"
	"github.com/telltale-iot/telltale/pkg/mapping"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/budget"
)

// delivery is a message in flight to Kafka.
type delivery struct {
	Message
	pipe *Pipeline
	from event.Source
	done func(error)
	cost int // what it takes of the budget

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

// produce sends what a step of the decoding has appended; more is whether it was not the last one.
func (d *delivery) produce(step *mapping.Result, more bool) {
	n := len(step.Readings) + len(step.Rejected)
	if d.pipe.MayBlock && d.records == 0 && (n > 1 || more) {
		d.window = budget.NewShare(windowPlaces)
	}
	d.records += n
	d.waiting.Add(int32(n))
	d.pipe.Metrics.readings.Receive(n)
	inKafka := func(err error) { d.readingDone(err, 1) } // of all readings that have one place
	for i := range step.Readings {
		r := &step.Readings[i]
		d.pipe.stamps.Stamp(r)
		d.pipe.seen.Device(r.Device, d.Topic, d.Client, d.Received, said(r), false)
		rec := d.record(*r)
		places, done := d.enter(readingBytes, len(rec.Key)+len(rec.Value)), inKafka
		if places > 1 {
			done = func(err error) { d.readingDone(err, places) }
		}
		d.pipe.producer.Produce(rec, done)
	}
	for _, o := range step.Omitted {
		d.pipe.Metrics.incomplete.Inc()
		d.pipe.ignored.Member(d.Topic, d.Client, o)
	}
	for _, r := range step.Rejected {
		size := len(r.Bytes)
		if size == len(d.Payload) {
			size = 0 // it is the message
		}
		if device := d.deviceOf(r); device != 0 && r.Reason != iot.ReasonDeviceNotAllowed && (d.May == nil || d.May(device)) {
			d.pipe.seen.Device(device, d.Topic, d.Client, d.Received, 0, true)
		}
		d.reject(r, d.enter(deadLetterBytes, size))
	}
}

// said returns the time that a device gave, in Unix ms; 0 where it gave none.
func said(r *iot.Reading) int64 {
	if r.Stamped == iot.StampDevice {
		return r.At.UnixMilli()
	}
	if r.Said == "" {
		return 0
	}
	millis, _ := mapping.ParseTime(r.Said)
	return millis
}

// deviceOf returns the device that a rejected part of d, or its topic, names; 0 where none does.
func (d *delivery) deviceOf(r iot.Rejection) iot.DeviceID {
	if r.Device != 0 {
		return r.Device
	}
	id, _, _ := iot.ParseDevice(d.route.Device())
	return id
}

// record returns r for the topic. That a broker has kept a message says nothing of its device now.
func (d *delivery) record(r iot.Reading) kafka.Record {
	if d.Retained && r.Stamped == iot.StampDevice {
		return event.RecordOfCopy(d.pipe.topic, r, d.from)
	}
	return event.RecordFrom(d.pipe.topic, r, d.from)
}

// enter accounts for a record of so many bytes, and what it takes beside them, and waits until it may be in flight. It
// returns its places in the window.
func (d *delivery) enter(beside, size int) (places int) {
	d.bytes += beside + size
	places = 1 + size/placeBytes
	if d.window == nil {
		return places
	}
	for room, ok := d.window.Take(places); !ok; room, ok = d.window.Take(places) {
		<-room // Kafka answers, or the producer ends
	}
	return places
}

// decoded ends the decoding: now all records of d are known, and what it takes of the budget.
func (d *delivery) decoded() {
	if d.window != nil {
		d.bytes = min(d.bytes, windowBytes)
	}
	if more := d.size() + d.bytes - d.cost; more != 0 {
		d.cost += more
		d.pipe.share.Add(more)
	}
	if d.waiting.Add(-1) == 0 {
		d.finish()
	}
}

// readingDone is the producer's answer for one of d's readings, which had places in the window.
func (d *delivery) readingDone(err error, places int) {
	if errors.Is(err, producer.ErrTooLarge) {
		d.reject(event.TooLarge(0, d.Payload), places)
		return
	}
	d.recordDone(&d.produced, err, places)
}

// reject sends r, which is all or a part of d and has places in the window, to the dead-letter topic.
func (d *delivery) reject(r iot.Rejection, places int) {
	deadLetter := event.DeadLetter{DeadLetter: iot.DeadLetter{
		Rejection: r.SentFor(d.Speaks, d.Own.ID), Source: d.Topic, Client: d.Client, Principal: d.Principal, Received: d.Received, TopicDevice: d.route.Device(), Retained: d.Retained,
	}}
	deadLetter.Produce(d.pipe.producer, d.pipe.deadLetters, func(err error) {
		if err == nil {
			d.pipe.Metrics.deadLetters.WithLabelValues(string(r.Reason)).Inc()
		}
		d.recordDone(&d.dead, err, places)
	})
}

// recordDone counts a record of d, which had places in the window, as kept or, with an error, as failed. With the last
// record d is finished.
func (d *delivery) recordDone(kept *atomic.Int32, err error, places int) {
	if err == nil {
		kept.Add(1)
	} else {
		d.failed.Add(1)
		d.failure.Store(&err)
	}
	if d.window != nil {
		d.window.Release(places)
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
