package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// maxJump is how far the clock may be ahead of the newest reading at the start, and of the time that has gone by from then
// on, and for how long it is not believed beyond that.
const maxJump = 24 * time.Hour

// clock is by which readings become too old. That of a machine may be far ahead for a while, such as before it is set from
// the network, and what is removed then is gone: so a clock that jumps ahead is believed when it has stayed so for a day.
type clock struct {
	at      time.Time     // that was believed last
	read    time.Duration // when that was, by a clock that never jumps
	jumped  bool
	jumpAt  time.Duration // likewise
	started bool
}

// now returns what to take for the time when the machine's clock says wall, at elapsed by a clock that never jumps.
func (c *clock) now(wall time.Time, elapsed time.Duration) time.Time {
	expected := c.at.Add(elapsed - c.read)
	ahead := wall.Sub(expected) > maxJump
	if ahead && !c.jumped {
		c.jumpAt = elapsed
	}
	if c.jumped = ahead && elapsed-c.jumpAt < maxJump; c.jumped {
		wall = expected
	}
	c.at, c.read = wall, elapsed
	return wall
}

// retentionTime returns the time by which readings become too old.
func (s *Store) retentionTime(ctx context.Context) (time.Time, error) {
	wall := s.now()
	if s.retention == (iot.Retention{}) {
		return wall, nil
	}
	if !s.clock.started {
		newest, ok, err := s.newest(ctx)
		if err != nil {
			return time.Time{}, fmt.Errorf("find the newest reading: %w", err)
		}
		if s.clock.at, s.clock.read = wall, time.Since(s.opened); ok && newest.Before(wall) {
			s.clock.at = newest
		}
		s.clock.started = true
	}
	before := s.clock.jumped
	now := s.clock.now(wall, time.Since(s.opened))
	if s.clock.jumped && !before {
		s.log.Warn("the clock is more than a day ahead of what is stored: it does not count for the retention until it has been so for a day",
			"clock", wall.UTC(), "counts", now.UTC())
	}
	return now, nil
}

// newest returns the time of the newest reading, where there is one. That of an earlier version is moved last.
func (s *Store) newest(ctx context.Context) (at time.Time, ok bool, err error) {
	var newest int64
	s.state.RLock()
	months, old := s.allMonths, s.old
	for _, times := range s.hot {
		if last := times[len(times)-1]; !ok || last > newest {
			newest, ok = last, true
		}
	}
	s.state.RUnlock()
	for _, m := range slices.Backward(months) {
		if m.daysOnly || ok && m.end <= newest {
			continue
		}
		block, err := s.newestOf(ctx, m, newestBlock)
		if err != nil {
			return at, false, fmt.Errorf("%s: %w", m.path, err)
		}
		if block.Valid && (!ok || block.Int64 > newest) {
			newest, ok = block.Int64, true
		}
	}
	if old != nil {
		last, err := s.newestOf(ctx, old.part, newestOfOld)
		if err != nil {
			return at, false, fmt.Errorf("%s: %w", old.path, err)
		}
		if last.Valid && (!ok || last.Int64 > newest) {
			newest, ok = last.Int64, true
		}
	}
	return time.UnixMilli(newest), ok, nil
}

// newestOf returns the time that query selects from p.
func (s *Store) newestOf(ctx context.Context, p *part, query string) (at sql.NullInt64, err error) {
	db, release, err := s.files.use(p)
	if err != nil {
		return at, err
	}
	defer release()
	err = db.Read.QueryRowContext(ctx, query).Scan(&at)
	return at, err
}
