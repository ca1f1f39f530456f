// Package replay sends dead letters on their way again: decoded as if they arrived once more, by the rules of today, and
// to the same topic. So what devices published before there was a rule for it is read when there is one.
//
// A replay is safe to repeat, and to be cut off at any point: the same bytes and rules give the same readings, which the
// store keeps once, and a dead letter is marked only when all its readings are in Kafka. Either all of its readings are
// sent or, where something in it is rejected again, none; a rejection by a replay makes no new dead letter. While
// Kafka is away nothing waits longer than a few seconds for it.
//
// # What is in memory
//
// Beside the dead letters, whose number and length the caller bounds, and for all calls together (TestMemory):
//
//	dead letters that are being decoded 32 MiB, with their readings: a dead letter is decoded step by step, twice: one that is rejected at
//	                                    its end has sent nothing
//	in-flight records                   16 MiB, also when nobody waits for them any more
package replay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka/producer"
	"github.com/telltale-iot/telltale/pkg/mapping"
	"github.com/telltale-iot/telltale/pkg/timeouts"
)

const (
	maxAtOnce   = 128      // dead letters of one call: each waits for Kafka, which syncs what comes together once
	maxDecoded  = 32 << 20 // bytes of the dead letters that are decoded, of all calls; see decodedSize
	maxInFlight = 16 << 20 // bytes of the in-flight records, of all calls, also of those that have given up waiting
	recordCost  = 512      // about what a record takes beside its value until Kafka has it
)

// Result is what became of a dead letter.
type Result string

const (
	Replayed    Result = "replayed"
	Rejected    Result = "rejected"    // again, or since other values are stored for its time
	Unavailable Result = "unavailable" // Kafka did not take all of it in time; it may yet
)

// Outcome is what became of one dead letter.
type Outcome struct {
	ID        iot.DeadLetterID
	Result    Result
	Readings  int           // that went to Kafka, where it was replayed
	Rejection iot.Rejection // the first, where it was rejected
}

// Replayer sends dead letters on their way again.
type Replayer struct {
	deadLetters iot.DeadLetterStore
	readings    iot.ReadingReader
	producer    *producer.Producer
	rules       *mapping.Set
	topic       string
	record      *regexp.Regexp // the source of a dead letter that is of a Kafka record
	decoding    *semaphore.Weighted
	inFlight    *semaphore.Weighted
	outcomes    *prometheus.CounterVec
	sent        prometheus.Counter
	may         func(iot.DeviceID) bool // nil: all
}

// For returns a Replayer for somebody who may send for some devices: what has a reading of another one is rejected. A nil may
// is for all. Its bounds are those of r.
func (r *Replayer) For(may func(iot.DeviceID) bool) *Replayer {
	own := *r
	own.may = may
	return &own
}

// New returns a Replayer that sends to topic with producer. It decodes by rules, looks for conflicts in readings, and
// marks what it replayed in deadLetters.
func New(producer *producer.Producer, topic string, rules *mapping.Set, deadLetters iot.DeadLetterStore, readings iot.ReadingReader, metrics prometheus.Registerer) *Replayer {
	return &Replayer{
		deadLetters: deadLetters, readings: readings, rules: rules, topic: topic,
		record:   regexp.MustCompile("^" + regexp.QuoteMeta(topic) + `/\d+/\d+$`),
		producer: producer,
		decoding: semaphore.NewWeighted(maxDecoded),
		inFlight: semaphore.NewWeighted(maxInFlight),
		outcomes: promauto.With(metrics).NewCounterVec(prometheus.CounterOpts{
			Name: "telltale_replay_dead_letters_total",
			Help: "Dead letters that somebody wanted replayed, by what became of them: replayed, rejected or unavailable.",
		}, []string{"outcome"}),
		sent: promauto.With(metrics).NewCounter(prometheus.CounterOpts{
			Name: "telltale_replay_readings_total",
			Help: "Readings of replayed dead letters that Kafka has taken.",
		}),
	}
}

