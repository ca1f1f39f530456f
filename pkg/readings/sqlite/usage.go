package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/sqlite"
)

// Usage implements readings.Store.
func (s *Store) Usage(ctx context.Context) (u iot.Usage, err error) {
	if u, err = s.usage(ctx); err != nil {
		return iot.Usage{}, fmt.Errorf("size of the readings: %w", err)
	}
	return u, nil
}

func (s *Store) usage(ctx context.Context) (u iot.Usage, err error) {
	u = iot.Usage{PerDay: -1, MaxBytes: s.retention.MaxBytes}
	readings, rollups, months, err := s.bytes()
	if err != nil {
		return u, err
	}
	u.Readings, u.Rollups, u.Months = readings, rollups, []iot.MonthUsage{}
	for _, m := range months {
		stays, err := s.stays(ctx, m)
		if errors.Is(err, errAbandoned) {
			continue
		}
		if err != nil {
			return u, err
		}
		u.Months = append(u.Months, iot.MonthUsage{Start: time.UnixMilli(m.start).UTC(), Bytes: max(m.size-stays, 0)})
	}
	if u.Free, err = freeBytes(s.months); err != nil {
		return u, err
	}
	oldest, ok, err := s.oldest(ctx)
	if !ok || err != nil {
		return u, err
	}
	u.Oldest = time.UnixMilli(oldest).UTC()
	u.PerDay, err = s.perDay(ctx, u.Readings, oldest)
	return u, err
}

// perDay returns what the readings of yesterday take, if one takes as much as all do on average, without those that the
// retention removes in a day; -1 where they are not of a whole day, or are in the old file.
func (s *Store) perDay(ctx context.Context, bytes, oldest int64) (int64, error) {
	const day = 24 * blockHour
	now := s.now().UnixMilli()
	today := now - now%day
	s.state.RLock()
	horizon, total := s.horizon, int64(0)
	for _, n := range s.counts {
		total += n
	}
	s.state.RUnlock()
	if total == 0 || oldest >= today-day+blockHour {
		return -1, nil
	}
	grown, err := s.countOwned(ctx, today-day, today)
	if err == nil && s.retention.Readings > 0 && horizon > math.MinInt64 {
		var removed int64
		removed, err = s.countOwned(ctx, horizon, horizon+day)
		grown = max(grown-removed, 0)
	}
	switch {
	case errors.Is(err, errAbandoned), errors.Is(err, errOld):
		return -1, nil
	case err != nil:
		return -1, err
	}
	return int64(float64(bytes) / float64(total) * float64(grown)), nil
}

var errOld = errors.New("some readings are in the old file")

// countOwned counts the readings in from <= at < until, which are full hours.
func (s *Store) countOwned(ctx context.Context, from, until int64) (n int64, err error) {
	s.state.RLock()
	l := s.layout
	s.state.RUnlock()
	counts := map[iot.DeviceID]int64{}
	for _, owner := range l {
		from, until := max(from, owner.from), min(until, owner.until)
		switch {
		case from >= until:
			continue
		case owner.old:
			return 0, errOld
		}
		if err := s.countBetween(ctx, owner.part, from, until, counts); err != nil {
			return 0, err
		}
	}
	for _, count := range counts {
		n += count
	}
	return n, nil
}

// monthSize is what the file of a month takes.
type monthSize struct {
	*part
	size int64
}

// bytes returns what the files take, with those of readings that are to be removed, and those that have rollups alone; and what
// that of each month with readings does.
func (s *Store) bytes() (readings, rollups int64, months []monthSize, err error) {
	s.state.RLock()
	all, old := s.allMonths, s.old
	s.state.RUnlock()
	for _, m := range all {
		n, err := m.bytes()
		if err != nil {
			return 0, 0, nil, err
		}
		if m.daysOnly {
			rollups += n
			continue
		}
		readings += n
		months = append(months, monthSize{m, n})
	}
	if old != nil {
		n, err := old.bytes()
		if err != nil {
			return 0, 0, nil, err
		}
		readings += n
	}
	return readings, rollups, months, nil
}

