package ingest

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/kafka/producer"
	"github.com/telltale-iot/telltale/pkg/mapping"
	"github.com/telltale-iot/telltale/pkg/payload"
	"github.com/telltale-iot/telltale/pkg/readingjson"
)

// delivery is a message in flight to Kafka.
type delivery struct {
	*Ingester
	Message
	received time.Time
	retained bool         // it is of a file: without a timestamp it is no new reading, and it was received when it was measured
	cost     int64        // of what is in flight
	pending  atomic.Int32 // records that Kafka has not answered for, and one while the message is decoded
}

// decoder decodes a message in steps.
type decoder interface {
	More() bool
	Next(*payload.Result)
}

// decoder begins to decode d, and finds out which device the address names.
func (d *delivery) decoder() decoder {
	if d.Route != nil {
		d.Device = d.Route.Device()
		mapped := new(mapping.Decoder)
		mapped.Start(*d.Route, mapping.Message{Payload: d.Payload, Received: d.received, May: d.May, Own: d.Own})
		return mapped
	}
	own := new(payload.Decoder)
	own.Start(payload.Message{DeviceID: d.Device, Payload: d.Payload, Received: d.received, Zone: d.zone, May: d.May, Own: d.Own})
	return own
}

// answer is what Kafka says of a record.
type answer struct {
	rejection iot.Rejection // of a dead letter
	err       error
}

// send sends the readings and the dead letters of a step, and returns when Kafka has all of them.
func (d *delivery) send(ctx context.Context, step payload.Result, result *Result) error {
	n := len(step.Readings) + len(step.Rejected)
	d.readings.Receive(n)
	d.pending.Add(int32(n))
	answers := make(chan answer, n)
	from := event.NewSource(d.Source, d.Client)
	for _, r := range step.Readings {
		if r.Origin == 0 { // else it has been stamped
			d.stamps.Stamp(&r)
		}
		d.producer.Produce(d.record(r, from), func(err error) {
			if errors.Is(err, producer.ErrTooLarge) {
				d.reject(d.tooLarge(r), answers)
				return
			}
			d.answer(produced, answer{err: err}, answers)
		})
	}
	for _, r := range step.Rejected {
		d.reject(r, answers)
	}
	for _, o := range step.Omitted {
		d.incomplete.Inc()
		result.Omitted++
		d.ignored.Member(d.Source, d.Client, o)
	}
	for range n {
		select {
		case a := <-answers:
			switch {
			case a.err != nil:
				return a.err
			case a.rejection.Reason != "":
				a.rejection.Bytes = nil // Kafka has them
				result.Rejected = append(result.Rejected, a.rejection)
			default:
				result.Accepted++
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// record returns r for the topic. What a file says of the past makes no device online, and is not what it sent last.
func (d *delivery) record(r iot.Reading, from event.Source) kafka.Record {
	if !d.retained {
		return event.RecordFrom(d.topic, r, from)
	}
	return event.RecordOfCopy(d.topic, r, from)
}

// tooLarge returns the rejection of r, which Kafka does not take: the message or, of a file, the reading.
func (d *delivery) tooLarge(r iot.Reading) iot.Rejection {
	if d.Payload == nil {
		return event.TooLarge(r.Device, readingjson.Append(nil, r))
	}
	return event.TooLarge(r.Device, d.Payload)
}

// reject sends r, which is all or a part of d, to the dead-letter topic.
func (d *delivery) reject(r iot.Rejection, answers chan<- answer) {
	dead := event.DeadLetter{DeadLetter: iot.DeadLetter{
		Rejection: r.SentFor(d.May, d.Own.ID), Source: d.Source, Client: d.Client, Principal: d.Principal, Received: d.received, TopicDevice: d.Device, Retained: d.retained,
	}}
	dead.Produce(d.producer, d.deadLetters, func(err error) { d.answer(deadLetter, answer{r, err}, answers) })
}

// answer counts what became of a record.
func (d *delivery) answer(outcome int, a answer, answers chan<- answer) {
	if a.err != nil {
		outcome = failed
	}
	d.readings.FinishOne(outcome)
	answers <- a
	d.resolve()
}

// resolve gives back what d takes when neither Kafka nor the decoding needs it any more.
func (d *delivery) resolve() {
	if d.pending.Add(-1) == 0 {
		d.inFlight.Release(d.cost)
	}
}
