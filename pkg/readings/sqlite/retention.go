package sqlite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// Retention: readings from before the horizon are gone. It is at a full hour, stands in a file, and only moves forward; from
// that moment on nobody sees them, and what arrives of their time is refused, since nobody can tell any more whether it was
// stored before. What they come to stays in the rollups: so all are sealed before. Then they are removed. A month that is
// wholly before the horizon is replaced by a file with its rollups, of another name: connections to the one before it, which
// may be open for a while, would take the new one's WAL for theirs. From the month that the horizon is in those of some
// hours are deleted, and their pages given back.

const (
	horizonFile   = "horizon" // in the directory of the months
	horizonFormat = time.RFC3339

	// No block goes beyond its hour, so that the horizon is in none.
	countBetween = `
		SELECT device_id, count(*) FROM rows WHERE timestamp >= ?1 AND timestamp < ?2 GROUP BY device_id UNION ALL
		SELECT device_id, sum(n) FROM blocks WHERE start >= ?1 AND start < ?2 GROUP BY device_id`
)

// retain moves the horizon to where the retention wants it, and removes what is before it.
func (s *Store) retain(ctx context.Context) error {
	now := s.retentionTime()
	var advancing error
	if s.retention.Readings > 0 {
		advancing = s.expire(ctx, s.expiryAt(now))
	}
	givenBack, err := s.removeExpired(ctx)
	if err = errors.Join(advancing, err); err != nil || s.retention.MaxBytes == 0 || !givenBack {
		return err
	}
	return s.boundBytes(ctx, now)
}

// expiryAt returns before when readings are too old.
func (s *Store) expiryAt(now time.Time) int64 {
	return hourOf(now.Add(-s.retention.Readings).UnixMilli())
}

// expire has readings from before at refused, and moves the horizon there, if there is anything before it. Else the horizon,
// which is for good, would be where a clock that is wrong has it, such as that of a new machine at its first start.
func (s *Store) expire(ctx context.Context, at int64) error {
	if err := s.takeTurn(ctx); err != nil {
		return err
	}
	s.expiry = at
	some := s.old != nil || len(s.allMonths) > 0 && s.allMonths[0].start < at
	s.endTurn()
	if !some {
		return nil
	}
	return s.advance(ctx, at)
}

// warnAt is the part of the bytes that there may be at which the log says that readings will be removed.
const warnAt = 0.9

// boundBytes removes something where what is stored takes too many bytes: the readings of the oldest month, or where there are
// those of this month alone, the rollups of the oldest one, and in the end the oldest day of this month. It takes several calls
// where that is not enough.
func (s *Store) boundBytes(ctx context.Context, now time.Time) error {
	bytes, rollups, _, err := s.bytes()
	if err != nil {
		return err
	}
	bytes += rollups
	near := float64(bytes) > warnAt*float64(s.retention.MaxBytes)
	if near && !s.nearMax {
		s.log.Warn("readings take nearly as many bytes as they may (DATA_MAX_BYTES): beyond that the oldest are removed",
			"bytes", bytes, "most", s.retention.MaxBytes)
	}
	if s.nearMax = near; bytes <= s.retention.MaxBytes {
		return nil
	}
	oldest, ok, err := s.oldest(ctx)
	if err != nil {
		return err
	}
	lastHour := hourOf(now.UnixMilli()) - blockHour // what is kept in any case
	if !s.mayBeNow(now) || ok && oldest > now.Add(maxJump).UnixMilli() {
		return fmt.Errorf("readings take %d bytes, more than the %d they may (DATA_MAX_BYTES), and by the time that counts, %v, none of them is old: nothing is removed",
			bytes, s.retention.MaxBytes, now.UTC())
	}
	_, next := monthOf(oldest)
	if !ok || next > lastHour {
		s.state.RLock()
		months := s.allMonths
		s.state.RUnlock()
		if len(months) > 0 && months[0].daysOnly {
			s.log.Warn("the oldest rollups are removed: all take more bytes than they may (DATA_MAX_BYTES)",
				"bytes", bytes, "most", s.retention.MaxBytes, "before", time.UnixMilli(months[0].end).UTC())
			return s.removeDays(ctx, months[0])
		}
		if !ok {
			return nil
		}
		const day = 24 * blockHour
		next = min(oldest-oldest%day+day, lastHour)
	}
	if next <= oldest {
		return fmt.Errorf("readings take %d bytes, more than the %d they may (DATA_MAX_BYTES), and nothing of them is old", bytes, s.retention.MaxBytes)
	}
	s.log.Warn("the oldest readings are removed: all take more bytes than they may (DATA_MAX_BYTES)",
		"bytes", bytes, "most", s.retention.MaxBytes, "before", time.UnixMilli(next).UTC())
	advancing := s.advance(ctx, next)
	_, err = s.removeExpired(ctx)
	return errors.Join(advancing, err)
}

