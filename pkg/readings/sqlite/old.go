package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
)

// The file of earlier versions has all readings in one table, and an index by device.
const (
	oldTable    = "readings"
	newestOfOld = `SELECT max(timestamp) FROM readings`
)

// additions are what came to it later, by the first of the columns.
var additions = []struct{ column, schema string }{
	{"origin", `
ALTER TABLE readings ADD COLUMN origin INTEGER;     -- iot.Reading's; NULL where there is none
ALTER TABLE readings ADD COLUMN moved_from INTEGER; -- the time it was stamped with, where another one has that`},
	{"checksum", `ALTER TABLE readings ADD COLUMN checksum INTEGER; -- of the others; NULL in the rows that were there`},
	{"device_key", `
ALTER TABLE readings ADD COLUMN device_key TEXT;       -- NULL where device_id is the device's own
ALTER TABLE readings ADD COLUMN device_timestamp TEXT; -- what the device gave as its time, where the server replaced it`},
}

// movedIndex prevents that a reading which was moved is stored twice. An earlier version's index took readings with
// one origin for the same whatever their times: it is replaced.
const movedIndex = `
DROP INDEX IF EXISTS readings_moved;
CREATE UNIQUE INDEX IF NOT EXISTS readings_moved_from ON readings (device_id, origin, moved_from) WHERE moved_from IS NOT NULL;`

// Until the table is dropped an earlier version may run once more, for which it is all there is. What any version writes to it
// from the moment on at which it is prepared first is noted by triggers. Where another table of that name is made when it
// has been dropped, months own all times, and all of it is noted.
const (
	createMoving = `
CREATE TABLE moving (until INTEGER NOT NULL) STRICT; -- ms since 1970: the times before that are the table's, until they are moved
CREATE TABLE written (n INTEGER PRIMARY KEY, timestamp INTEGER NOT NULL, device_id INTEGER NOT NULL) STRICT;
CREATE TRIGGER readings_inserted AFTER INSERT ON readings BEGIN
	INSERT INTO written (timestamp, device_id) VALUES (new.timestamp, new.device_id);
END;
CREATE TRIGGER readings_updated AFTER UPDATE ON readings BEGIN
	INSERT INTO written (timestamp, device_id) VALUES (new.timestamp, new.device_id);
END;`
	insertMoving = `INSERT INTO moving VALUES (?)`
	selectMoving = `SELECT until FROM moving`
	writeAll     = `INSERT INTO written (timestamp, device_id) SELECT timestamp, device_id FROM readings`
	lastWritten  = `SELECT coalesce(max(n), 0) FROM written`
	dropMoving   = `DROP TABLE IF EXISTS readings; DROP TABLE IF EXISTS moving; DROP TABLE IF EXISTS written`
)

// prepareOld brings the file of earlier versions up to date, and returns what it owns: all times up to the end of the hour of
// the last reading that it had when it was prepared first. nil: there is none, or it has no readings. written is the last of
// what was written there since then.
func (s *Store) prepareOld(ctx context.Context, monthsExist bool) (owned *span, written int64, err error) {
	if _, err := os.Stat(s.oldPath); errors.Is(err, fs.ErrNotExist) {
		return nil, 0, nil
	} else if err != nil {
		return nil, 0, err
	}
	old := &part{path: s.oldPath, statements: statementsOf(oldTable), old: true}
	db, release, err := s.files.use(old)
	if err != nil {
		return nil, 0, err
	}
	defer release()
	err = db.Transact(ctx, func(tx *sql.Tx) error {
		there, err := hasTable(ctx, tx, oldTable)
		if err != nil || !there {
			return err
		}
		for _, a := range additions {
			var has bool
			row := tx.QueryRowContext(ctx, `SELECT count(*) > 0 FROM pragma_table_info('readings') WHERE name = ?`, a.column)
			if err := row.Scan(&has); err != nil {
				return err
			}
			if has {
				continue
			}
			if _, err := tx.ExecContext(ctx, a.schema); err != nil {
				return err
			}
		}
		if _, err := tx.ExecContext(ctx, movedIndex); err != nil {
			return err
		}
		until, err := movingUntil(ctx, tx, monthsExist)
		if err != nil {
			return err
		}
		owned = &span{old, math.MinInt64, until}
		return tx.QueryRowContext(ctx, lastWritten).Scan(&written)
	})
	if err != nil {
		return nil, 0, fmt.Errorf("bring table readings in %s up to date: %w", s.oldPath, err)
	}
	return owned, written, nil
}

// movingUntil returns the end of what the old file owns. When it is not known yet it is noted.
func movingUntil(ctx context.Context, tx *sql.Tx, monthsExist bool) (until int64, err error) {
	there, err := hasTable(ctx, tx, "moving")
	if err != nil {
		return 0, err
	}
	if there {
		err := tx.QueryRowContext(ctx, selectMoving).Scan(&until)
		return until, err
	}
	if _, err := tx.ExecContext(ctx, createMoving); err != nil {
		return 0, err
	}
	until = math.MinInt64
	if monthsExist {
		if _, err := tx.ExecContext(ctx, writeAll); err != nil {
			return 0, err
		}
	} else {
		var last sql.NullInt64
		if err := tx.QueryRowContext(ctx, newestOfOld).Scan(&last); err != nil {
			return 0, err
		}
		if last.Valid {
			until = hourOf(last.Int64) + blockHour
		}
	}
	_, err = tx.ExecContext(ctx, insertMoving, until)
	return until, err
}

func hasTable(ctx context.Context, tx *sql.Tx, name string) (there bool, err error) {
	err = tx.QueryRowContext(ctx, `SELECT count(*) > 0 FROM sqlite_schema WHERE name = ?`, name).Scan(&there)
	return there, err
}

const (
	oldOfDevice = `SELECT ` + columns + ` FROM readings WHERE device_id = ? AND timestamp >= ? AND timestamp < ? ORDER BY timestamp`
	oldCounts   = `SELECT device_id, count(*) FROM readings WHERE timestamp >= ? AND +timestamp < ? GROUP BY device_id`
)
