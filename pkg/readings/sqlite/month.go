package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/sqlite"
)

// The rows are sorted by time, since readings come in nearly in that order: they are appended. By device they are
// indexed in memory. The measured columns are ANY because REAL would keep -0 as the integer 0.
const monthSchema = `
CREATE TABLE IF NOT EXISTS rows (
	timestamp        INTEGER NOT NULL, -- ms since 1970, UTC
	device_id        INTEGER NOT NULL,
	received_at      INTEGER NOT NULL, -- ms since 1970, UTC
	timestamp_source INTEGER NOT NULL, -- 1: the device's clock, 2: the server's, 0: unknown
	temperature      ANY,
	humidity         ANY,
	metrics          TEXT,             -- the others, as a JSON object
	attributes       TEXT,             -- a JSON object
	origin           INTEGER,          -- iot.Reading's; NULL where there is none
	moved_from       INTEGER,          -- the time it was stamped with, where another one has that
	checksum         INTEGER NOT NULL, -- of the others
	device_key       TEXT,             -- NULL where device_id is the device's own
	device_timestamp TEXT,             -- what the device gave as its time, where the server replaced it
	PRIMARY KEY (timestamp, device_id)
) STRICT, WITHOUT ROWID;
-- Up to where the readings of earlier versions have been moved into months, while they are: see migrate.go.
CREATE TABLE IF NOT EXISTS moved (until INTEGER NOT NULL) STRICT; -- ms since 1970, UTC
-- It prevents that a reading which was moved is stored twice.
CREATE UNIQUE INDEX IF NOT EXISTS rows_moved_from ON rows (device_id, origin, moved_from) WHERE moved_from IS NOT NULL;
-- The blocks of a device are of one hour each and have no times in common; between their readings there may be rows.
CREATE TABLE IF NOT EXISTS blocks (
	device_id INTEGER NOT NULL,
	start     INTEGER NOT NULL, -- ms since 1970: the first reading's
	until     INTEGER NOT NULL, -- the last one's
	n         INTEGER NOT NULL, -- of readings
	summary   BLOB NOT NULL,    -- package column's, as data is
	data      BLOB NOT NULL,
	PRIMARY KEY (device_id, start)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS blocks_by_time ON blocks (start, device_id, until, n);
CREATE TABLE IF NOT EXISTS devices (
	device_id INTEGER PRIMARY KEY,
	n         INTEGER NOT NULL  -- of readings in blocks
) STRICT;
-- What the readings in blocks come to, a day of UTC at a time: package rollup's.
CREATE TABLE IF NOT EXISTS days (
	device_id INTEGER NOT NULL,
	day       INTEGER NOT NULL, -- ms since 1970: where it starts
	data      BLOB NOT NULL,
	PRIMARY KEY (device_id, day)
) STRICT, WITHOUT ROWID;
` + createRebuilds

// monthVersion is that of the form of a month's file. The first ones had no version, and the same form.
const monthVersion = 1

// createMonth creates the tables of a month, where they are missing.
func createMonth(ctx context.Context, tx *sql.Tx) error {
	version, err := versionOfMonth(ctx, tx)
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, monthSchema); err != nil || version == monthVersion {
		return err
	}
	_, err = tx.ExecContext(ctx, fmt.Sprintf(`PRAGMA user_version = %d`, monthVersion))
	return err
}

// versionOfMonth returns the version of a month's file, which is an error where a later version of Telltale has written it.
func versionOfMonth(ctx context.Context, db interface {
	QueryRowContext(context.Context, string, ...any) *sql.Row
}) (version int, err error) {
	if err := db.QueryRowContext(ctx, `PRAGMA user_version`).Scan(&version); err != nil {
		return 0, err
	}
	if version > monthVersion {
		return 0, fmt.Errorf("it was written by a later version of Telltale: its form is %d, this version knows those up to %d", version, monthVersion)
	}
	return version, nil
}

const selectPlaces = `SELECT timestamp, device_id FROM rows ORDER BY timestamp, device_id`