// advance moves the horizon to the full hour before at, if it is not there yet, or to the first reading that cannot be sealed
// now: what is removed is in the rollups.
func (s *Store) advance(ctx context.Context, at int64) error {
	if err := s.takeTurn(ctx); err != nil {
		return err
	}
	if s.old != nil { // what is behind the line is in no rollup yet
		at = min(at, s.old.from)
	}
	horizon := hourOf(at)
	if horizon <= s.horizon {
		s.endTurn()
		return nil
	}
	s.refused = horizon // what came now would be sealed by nobody
	s.endTurn()
	sealing := s.sealAhead(ctx, horizon)
	s.turn <- struct{}{} // whatever ctx is
	defer s.endTurn()
	s.refused = math.MinInt64
	if err := ctx.Err(); err != nil {
		return errors.Join(sealing, err)
	}
	if sealing != nil {
		horizon = hourOf(s.firstRow(horizon))
	}
	if horizon <= s.horizon {
		return sealing
	}
	return errors.Join(sealing, s.moveHorizon(ctx, horizon))
}

// moveHorizon is for the call that has the turn.
func (s *Store) moveHorizon(ctx context.Context, horizon int64) error {
	gone := map[iot.DeviceID]int64{}
	for _, m := range s.allMonths {
		if m.end <= s.horizon || m.start >= horizon {
			continue
		}
		if err := s.countBetween(ctx, m, s.horizon, horizon, gone); err != nil {
			return err
		}
	}
	if err := s.writeHorizon(horizon); err != nil {
		return err
	}
	maps.DeleteFunc(s.left, func(p place, _ struct{}) bool { return p.at < horizon })
	s.state.Lock()
	defer s.state.Unlock()
	for device, n := range gone {
		s.counts[device] -= n
		s.hot.remove(device, math.MinInt64, horizon)
	}
	s.rows = s.hot.len()
	s.horizon = horizon
	s.setLayoutLocked(s.allMonths, s.old.behind(horizon))
	return nil
}

// sealAhead seals what is before the horizon to be, so that it is in the rollups, which stay.
func (s *Store) sealAhead(ctx context.Context, horizon int64) error {
	const attempts = 3 // late readings may come between; rows that no block can have stay, and go with the horizon
	for range attempts {
		if err := s.sealBefore(ctx, horizon); err != nil || s.firstRow(horizon) == horizon {
			return err
		}
	}
	return nil
}

// firstRow returns the time of the first row before at, or at.
func (s *Store) firstRow(at int64) int64 {
	s.state.RLock()
	defer s.state.RUnlock()
	for _, times := range s.hot {
		at = min(at, times[0])
	}
	return at
}

// countBetween adds to counts what m has in from <= at < until, which are full hours.
func (s *Store) countBetween(ctx context.Context, m *part, from, until int64, counts map[iot.DeviceID]int64) error {
	db, release, err := s.files.use(m)
	if err != nil {
		return err
	}
	defer release()
	if err := addCounts(ctx, counts, db.Read, countBetween, from, until); err != nil {
		return fmt.Errorf("count readings in %s: %w", m.path, err)
	}
	return nil
}

// Horizon implements iot.HistoryReader.
func (s *Store) Horizon(context.Context) (time.Time, error) {
	s.state.RLock()
	defer s.state.RUnlock()
	if s.horizon == math.MinInt64 {
		return time.Time{}, nil
	}
	return time.UnixMilli(s.horizon).UTC(), nil
}

// readHorizon returns the horizon that the file says. Without one there is none.
func (s *Store) readHorizon() (int64, error) {
	path := filepath.Join(s.months, horizonFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return math.MinInt64, nil
	}
	if err != nil {
		return 0, err
	}
	at, err := time.Parse(horizonFormat, string(bytes.TrimSpace(text)))
	if err != nil {
		return 0, fmt.Errorf("%s: must hold a time such as 2026-01-31T12:00:00Z, before which readings are removed: %w", path, err)
	}
	return hourOf(at.UnixMilli()), nil
}

func (s *Store) writeHorizon(horizon int64) error {
	return s.replaceFile(horizonFile, []byte(time.UnixMilli(horizon).UTC().Format(horizonFormat)))
}

// replaceFile replaces a file beside the months as a whole, so that it is whole after a power cut.
func (s *Store) replaceFile(name string, text []byte) error {
	path := filepath.Join(s.months, name)
	fresh, err := os.OpenFile(path+newFile, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = fresh.Write(append(text, '\n'))
	if err = errors.Join(err, fresh.Sync(), fresh.Close()); err != nil {
		return err
	}
	return s.rename(path+newFile, path)
}
