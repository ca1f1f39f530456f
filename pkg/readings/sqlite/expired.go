package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/telltale-iot/telltale/pkg/internal/dirsync"
	"github.com/telltale-iot/telltale/pkg/sqlite"
)

const (
	// How many are removed at once: inserts wait for some 0.1 s.
	maxRemovedRows, maxRemovedBlocks = 20_000, 1000

	removeRows = `DELETE FROM rows WHERE (timestamp, device_id) IN
		(SELECT timestamp, device_id FROM rows WHERE timestamp < ? ORDER BY timestamp, device_id LIMIT ?)`
	expiredBlocks = `SELECT start, device_id, until, n FROM blocks WHERE start < ? ORDER BY start, device_id LIMIT ?`
)

// removeExpired removes what is before the horizon, and reports whether the disk has got back all of it. Where one month fails
// it goes on with the others.
func (s *Store) removeExpired(ctx context.Context) (givenBack bool, all error) {
	now := s.retentionTime()
	givenBack = true
	s.state.RLock()
	months, horizon := s.allMonths, s.horizon
	s.state.RUnlock()
	for _, m := range months {
		var err error
		switch {
		case m.daysOnly && s.retention.Rollups > 0 && m.end <= now.Add(-s.retention.Rollups).UnixMilli():
			err = s.removeDays(ctx, m)
		case m.daysOnly:
		case m.end <= horizon:
			err = s.replaceMonth(ctx, m)
		case m.start < horizon && s.trimmed < horizon:
			if givenBack, err = s.trimMonth(ctx, m, horizon); givenBack {
				s.trimmed = horizon
			}
		}
		if err != nil {
			all = errors.Join(all, fmt.Errorf("remove what is too old from %s: %w", m.path, err))
		}
	}
	return givenBack && all == nil, all
}

// replaceMonth puts a file with the rollups of m, which is wholly before the horizon, in the place of its file.
func (s *Store) replaceMonth(ctx context.Context, m *part) error {
	days := daysOf(m)
	if err := s.copyDays(ctx, m, days); err != nil {
		return err
	}
	if err := s.takeTurn(ctx); err != nil {
		return err
	}
	defer s.endTurn()
	months := slices.Clone(s.allMonths)
	months[slices.Index(months, m)] = days
	s.setLayout(months, s.old)
	if err := s.removeFile(m); err != nil {
		return err
	}
	s.log.Info("readings of a month that were too old have been removed", "file", m.path)
	return nil
}

const (
	newFile     = ".new" // behind the name of a file that is not complete
	copyDevices = `SELECT device_id FROM devices`
	copyDays    = `SELECT device_id, day, data FROM days`
	insertDay   = `INSERT INTO days (device_id, day, data) VALUES (?, ?, ?)`
)

// copyDays makes the file of days: what m has of rollups.
func (s *Store) copyDays(ctx context.Context, m, days *part) (err error) {
	from, release, err := s.files.use(m)
	if err != nil {
		return err
	}
	defer release()
	path := days.path + newFile
	if err := removeFiles(path); err != nil {
		return err
	}
	to, err := sqlite.Open(path)
	if err != nil {
		return err
	}
	err = to.Transact(ctx, func(tx *sql.Tx) error {
		if err := createMonth(ctx, tx); err != nil {
			return err
		}
		devices, err := from.Read.QueryContext(ctx, copyDevices) //nolint:sqlclosecheck // ForEach closes them
		err = sqlite.ForEach(devices, err, func() (more bool, err error) {
			var device int64
			if err := devices.Scan(&device); err != nil {
				return false, err
			}
			_, err = tx.ExecContext(ctx, changeSealed, device, 0)
			return true, err
		})
		if err != nil {
			return err
		}
		rows, err := from.Read.QueryContext(ctx, copyDays) //nolint:sqlclosecheck // ForEach closes them
		return sqlite.ForEach(rows, err, func() (more bool, err error) {
			var device, day int64
			var data []byte
			if err := rows.Scan(&device, &day, &data); err != nil {
				return false, err
			}
			_, err = tx.ExecContext(ctx, insertDay, device, day, data)
			return true, err
		})
	})
	if err == nil {
		err = emptyWAL(ctx, to)
	}
	if err := errors.Join(err, to.Close()); err != nil {
		return errors.Join(err, removeFiles(path))
	}
	return s.rename(path, days.path)
}

