// Package retry has what both clients of Kafka need to try something again for as long as it takes: how long to wait
// between attempts, and what to log of them.
package retry

import (
	"log/slog"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// NewBackoff returns jittered waits from least on, doubling up to most.
func NewBackoff(least, most time.Duration) *backoff.ExponentialBackOff {
	return &backoff.ExponentialBackOff{
		InitialInterval:     least,
		MaxInterval:         most,
		Multiplier:          2,
		RandomizationFactor: 0.5,
	}
}

// remindEvery is how often failures that go on are logged again.
const remindEvery = 10 * time.Second

// Log logs repeated failures without flooding the log: the first, one every 10 s, and the recovery. The zero value
// has no failure. It is not safe for concurrent use.
type Log struct {
	Since time.Time // of the first failure in a row; zero when the latest attempt succeeded
	Err   error     // the latest failure

	logged   time.Time
	failures int
}

// Failing reports whether the latest attempt failed.
func (l *Log) Failing() bool { return !l.Since.IsZero() }

// Failed notes a failure; log carries what it is about.
func (l *Log) Failed(log *slog.Logger, message string, err error) {
	now := time.Now()
	if !l.Failing() {
		l.Since = now
	}
	l.Err = err
	l.failures++
	if now.Sub(l.logged) >= remindEvery {
		l.logged = now
		log.Warn(message, "err", err, "failures", l.failures, "since", l.Since.Round(time.Millisecond)) //nolint:sloglint // a constant of the caller
	}
}

// Recovered notes a success. After failures that were not logged, since others were within the last 10 s, it logs
// nothing either.
func (l *Log) Recovered(log *slog.Logger, message string) {
	if l.Failing() && !l.logged.Before(l.Since) {
		log.Info(message, "after", time.Since(l.Since).Round(time.Millisecond), "failures", l.failures) //nolint:sloglint // a constant of the caller
	}
	*l = Log{logged: l.logged}
}
