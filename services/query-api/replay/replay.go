// Package replay sends dead letters on their way again: decoded as they were at first, to the same topic.
//
// A replay is safe to repeat, and to be cut off at any point: the same bytes give the same readings, which the
// store keeps once, and a letter is marked only when all its readings are in Kafka. Either all of a letter goes
// or, where something in it is rejected again, nothing; a rejection by a replay makes no new dead letter. While
// Kafka is away nothing waits longer than a few seconds for it, and what waits is bounded.
package replay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka"
)

const (
	sendTimeout = 3 * time.Second // for Kafka to take the readings of a call
	maxAtOnce   = 32              // letters of one call
	maxInFlight = 20_000          // readings of all calls, also of those that have given up waiting
)

// Result is what became of a letter.
type Result string

const (
	Replayed    Result = "replayed"
	Rejected    Result = "rejected"    // again, or since other values are stored for its time
	Unavailable Result = "unavailable" // Kafka did not take all of it in time; it may yet
)

// Outcome is what became of one letter.
type Outcome struct {
	ID        iot.LetterID
	Result    Result
	Readings  int           // that went to Kafka, where it was replayed
	Rejection iot.Rejection // the first, where it was rejected
}

// Replayer sends dead letters on their way again.
type Replayer struct {
	letters  iot.DeadLetterStore
	readings iot.ReadingReader
	producer *kafka.Producer
	topic    string
	room     *semaphore.Weighted
	outcomes *prometheus.CounterVec
	sent     prometheus.Counter
}

// New returns a Replayer that sends once Run is running. It looks for conflicts in readings, and marks what it
// replayed in letters.
func New(cfg kafka.Config, letters iot.DeadLetterStore, readings iot.ReadingReader, log *slog.Logger, metrics prometheus.Registerer) *Replayer {
	return &Replayer{
		letters: letters, readings: readings, topic: cfg.Topic,
		producer: kafka.NewProducer(cfg, log, metrics),
		room:     semaphore.NewWeighted(maxInFlight),
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

// Run sends until ctx ends, then what it has taken, and returns nil.
func (r *Replayer) Run(ctx context.Context) error { return r.producer.Run(ctx) }

// Check is nil while Kafka takes records.
func (r *Replayer) Check(ctx context.Context) error { return r.producer.Check(ctx) }

// Replay replays letters, at most maxAtOnce at the same time, marks those that it could, and returns what
// became of each. It fails when a store does, and when Kafka took none of several or the only one.
//
// To replay a letter with other bytes, replace its Bytes, and its ContentType by "", for JSON as devices send it.
func (r *Replayer) Replay(ctx context.Context, letters []iot.DeadLetter) ([]Outcome, error) {
	outcomes := make([]Outcome, len(letters))
	sending, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	g, sending := errgroup.WithContext(sending)
	g.SetLimit(maxAtOnce)
	for i, d := range letters {
		g.Go(func() (err error) {
			outcomes[i], err = r.replay(sending, d)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return outcomes, r.settle(ctx, outcomes)
}

// settle counts outcomes, and marks the letters that were replayed.
func (r *Replayer) settle(ctx context.Context, outcomes []Outcome) error {
	now := time.Now().UTC().Truncate(time.Millisecond)
	replays := map[iot.LetterID]iot.Replay{}
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
	return r.letters.MarkReplayed(ctx, replays)
}

var errKafka = errors.New("kafka takes no readings")

// replay sends d on its way, and waits until it is in Kafka.
func (r *Replayer) replay(ctx context.Context, d iot.DeadLetter) (Outcome, error) {
	readings, rejected := event.DecodeAgain(d)
	if len(rejected) == 0 && d.Reason == iot.ReasonConflict {
		var err error
		if rejected, err = r.conflicts(ctx, readings); err != nil {
			return Outcome{}, err
		}
	}
	if len(rejected) > 0 {
		return Outcome{ID: d.ID, Result: Rejected, Rejection: rejected[0]}, nil
	}
	err := r.send(ctx, readings)
	switch {
	case errors.Is(err, kafka.ErrTooLarge):
		return Outcome{ID: d.ID, Result: Rejected, Rejection: iot.Rejection{Reason: iot.ReasonTooLarge, Detail: "a reading in it is larger than Kafka takes"}}, nil
	case err != nil:
		return Outcome{ID: d.ID, Result: Unavailable}, nil
	}
	return Outcome{ID: d.ID, Result: Replayed, Readings: len(readings)}, nil
}

// conflicts says which of readings, of a letter that lost its place to another reading, would do so again:
// they would only come back as another letter.
func (r *Replayer) conflicts(ctx context.Context, readings []iot.Reading) (rejected []iot.Rejection, err error) {
	for _, reading := range readings {
		page, err := r.readings.FindReadings(ctx, iot.ReadingQuery{
			Device: reading.Device, From: reading.At, To: reading.At.Add(time.Millisecond), Limit: 1,
		})
		if err != nil {
			return nil, fmt.Errorf("look for a conflict: %w", err)
		}
		if len(page.Readings) > 0 && !page.Readings[0].SameContent(reading) {
			rejected = append(rejected, event.Conflict(reading))
		}
	}
	return rejected, nil
}

// send returns when all of readings are in Kafka, or not all of them can be. What it no longer waits for takes
// its room until Kafka has answered.
func (r *Replayer) send(ctx context.Context, readings []iot.Reading) error {
	if err := r.producer.Check(ctx); err != nil {
		return err
	}
	if err := r.room.Acquire(ctx, int64(len(readings))); err != nil {
		return err
	}
	answers := make(chan error, len(readings))
	for _, reading := range readings {
		r.producer.Produce(event.Record(r.topic, reading), func(err error) {
			r.room.Release(1)
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