// bytes returns what the file of p takes, with its WAL.
func (p *part) bytes() (all int64, err error) {
	for _, suffix := range []string{"", "-wal"} {
		file, err := os.Stat(p.path + suffix)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return 0, err
		default:
			all += file.Size()
		}
	}
	return all, nil
}

const (
	// sampled is of how many devices rollups are looked at, to estimate what those of all take.
	sampled = 32

	sampleDays   = `SELECT device_id, length(data) FROM days WHERE device_id IN (SELECT device_id FROM devices LIMIT ?)`
	countDevices = `SELECT count(*) FROM devices`

	emptyMonth = 64 << 10 // what a file takes of a month without anything
)

// estimate is what is left of a file of a size.
type estimate struct{ size, stays int64 }

// stays estimates what of a month's file is left when its readings are removed: its rollups are. They are looked at when the file
// has another size than before.
func (s *Store) stays(ctx context.Context, m monthSize) (int64, error) {
	if last, ok := s.estimates.Load(m.path); ok && last.(estimate).size == m.size {
		return last.(estimate).stays, nil
	}
	db, release, err := s.files.use(m.part)
	if err != nil {
		return 0, err
	}
	defer release()
	var devices int64
	if err := db.Read.QueryRowContext(ctx, countDevices).Scan(&devices); err != nil {
		return 0, fmt.Errorf("%s: %w", m.path, err)
	}
	var bytes int64
	rows, err := db.Read.QueryContext(ctx, sampleDays, sampled) //nolint:sqlclosecheck // ForEach closes them
	err = sqlite.ForEach(rows, err, func() (more bool, err error) {
		var device, length int64
		err = rows.Scan(&device, &length)
		bytes += takes(length)
		return true, err
	})
	if err != nil {
		return 0, fmt.Errorf("%s: %w", m.path, err)
	}
	stays := emptyMonth + bytes*devices/max(min(devices, sampled), 1)
	s.estimates.Store(m.path, estimate{m.size, stays})
	return stays, nil
}

// takes returns what a row without a rowid and with so many bytes takes in a file: those that have no room in its page are in
// others, which it has for itself (https://sqlite.org/fileformat2.html, "B-tree pages").
func takes(length int64) int64 {
	const (
		page, header = 4096, 24
		most         = (page-12)*64/255 - 23 // in its page
		least        = (page-12)*32/255 - 23
	)
	payload := length + header
	if payload <= most {
		return payload
	}
	local := least + (payload-least)%(page-4)
	if local > most {
		local = least
	}
	return local + (payload-local+page-5)/(page-4)*page
}

const (
	oldestOfMonth = `SELECT min(t) FROM (SELECT min(timestamp) AS t FROM rows WHERE timestamp >= ?1 AND timestamp < ?2 UNION ALL
		SELECT min(start) FROM blocks WHERE start >= ?1 AND start < ?2)`
	oldestOfOld = `SELECT min(timestamp) FROM readings WHERE timestamp >= ? AND timestamp < ?`
)

// oldest returns the time of the oldest reading, where there is one.
func (s *Store) oldest(ctx context.Context) (at int64, ok bool, err error) {
	s.state.RLock()
	l := s.layout
	s.state.RUnlock()
	for _, owner := range l {
		at, ok, err = s.oldestOf(ctx, owner)
		if errors.Is(err, errAbandoned) {
			continue
		}
		if ok || err != nil {
			return at, ok, err
		}
	}
	return 0, false, nil
}

func (s *Store) oldestOf(ctx context.Context, owner span) (at int64, ok bool, err error) {
	db, release, err := s.files.use(owner.part)
	if err != nil {
		return 0, false, err
	}
	defer release()
	query := oldestOfMonth
	if owner.old {
		query = oldestOfOld
	}
	var first sql.NullInt64
	if err := db.Read.QueryRowContext(ctx, query, owner.from, owner.until).Scan(&first); err != nil {
		return 0, false, fmt.Errorf("%s: %w", owner.path, err)
	}
	return first.Int64, first.Valid, nil
}
