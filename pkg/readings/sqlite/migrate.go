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
	"github.com/telltale-iot/telltale/pkg/readings/internal/timerange"
	"github.com/telltale-iot/telltale/pkg/sqlite"
)

// Migration: what the old file has is moved into months, the oldest first, behind a line. What is before the line is the
// months', what is behind it the old file's, where it stays until all is moved. The line stands in the month that is being
// filled, and moves in the transaction that adds the readings: after a crash each of them has one owner, and is there
// once. When all is moved the old table is dropped and its file, which dead letters are in as well, is compacted; at last
// the lines go.

const (
	// maxMoved is how many readings are moved at once, but for those of one millisecond: inserts wait for some 0.1 s.
	maxMoved = 20_000

	selectMoved = `SELECT max(until) FROM moved`
	clearMoved  = `DELETE FROM moved`
	insertMoved = `INSERT INTO moved VALUES (?)`

	endOfWritten  = `SELECT max(n) FROM (SELECT n FROM written ORDER BY n LIMIT ?)`
	selectWritten = `SELECT ` + columns + ` FROM readings WHERE (timestamp, device_id) IN (SELECT timestamp, device_id FROM written WHERE n <= ?)`
	deleteWritten = `DELETE FROM written WHERE n <= ?`
)

// migrate does a step, and reports whether there is more to do.
func (s *Store) migrate(ctx context.Context) (more bool, err error) {
	if s.migrated {
		return false, nil
	}
	if err := s.takeTurn(ctx); err != nil {
		return false, err
	}
	owns := s.old != nil
	var filled span
	if s.written > 0 {
		s.endTurn()
		err := s.insertWritten(ctx)
		return err == nil, err
	}
	if owns {
		filled, err = s.moveSome(ctx)
	}
	s.endTurn()
	if err != nil {
		return false, err
	}
	if owns {
		return true, s.sealSpan(ctx, filled, min(filled.until, s.now().Add(-s.sealAfter).UnixMilli()))
	}
	if err := s.removeOld(ctx); err != nil {
		return false, err
	}
	s.migrated = true
	return false, nil
}

// moveSome moves the next of what the old file owns, and returns the full hours that it has filled.
func (s *Store) moveSome(ctx context.Context) (filled span, err error) {
	rows, line, err := s.nextOld(ctx, *s.old)
	if err != nil {
		return filled, fmt.Errorf("read %s: %w", s.oldPath, err)
	}
	if len(rows) == 0 {
		s.setLayout(s.allMonths, nil)
		return filled, nil
	}
	first := rows[0].place().at
	m, err := s.monthAt(ctx, first)
	if err != nil {
		return filled, err
	}
	t, err := s.begin(ctx, span{m, s.old.from, line})
	if err != nil {
		return filled, fmt.Errorf("%s: %w", m.path, err)
	}
	defer func() {
		t.end()
		t.db.BoundWAL()
	}()
	if err := t.move(rows, line); err != nil {
		return filled, fmt.Errorf("move readings into %s: %w", m.path, err)
	}
	return span{m, hourOf(first), min(hourOf(line), m.end)}, nil
}

// move adds rows, and moves the line.
func (t *transaction) move(rows []row, line int64) error {
	for i := range rows {
		ok, err := t.add(&rows[i])
		if err != nil {
			return err
		}
		if !ok {
			t.store.report(t.part, &rows[i], errOccupied)
		}
	}
	if _, err := t.tx.Exec(clearMoved); err != nil {
		return err
	}
	if _, err := t.tx.Exec(insertMoved, line); err != nil {
		return err
	}
	return t.commitAnd(func(s *Store) { s.setLayoutLocked(s.allMonths, s.old.behind(line)) })
}

// insertWritten inserts the next of what an earlier version has written to the old file since this one prepared it first. Some
// of it is in months already.
func (s *Store) insertWritten(ctx context.Context) error {
	batch, last, err := s.nextWritten(ctx)
	if err != nil {
		return fmt.Errorf("read %s: %w", s.oldPath, err)
	}
	inserted, err := s.InsertReadings(ctx, batch)
	if err != nil {
		return fmt.Errorf("move readings from %s: %w", s.oldPath, err)
	}
	if n := len(inserted.Conflicts) + len(inserted.TooOld); n > 0 {
		s.log.Warn("some readings of an earlier version are not moved: others are in their place, or they are too old",
			"file", s.oldPath, "conflicts", len(inserted.Conflicts), "too_old", len(inserted.TooOld))
	}
	if err := s.forgetWritten(ctx, last); err != nil {
		return fmt.Errorf("write %s: %w", s.oldPath, err)
	}
	return nil
}

// nextWritten returns the next readings of insertWritten, and the last number of them. What is damaged is left out.
func (s *Store) nextWritten(ctx context.Context) (next []iot.Reading, last int64, err error) {
	old := &part{path: s.oldPath}
	db, release, err := s.files.use(old)
	if err != nil {
		return nil, 0, err
	}
	defer release()
	if err := db.Read.QueryRowContext(ctx, endOfWritten, s.moveAtOnce).Scan(&last); err != nil {
		return nil, 0, err
	}
	rows, err := db.Read.QueryContext(ctx, selectWritten, last)
	err = sqlite.ForEach(rows, err, func() (more bool, err error) {
		v, err := scan(rows)
		if err != nil {
			return false, err
		}
		r, err := v.reading()
		if err != nil {
			s.report(old, &v, err)
			return true, nil
		}
		if from, ok := v[movedFromColumn].(int64); ok {
			r.At = time.UnixMilli(from).UTC()
		}
		next = append(next, r)
		return true, nil
	})
	return next, last, err
}

