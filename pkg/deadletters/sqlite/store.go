// Package sqlite keeps dead letters in an SQLite file, which may be the one of the readings: for one machine,
// and for tests.
//
// A batch is on the disk when InsertDeadLetters returns, and an error leaves nothing of it. While the disk is
// full or the file cannot be written calls fail and may be repeated.
package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/sqlite"
)

// Store is a deadletters.Store.
type Store struct {
	Capacity int64 // iot.DeadLetterCapacity, but in tests
	db       *sqlite.DB
}

// Open opens the file at path, and creates it when it is missing; its directory must exist.
func Open(path string) (*Store, error) {
	db, err := sqlite.Open(path)
	if err != nil {
		return nil, err
	}
	return &Store{iot.DeadLetterCapacity, db}, nil
}

// The bytes stand last, so that whoever counts does not read past them.
const schema = `
CREATE TABLE IF NOT EXISTS dead_letters (
	received_at       INTEGER NOT NULL, -- ms since 1970, UTC
	id                BLOB    NOT NULL,
	reason            TEXT    NOT NULL,
	detail            TEXT    NOT NULL,
	device_id         INTEGER NOT NULL, -- 0: unknown
	source            TEXT    NOT NULL,
	topic_device_id   TEXT    NOT NULL,
	retained          INTEGER NOT NULL,
	content_type      TEXT    NOT NULL,
	stored_at         INTEGER NOT NULL, -- ms since 1970, UTC
	replayed_at       INTEGER NOT NULL, -- ms since 1970, UTC; 0: never
	replayed_readings INTEGER NOT NULL,
	bytes             BLOB    NOT NULL
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS dead_letters_by_id ON dead_letters (id);
CREATE INDEX IF NOT EXISTS dead_letters_newest ON dead_letters (received_at, id);
CREATE INDEX IF NOT EXISTS dead_letters_by_reason ON dead_letters (reason, received_at, id);
CREATE INDEX IF NOT EXISTS dead_letters_by_device ON dead_letters (device_id, received_at, id);
CREATE INDEX IF NOT EXISTS dead_letters_by_replay ON dead_letters ((replayed_at > 0), received_at, id);
CREATE INDEX IF NOT EXISTS dead_letters_counts ON dead_letters (reason, replayed_at);
CREATE INDEX IF NOT EXISTS dead_letters_oldest ON dead_letters (stored_at);`

// The tables of earlier versions have no client_id, and no principal. That one is counted by triggers of its own time.
const (
	hasClient    = `SELECT count(*) > 0 FROM pragma_table_info('dead_letters') WHERE name = 'client_id'`
	addClient    = `ALTER TABLE dead_letters ADD COLUMN client_id TEXT NOT NULL DEFAULT ''`
	hasPrincipal = `SELECT count(*) > 0 FROM pragma_table_info('dead_letters') WHERE name = 'principal'`
	addPrincipal = `ALTER TABLE dead_letters ADD COLUMN principal TEXT NOT NULL DEFAULT '';
DROP TRIGGER IF EXISTS dead_letters_inserted;
DROP TRIGGER IF EXISTS dead_letters_deleted;`
)

// bytesOf is what a row takes in the file: about 300 bytes without its texts, most of them in indexes (TestRowBytes).
func bytesOf(row string) string {
	sum := "300"
	for _, column := range []string{"reason", "detail", "source", "topic_device_id", "content_type", "client_id", "principal", "bytes"} {
		sum += " + octet_length(" + row + "." + column + ")"
	}
	return sum
}

// What all rows take is counted as they come and go, whoever inserts and deletes them. Tables of earlier versions are
// counted once.
const (
	hasBytes    = `SELECT count(*) > 0 FROM sqlite_schema WHERE name = 'dead_letters_bytes'`
	hasTriggers = `SELECT count(*) > 0 FROM sqlite_schema WHERE name = 'dead_letters_inserted'`
)

var countBytes = `
CREATE TABLE dead_letters_bytes (bytes INTEGER NOT NULL) STRICT;
INSERT INTO dead_letters_bytes SELECT coalesce(sum(` + bytesOf("d") + `), 0) FROM dead_letters d;`

var addTriggers = `
CREATE TRIGGER dead_letters_inserted AFTER INSERT ON dead_letters BEGIN
	UPDATE dead_letters_bytes SET bytes = bytes + ` + bytesOf("NEW") + `;
END;
CREATE TRIGGER dead_letters_deleted AFTER DELETE ON dead_letters BEGIN
	UPDATE dead_letters_bytes SET bytes = bytes - (` + bytesOf("OLD") + `);
END;`

// Prepare creates the tables and indexes where they are missing, and brings those of an earlier version up to date.
func (s *Store) Prepare(ctx context.Context) error {
	err := s.db.Transact(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, schema); err != nil {
			return err
		}
		for _, step := range []struct{ done, do string }{{hasClient, addClient}, {hasPrincipal, addPrincipal}, {hasBytes, countBytes}, {hasTriggers, addTriggers}} {
			var done bool
			if err := tx.QueryRowContext(ctx, step.done).Scan(&done); err != nil {
				return err
			} else if done {
				continue
			}
			if _, err := tx.ExecContext(ctx, step.do); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("create table dead_letters in %s: %w", s.db.Path, err)
	}
	return nil
}

// Check is nil when the file can be read, and has the table.
func (s *Store) Check(ctx context.Context) error { return s.db.Check(ctx, "dead_letters") }

// Close closes the file. It waits for the calls that are running.
func (s *Store) Close() error { return s.db.Close() }
