// Package sqlite keeps readings in an SQLite file: for one machine, and for tests. Writers take turns, one
// transaction per batch; readers go on beside them.
//
// A batch is on the disk when InsertReadings returns, and an error leaves nothing of it. While the disk is
// full or the file cannot be written calls fail and may be repeated.
//
// Every row has a checksum. One that is not as it was written is never shown: it is left out, logged once, and
// replaced when its reading comes again. So is one that the file's tree leads to from the place of another one: what
// is found is in order, and nothing twice. SQLite itself reports a damaged page as an error of whatever reads it.
// A count, and a look-up of a row through the index, do not notice an entry that leads to a wrong row.
package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"sync"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/readings/internal/occupied"
	"github.com/telltale-iot/telltale/pkg/sqlite"
)

// Store is a readings.Store.
type Store struct {
	db   *sqlite.DB
	turn chan struct{} // filled by the call that writes
	// For the call that writes.
	occupied occupied.Ranges

	mu      sync.Mutex
	waiting []*insertion

	log      *slog.Logger
	logging  sync.Mutex
	reported map[string]struct{} // damaged rows, by timestamp and device
}

var (
	_ iot.ReadingWriter = (*Store)(nil)
	_ iot.ReadingReader = (*Store)(nil)
)

// Open opens the file at path, and creates it when it is missing; its directory must exist.
func Open(path string, log *slog.Logger) (*Store, error) {
	db, err := sqlite.Open(path)
	if err != nil {
		return nil, err
	}
	return &Store{db: db, turn: make(chan struct{}, 1), log: log, reported: map[string]struct{}{}}, nil
}

// The table is sorted by time, since readings come in nearly in that order: rows are appended, and only the
// narrow index takes its entries all over. That halves the cost of an insert against a table sorted by
// device. The measured columns are ANY because REAL would keep -0 as the integer 0.
const schema = `
CREATE TABLE IF NOT EXISTS readings (
	timestamp        INTEGER NOT NULL, -- ms since 1970, UTC
	device_id        INTEGER NOT NULL,
	received_at      INTEGER NOT NULL, -- ms since 1970, UTC
	timestamp_source INTEGER NOT NULL, -- 1: the device's clock, 2: the server's, 0: unknown
	temperature      ANY,
	humidity         ANY,
	metrics          TEXT,             -- the others, as a JSON object
	attributes       TEXT,             -- a JSON object
	PRIMARY KEY (timestamp, device_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS readings_by_device ON readings (device_id, timestamp);`

// additions are what came later, by the first of the columns.
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

// Prepare creates the table and its indexes where they are missing, and brings those of an earlier version up to date.
func (s *Store) Prepare(ctx context.Context) error {
	err := s.db.Transact(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, schema); err != nil {
			return err
		}
		for _, a := range additions {
			var there bool
			row := tx.QueryRowContext(ctx, `SELECT count(*) > 0 FROM pragma_table_info('readings') WHERE name = ?`, a.column)
			if err := row.Scan(&there); err != nil {
				return err
			}
			if there {
				continue
			}
			if _, err := tx.ExecContext(ctx, a.schema); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, movedIndex)
		return err
	})
	if err != nil {
		return fmt.Errorf("create table readings in %s: %w", s.db.Path, err)
	}
	return nil
}

// report logs that v is damaged, if it has not yet.
func (s *Store) report(v *row, damage error) {
	const most = 1000 // that it remembers
	key := fmt.Sprint(v[0], v[1])
	s.logging.Lock()
	defer s.logging.Unlock()
	if _, before := s.reported[key]; before {
		return
	}
	if len(s.reported) == most {
		clear(s.reported)
	}
	s.reported[key] = struct{}{}
	s.log.Error("a stored reading is damaged, and left out", "file", s.db.Path, "timestamp", v[0], "device_id", v[1], "err", damage)
}

// Check is nil when the file can be read, and has the table.
func (s *Store) Check(ctx context.Context) error { return s.db.Check(ctx, "readings") }

// Close closes the file. It waits for the calls that are running.
func (s *Store) Close() error { return s.db.Close() }