// emptyWAL is for a file that is to be renamed: Close would not say that the disk had no room for what is in its WAL.
func emptyWAL(ctx context.Context, db *sqlite.DB) error {
	all, err := db.GiveBack(ctx)
	if err == nil && !all {
		err = errors.New("its WAL is in use")
	}
	return err
}

func (s *Store) rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return dirsync.Sync(s.months)
}

// openAgain makes the file of rollups that a month has left its file again, for when somebody has set the horizon back.
func (s *Store) openAgain(ctx context.Context, days *part) (*part, error) {
	db, err := sqlite.Open(days.path)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(emptyWAL(ctx, db), db.Close()); err != nil {
		return nil, fmt.Errorf("%s: %w", days.path, err)
	}
	m := s.month(days.start, days.end)
	return m, s.rename(days.path, m.path)
}

// removeFile removes the file of p, which nobody needs any more.
func (s *Store) removeFile(p *part) error {
	s.files.abandon(p)
	if err := removeFiles(p.path); err != nil {
		return err
	}
	return dirsync.Sync(s.months)
}

// removeFiles removes the file at path, last: without it the others would belong to a new one.
func removeFiles(path string) error {
	for _, suffix := range []string{"-wal", "-shm", ""} {
		if err := os.Remove(path + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// removeDays removes the rollups of m.
func (s *Store) removeDays(ctx context.Context, m *part) error {
	if err := s.takeTurn(ctx); err != nil {
		return err
	}
	defer s.endTurn()
	s.setLayout(slices.DeleteFunc(slices.Clone(s.allMonths), func(p *part) bool { return p == m }), s.old)
	if err := s.removeFile(m); err != nil {
		return err
	}
	s.log.Info("rollups of a month that were too old have been removed", "file", m.path)
	return nil
}

// trimMonth removes what m has before the horizon, and reports whether the disk has got back all of it.
func (s *Store) trimMonth(ctx context.Context, m *part, horizon int64) (givenBack bool, err error) {
	db, release, err := s.files.use(m)
	if err != nil {
		return false, err
	}
	defer release()
	for more := true; more; {
		if more, err = s.removeSome(ctx, db, horizon); err != nil {
			return false, err
		}
	}
	return db.GiveBack(ctx)
}

// removeSome removes the first of what is before the horizon, and reports whether there is more.
func (s *Store) removeSome(ctx context.Context, db *sqlite.DB, horizon int64) (more bool, err error) {
	if err := s.takeTurn(ctx); err != nil {
		return false, err
	}
	defer s.endTurn()
	err = db.Transact(ctx, func(tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, removeRows, horizon, maxRemovedRows)
		if err != nil {
			return err
		}
		n, err := result.RowsAffected()
		if err != nil {
			return err
		}
		var expired []blockID
		rows, err := tx.QueryContext(ctx, expiredBlocks, horizon, maxRemovedBlocks)
		err = sqlite.ForEach(rows, err, func() (more bool, err error) {
			var b blockID
			err = rows.Scan(&b.start, &b.device, &b.until, &b.n)
			expired = append(expired, b)
			return true, err
		})
		if err != nil {
			return err
		}
		v := s.view(ctx, span{})
		v.tx = tx
		for _, b := range expired {
			if err := v.deleteBlock(b); err != nil {
				return err
			}
		}
		more = n == maxRemovedRows || len(expired) == maxRemovedBlocks
		return nil
	})
	db.BoundWAL()
	return more, err
}
