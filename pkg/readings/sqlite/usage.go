package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// Usage implements readings.Store.
func (s *Store) Usage(ctx context.Context) (u iot.Usage, err error) {
	if u, err = s.usage(ctx); err != nil {
		return iot.Usage{}, fmt.Errorf("size of the readings: %w", err)
	}
	return u, nil
}

func (s *Store) usage(ctx context.Context) (u iot.Usage, err error) {
	u = iot.Usage{PerDay: -1}
	if u.Readings, u.Rollups, err = s.bytes(); err != nil {
		return u, err
	}
	if u.Free, err = freeBytes(s.months); err != nil {
		return u, err
	}
	oldest, ok, err := s.oldest(ctx)
	if ok {
		u.Oldest = time.UnixMilli(oldest).UTC()
	}
	return u, err
}

// bytes returns what the files take, with those of readings that are to be removed, and those that have rollups alone.
func (s *Store) bytes() (readings, rollups int64, err error) {
	s.state.RLock()
	parts := append([]*part(nil), s.allMonths...)
	if s.old != nil {
		parts = append(parts, s.old.part)
	}
	s.state.RUnlock()
	for _, p := range parts {
		for _, suffix := range []string{"", "-wal"} {
			file, err := os.Stat(p.path + suffix)
			switch {
			case errors.Is(err, fs.ErrNotExist):
			case err != nil:
				return 0, 0, err
			case p.daysOnly:
				rollups += file.Size()
			default:
				readings += file.Size()
			}
		}
	}
	return readings, rollups, nil
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