// month returns the part for the month that starts at start. Its file may not exist.
func (s *Store) month(start, end int64) *part {
	name := time.UnixMilli(start).UTC().Format(monthFormat) + monthSuffix
	return &part{path: filepath.Join(s.months, name), statements: statementsOf("rows"), start: start, end: end}
}

const (
	monthFormat = "2006-01"
	monthSuffix = ".db"
	daysSuffix  = ".days" + monthSuffix // of a month of which only rollups are kept
)

// daysOf returns the part for what m leaves when its readings are not kept any more: a file of the same tables, which has
// days alone.
func daysOf(m *part) *part {
	return &part{path: strings.TrimSuffix(m.path, monthSuffix) + daysSuffix, statements: m.statements, start: m.start, end: m.end, daysOnly: true}
}

// listMonths returns the parts that there are files of, ascending.
func (s *Store) listMonths() (months []*part, err error) {
	entries, err := os.ReadDir(s.months) // ascending by name
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		name, daysOnly := strings.CutSuffix(entry.Name(), daysSuffix)
		name, isFile := strings.CutSuffix(name, monthSuffix)
		if !daysOnly && !isFile {
			continue // a WAL
		}
		first, err := time.Parse(monthFormat, name)
		if err != nil {
			return nil, fmt.Errorf("%s is not a file of this directory: it has no month's name", filepath.Join(s.months, entry.Name()))
		}
		m := s.month(monthOf(first.UnixMilli()))
		if daysOnly { // it comes before the file that it has replaced
			m = daysOf(m)
		} else if n := len(months); n > 0 && months[n-1].start == m.start {
			if err := s.removeFile(m); err != nil {
				return nil, err
			}
			continue
		}
		months = append(months, m)
	}
	return months, nil
}

// prepareMonth brings the file of m up to date, creates it where it is missing, and returns the places of its rows, and the
// line that stands in it.
func (s *Store) prepareMonth(ctx context.Context, m *part) (places []place, line int64, err error) {
	db, release, err := s.files.use(m)
	if err != nil {
		return nil, 0, err
	}
	defer release()
	if err := db.Transact(ctx, func(tx *sql.Tx) error { return createMonth(ctx, tx) }); err != nil {
		return nil, 0, fmt.Errorf("bring %s up to date: %w", m.path, err)
	}
	last := position{m.start - 1, 0}
	rows, err := db.Read.QueryContext(ctx, selectPlaces)
	err = sqlite.ForEach(rows, err, func() (more bool, err error) {
		var at position
		if err := rows.Scan(&at.timestamp, &at.device); err != nil {
			return false, err
		}
		if at.timestamp < m.start || at.timestamp >= m.end || !last.precedes(at) {
			s.report(m, &row{at.timestamp, at.device}, errMisplaced)
			return true, nil
		}
		last = at
		places = append(places, place{iot.DeviceID(at.device), at.timestamp})
		return true, nil
	})
	if err != nil {
		return nil, 0, fmt.Errorf("list the rows of %s: %w", m.path, err)
	}
	if line, err = movedIn(ctx, db); err != nil {
		return nil, 0, fmt.Errorf("read %s: %w", m.path, err)
	}
	return places, line, nil
}

// addMonth creates the file for the month of at. Only the call that has the turn calls it.
func (s *Store) addMonth(ctx context.Context, at int64) (span, error) {
	if _, err := s.monthAt(ctx, at); err != nil {
		return span{}, err
	}
	owner, ok := s.layout.owner(at)
	if !ok {
		return span{}, errors.New("no part owns " + time.UnixMilli(at).UTC().String())
	}
	return owner, nil
}

// countSealed adds to counts what is in blocks.
func (s *Store) countSealed(ctx context.Context, m *part, counts map[iot.DeviceID]int64) error {
	db, release, err := s.files.use(m)
	if err != nil {
		return err
	}
	defer release()
	if err := addCounts(ctx, counts, db.Read, countSealed); err != nil {
		return fmt.Errorf("count what is sealed in %s: %w", m.path, err)
	}
	return nil
}