// Replay replays deadLetters, at most maxAtOnce at the same time, marks those that it could, and returns what
// became of each. It fails when a store does, and when Kafka took none of several or the only one.
//
// To replay a dead letter with other bytes, event.Correct it.
func (r *Replayer) Replay(ctx context.Context, deadLetters []iot.DeadLetter) ([]Outcome, error) {
	outcomes := make([]Outcome, len(deadLetters))
	sending, cancel := context.WithTimeout(ctx, timeouts.ReplaySend)
	defer cancel()
	g, sending := errgroup.WithContext(sending)
	g.SetLimit(maxAtOnce)
	for i, d := range deadLetters {
		g.Go(func() (err error) {
			outcomes[i], err = r.replay(sending, d)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return outcomes, r.finish(ctx, outcomes)
}

// finish counts outcomes, and marks the dead letters that were replayed.
func (r *Replayer) finish(ctx context.Context, outcomes []Outcome) error {
	now := time.Now().UTC().Truncate(time.Millisecond)
	replays := map[iot.DeadLetterID]iot.Replay{}
	unavailable := 0
	for _, o := range outcomes {
		r.outcomes.WithLabelValues(string(o.Result)).Inc()
		switch o.Result {
		case Replayed:
			replays[o.ID] = iot.Replay{At: now, Readings: o.Readings}
		case Unavailable:
			unavailable++
		}
	}
	if unavailable > 0 && unavailable == len(outcomes) {
		return cmp.Or(ctx.Err(), errKafka)
	}
	return r.deadLetters.MarkReplayed(ctx, replays)
}

var errKafka = errors.New("kafka takes no readings")

// decodedSize is about what d takes at most while it is decoded step by step: what package mapping reads it with, the
// readings of a step, and what is known of all devices in it.
func decodedSize(d iot.DeadLetter) int64 {
	const reader, step, perByte = 96 << 10, 64 << 10, 40
	n := int64(len(d.Bytes))
	return min(reader+perByte*min(n, step)+8*n, maxDecoded)
}

// replay sends d on its way, and waits until it is in Kafka.
func (r *Replayer) replay(ctx context.Context, d iot.DeadLetter) (Outcome, error) {
	size := decodedSize(d)
	if r.decoding.Acquire(ctx, size) != nil {
		return Outcome{ID: d.ID, Result: Unavailable}, nil
	}
	defer r.decoding.Release(size)
	rejection, err := r.check(ctx, d)
	switch {
	case err != nil:
		return Outcome{}, err
	case rejection.Reason != "":
		return Outcome{ID: d.ID, Result: Rejected, Rejection: rejection}, nil
	}
	n, err := r.send(ctx, d)
	switch {
	case errors.Is(err, producer.ErrTooLarge):
		return Outcome{ID: d.ID, Result: Rejected, Rejection: event.TooLarge(0, nil)}, nil
	case err != nil:
		return Outcome{ID: d.ID, Result: Unavailable}, nil
	}
	return Outcome{ID: d.ID, Result: Replayed, Readings: n}, nil
}

// check returns the first rejection of what is in d, if there is one.
func (r *Replayer) check(ctx context.Context, d iot.DeadLetter) (rejection iot.Rejection, err error) {
	var decoder event.Decoder
	var readings []iot.Reading
	var rejected []iot.Rejection
	for r.start(&decoder, d); decoder.More() && rejection.Reason == "" && err == nil; {
		readings, rejected = decoder.Next(readings[:0], rejected[:0])
		switch {
		case len(rejected) > 0:
			rejection = rejected[0]
		case r.may != nil && slices.ContainsFunc(readings, r.isOthers):
			rejection = event.NotAllowed(readings[slices.IndexFunc(readings, r.isOthers)])
		case d.Reason == iot.ReasonConflict:
			rejection, err = r.conflict(ctx, readings)
		}
	}
	return rejection, err
}

// isOthers reports whether a reading is of a device that who replays it may not send for.
func (r *Replayer) isOthers(reading iot.Reading) bool { return !r.may(reading.Device) }

// conflict returns the rejection of the first of readings, of a dead letter with a conflict, that would be in conflict
// again: it would only come back as another dead letter.
func (r *Replayer) conflict(ctx context.Context, readings []iot.Reading) (iot.Rejection, error) {
	for _, reading := range readings {
		page, err := r.readings.FindReadings(ctx, iot.ReadingQuery{
			Devices: []iot.DeviceID{reading.Device}, From: reading.At, To: reading.At.Add(time.Millisecond), Limit: 1,
		})
		if err != nil {
			return iot.Rejection{}, fmt.Errorf("look for a conflict: %w", err)
		}
		if len(page.Readings) > 0 && reading.Origin == 0 && page.Readings[0].Origin == 0 {
			if _, outcome := page.Readings[0].Merge(reading); outcome == iot.OutcomeConflict {
				return event.Conflict(reading), nil
			}
		}
	}
	return iot.Rejection{}, nil
}

// send returns how many readings are in d when all of them are in Kafka, or an error when not all of them can be.
// One step of them is sent after the other.
func (r *Replayer) send(ctx context.Context, d iot.DeadLetter) (n int, err error) {
	if err := r.producer.Check(ctx); err != nil {
		return 0, err
	}
	var decoder event.Decoder
	var readings []iot.Reading
	for r.start(&decoder, d); decoder.More(); {
		readings, _ = decoder.Next(readings[:0], nil)
		if err := r.sendStep(ctx, readings, r.source(d)); err != nil {
			return n, err
		}
		n += len(readings)
	}
	return n, nil
}

// start begins to decode d, where it is of an MQTT message by the rules of today.
func (r *Replayer) start(decoder *event.Decoder, d iot.DeadLetter) {
	rules := r.rules
	if r.OfRecord(d) {
		rules = nil
	}
	decoder.StartReplay(d, rules)
}

// OfRecord reports whether d is of a Kafka record, and no topic of MQTT is known.
func (r *Replayer) OfRecord(d iot.DeadLetter) bool { return r.record.MatchString(d.Source) }

// source returns where the readings of d came from: from MQTT, or from a record that does not say.
func (r *Replayer) source(d iot.DeadLetter) event.Source {
	if r.OfRecord(d) {
		d.Source = ""
	}
	return event.NewSource(d.Source, d.Client)
}

// sendStep returns when all of readings are in Kafka. Those that it no longer waits for take room until Kafka has
// answered.
func (r *Replayer) sendStep(ctx context.Context, readings []iot.Reading, from event.Source) error {
	answers := make(chan error, len(readings))
	for _, reading := range readings {
		record := event.RecordAgain(r.topic, reading, from)
		size := min(int64(len(record.Value)+recordCost), maxInFlight)
		if err := r.inFlight.Acquire(ctx, size); err != nil {
			return err
		}
		r.producer.Produce(record, func(err error) {
			r.inFlight.Release(size)
			if err == nil {
				r.sent.Inc()
			}
			answers <- err
		})
	}
	for range readings {
		select {
		case err := <-answers:
			if err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
