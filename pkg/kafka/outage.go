package kafka

import (
	"log/slog"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// remindEvery is how often an outage that goes on is logged again.
const remindEvery = 10 * time.Second

// outage tells one kind of trouble to the log without flooding it: when it begins, every 10 s, and when
// it is over. The zero value is no outage. It is not safe for concurrent use.
type outage struct {
	since    time.Time // when it began; zero while there is none
	err      error     // the latest failure
	logged   time.Time
	failures int
}

func (o *outage) on() bool { return !o.since.IsZero() }

// failed notes a failure; log carries what it is about.
func (o *outage) failed(log *slog.Logger, message string, err error) {
	now := time.Now()
	if !o.on() {
		o.since = now
	}
	o.err = err
	o.failures++
	if now.Sub(o.logged) >= remindEvery {
		o.logged = now
		log.Warn(message, "err", err, "failures", o.failures, "since", o.since.Round(time.Millisecond)) //nolint:sloglint // a constant of the caller
	}
}

// over ends the outage, if there is one. One that came and went within 10 s of an earlier one's line was
// not logged, and neither is its end.
func (o *outage) over(log *slog.Logger, message string) {
	if o.on() && !o.logged.Before(o.since) {
		log.Info(message, "after", time.Since(o.since).Round(time.Millisecond), "failures", o.failures) //nolint:sloglint // a constant of the caller
	}
	*o = outage{logged: o.logged}
}

// newBackoff returns jittered waits from least on, doubling up to most.
func newBackoff(least, most time.Duration) *backoff.ExponentialBackOff {
	return &backoff.ExponentialBackOff{
		InitialInterval:     least,
		MaxInterval:         most,
		Multiplier:          2,
		RandomizationFactor: 0.5,
	}
}
