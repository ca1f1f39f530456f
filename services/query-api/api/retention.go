package api

import (
	"context"
	"net/http"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/settings"
)

// getRetention says what retentions would remove now, and removes nothing.
func (a *API) getRetention(ctx context.Context, r *request) (*answer, error) {
	now := time.Now()
	readings, rollups := r.query.horizon("readings", now), r.query.horizon("rollups", now)
	most := r.query.bytes("max_bytes")
	if readings.IsZero() && rollups.IsZero() && most == 0 && r.query.errs == nil {
		r.query.fail("readings", msgRequired)
	}
	if !readings.IsZero() && rollups.After(readings) {
		r.query.fail("rollups", "Must not be shorter than `readings`.")
	}
	if err := r.query.err(); err != nil {
		return nil, err
	}
	usage, err := r.Readings.Usage(ctx)
	if err != nil {
		return nil, err
	}
	if most > 0 && usage.Months == nil {
		return nil, fieldErrors{"max_bytes": {msgNoMonths}}
	}
	release, err := take(ctx, a.limits.dryRuns, 1)
	if err != nil {
		return nil, err
	}
	defer release()
	counts, err := r.Readings.CountReadings(ctx)
	if err != nil {
		return nil, historyProblem(ctx, err)
	}
	older, err := a.seriesReader(r.Readings).Older(ctx, counts, readings, rollups)
	if err != nil {
		return nil, historyProblem(ctx, err)
	}
	months, end := removedMonths(usage, most, now)
	if !end.IsZero() {
		oldest, err := a.seriesReader(r.Readings).Older(ctx, counts, end, time.Time{})
		if err != nil {
			return nil, historyProblem(ctx, err)
		}
		months.Count = oldest.Readings
		older.Approximate = older.Approximate || oldest.Approximate
	}
	var total int64
	for _, n := range counts {
		total += n.Count
	}
	return encodeAny(http.StatusOK, removals{
		Readings: removedReadings{timeOrNull(readings), older.Readings, share(usage.Readings, older.Readings, total), timeOrNull(older.From), timeOrNull(older.To)},
		Rollups:  removedRollups{timeOrNull(rollups), share(usage.Rollups, older.Rollups, older.AllRollups)},
		MaxBytes: months, Approximate: older.Approximate,
	})
}

// removedMonths says which months go first where readings take more than most bytes, if that is not 0: up to when, and all but
// the one of now, of which days go then.
func removedMonths(u iot.Usage, most int64, now time.Time) (removed removedOldest, end time.Time) {
	removed = removedOldest{Months: []string{}, Enough: true}
	if most == 0 {
		return removed, end
	}
	left := u.Readings + u.Rollups - most
	for _, m := range u.Months {
		next := m.Start.AddDate(0, 1, 0)
		if left <= 0 || next.After(now) {
			break
		}
		removed.Months = append(removed.Months, m.Start.Format("2006-01"))
		removed.Bytes += m.Bytes
		left, end = left-m.Bytes, next
	}
	removed.Before, removed.Enough = timeOrNull(end), left <= 0
	return removed, end
}

// removals is the answer of getRetention: what is before a moment, null where nothing would be removed.
type removals struct {
	Readings removedReadings `json:"readings"`
	Rollups  removedRollups  `json:"rollups"`
	MaxBytes removedOldest   `json:"max_bytes"`

	Approximate bool `json:"approximate"`
}

type removedReadings struct {
	Before *string `json:"before"`
	Count  int64   `json:"count"`
	Bytes  int64   `json:"bytes"`
	From   *string `json:"from"`
	To     *string `json:"to"`
}

type removedRollups struct {
	Before *string `json:"before"`
	Bytes  int64   `json:"bytes"`
}

// removedOldest is what goes since all take too many bytes.
type removedOldest struct {
	Before *string  `json:"before"`
	Count  int64    `json:"count"`
	Bytes  int64    `json:"bytes"`
	Months []string `json:"months"`
	Enough bool     `json:"enough"`
}

// share is what a part of all takes of bytes.
func share(bytes, part, all int64) int64 {
	if all == 0 {
		return 0
	}
	return int64(float64(bytes) * min(float64(part)/float64(all), 1))
}

// horizon reads how long something is to be kept, and returns since when that is; zero where it is not given, or for ever.
func (p *params) horizon(name string, now time.Time) time.Time {
	s := p.get(name)
	if s == "" {
		return time.Time{}
	}
	d, err := settings.ParseDuration(s)
	if err != nil || d <= 0 {
		p.fail(name, msgDuration)
		return time.Time{}
	}
	return now.Add(-d).UTC().Truncate(time.Millisecond)
}

// bytes reads a size; 0 where none is given.
func (p *params) bytes(name string) int64 {
	s := p.get(name)
	if s == "" {
		return 0
	}
	var size settings.Bytes
	if err := size.UnmarshalText([]byte(s)); err != nil || size <= 0 {
		p.fail(name, msgBytes)
	}
	return int64(size)
}

const (
	msgBytes    = "Must be a size such as 500MB, 10GB or 10GiB."
	msgNoMonths = "The readings are in a database, which takes as much as there are: there is no such setting for it."
)

const msgDuration = "Must be a duration such as 90d or 168h."
