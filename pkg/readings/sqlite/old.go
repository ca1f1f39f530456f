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
)

// The file of earlier versions has all readings in one table, and an index by device.
const (
	oldTable  = "readings"
	oldBounds = `SELECT min(timestamp), max(timestamp) FROM readings`
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

// prepareOld brings the file of earlier versions up to date, and returns what it owns: all times up to the end of the hour of
// its last reading. nil: there is none, or it has no readings.
func (s *Store) prepareOld(ctx context.Context) (*span, error) {
	if _, err := os.Stat(s.oldPath); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	old := &part{path: s.oldPath, statements: statementsOf(oldTable), old: true}
	db, release, err := s.files.use(old)
	if err != nil {
		return nil, err
	}
	defer release()
	var there bool
	var first, last sql.NullInt64
	err = db.Transact(ctx, func(tx *sql.Tx) error {
		if err := tx.QueryRowContext(ctx, `SELECT count(*) > 0 FROM sqlite_schema WHERE name = ?`, oldTable).Scan(&there); err != nil || !there {
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
		return tx.QueryRowContext(ctx, oldBounds).Scan(&first, &last)
	})
	if err != nil {
		return nil, fmt.Errorf("bring table readings in %s up to date: %w", s.oldPath, err)
	}
	if !last.Valid {
		return nil, nil
	}
	end := time.UnixMilli(last.Int64).UTC().Truncate(time.Hour).Add(time.Hour).UnixMilli()
	return &span{old, math.MinInt64, end}, nil
}

const (
	oldOfDevice = `SELECT ` + columns + ` FROM readings WHERE device_id = ? AND timestamp >= ? AND timestamp < ? ORDER BY timestamp`
	oldCounts   = `SELECT device_id, count(*) FROM readings WHERE timestamp >= ? GROUP BY device_id`
)