// forgetWritten is for when all up to last has been inserted.
func (s *Store) forgetWritten(ctx context.Context, last int64) error {
	db, release, err := s.files.use(&part{path: s.oldPath})
	if err != nil {
		return err
	}
	defer release()
	if _, err := db.Write.ExecContext(ctx, deleteWritten, last); err != nil {
		return err
	}
	if last >= s.written {
		s.written = 0
	}
	return nil
}

// nextOld returns the next rows of the old file, all of one month and up to maxMoved of them, and the line behind them. What
// is damaged is left out.
func (s *Store) nextOld(ctx context.Context, old span) (next []row, line int64, err error) {
	sn, err := s.snapshotOf(ctx, func() (span, bool) { return old, true })
	if err != nil {
		return nil, 0, err
	}
	defer func() { err = errors.Join(err, sn.end()) }()
	rows, err := sn.all(order{}, timerange.Range{From: sn.from, End: sn.until})
	if err != nil {
		return nil, 0, err
	}
	defer func() { err = errors.Join(err, rows.close()) }()
	end, last := int64(math.MaxInt64), sn.from
	for {
		r, err := rows.next()
		if r == nil || err != nil {
			return next, sn.until, err
		}
		at := r.At.UnixMilli()
		if full := len(next) >= s.moveAtOnce && at > last; full || at >= end {
			return next, at, nil
		}
		if len(next) == 0 {
			_, end = monthOf(at)
		}
		v := rows.returned.row
		v[checksumColumn] = v.sum() // the first versions wrote none
		next, last = append(next, v), at
	}
}

// monthAt returns the part for the month of at, and creates its file where it is missing.
func (s *Store) monthAt(ctx context.Context, at int64) (*part, error) {
	for _, m := range s.allMonths {
		if m.start <= at && at < m.end {
			return m, nil
		}
	}
	m := s.month(monthOf(at))
	if _, _, err := s.prepareMonth(ctx, m); err != nil {
		return nil, err
	}
	s.setLayout(append(s.allMonths, m), s.old)
	return m, nil
}

// behind returns what is left of s, where there is something, behind the line.
func (s *span) behind(line int64) *span {
	if s == nil || s.until <= line {
		return nil
	}
	return &span{s.part, max(s.from, line), s.until}
}

// movedIn returns the line that stands in a month's file, or noLine.
func movedIn(ctx context.Context, db *sqlite.DB) (line int64, err error) {
	var there sql.NullInt64
	if err := db.Read.QueryRowContext(ctx, selectMoved).Scan(&there); err != nil || !there.Valid {
		return noLine, err
	}
	return there.Int64, nil
}

const noLine = math.MinInt64

// removeOld removes the table of earlier versions, when nothing of it is needed, and then the lines, which an earlier
// version that made the table once more would not know of.
func (s *Store) removeOld(ctx context.Context) error {
	if _, err := os.Stat(s.oldPath); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	began := time.Now()
	removed, err := s.dropOld(ctx)
	if err != nil {
		return fmt.Errorf("remove the readings from %s: %w", s.oldPath, err)
	}
	s.state.RLock()
	months := s.allMonths
	s.state.RUnlock()
	for _, m := range months {
		if err := s.clearMoved(ctx, m); err != nil {
			return fmt.Errorf("%s: %w", m.path, err)
		}
	}
	if removed {
		s.log.Info("all readings are in files of months now, and their disk space in the file of earlier versions is free", "file", s.oldPath,
			"seconds", time.Since(began).Seconds())
	}
	return nil
}

func (s *Store) clearMoved(ctx context.Context, m *part) error {
	db, release, err := s.files.use(m)
	if err != nil {
		return err
	}
	defer release()
	line, err := movedIn(ctx, db)
	if err != nil || line == noLine {
		return err
	}
	_, err = db.Write.ExecContext(ctx, clearMoved)
	return err
}

// dropOld drops the old table and compacts its file, as far as that has not been done, and reports whether it had to.
func (s *Store) dropOld(ctx context.Context) (did bool, err error) {
	db, release, err := s.files.use(&part{path: s.oldPath})
	if err != nil {
		return false, err
	}
	defer release()
	var there, givesBack bool
	err = db.Read.QueryRowContext(ctx, `SELECT (SELECT count(*) > 0 FROM sqlite_schema WHERE name = ?), auto_vacuum = 2 FROM pragma_auto_vacuum`, oldTable).
		Scan(&there, &givesBack)
	if err != nil {
		return false, err
	}
	if there {
		err := db.Transact(ctx, func(tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, dropMoving)
			return err
		})
		if err != nil {
			return false, err
		}
	}
	if !givesBack { // it is from an earlier version
		if _, err := db.Write.ExecContext(ctx, `PRAGMA auto_vacuum = 2; VACUUM`); err != nil {
			return false, err
		}
	}
	_, err = db.GiveBack(ctx)
	return there || !givesBack, err
}
