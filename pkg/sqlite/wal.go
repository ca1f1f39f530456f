package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/telltale-iot/telltale/pkg/timeouts"
)

const (
	// The WAL is copied into the file when it has this many pages of 4 KiB, which is the default.
	checkpointPages = 1000
	// The size of the WAL above which its readers are waited for, and to which it is cut afterwards.
	maxWALBytes       = 4 * checkpointPages * 4096
	readersWaitMillis = 500
)

// BoundWAL keeps the WAL from growing without end where there is always some reader. Who writes a lot calls
// it after each transaction. It costs a look at the size of a file, and rarely a wait.
//
// SQLite begins the WAL anew when all of it is in the database file and nobody reads it. It copies what no
// reader may still need, but while writing goes on there is always a reader of something older. So the
// writer waits here, for a moment, until the readers have caught up. Readers that take longer than that are
// not waited for again until the WAL has grown as much once more.
func (db *DB) BoundWAL() {
	wal, err := os.Stat(db.Path + "-wal")
	if err != nil || wal.Size() <= db.walBound.Load() {
		return
	}
	bound := wal.Size() + maxWALBytes
	if err := db.restartWAL(context.Background()); err == nil {
		bound = maxWALBytes // to which the next write cuts it
	}
	db.walBound.Store(bound)
}

// idleWAL is for how long nothing has been written to a WAL that is given back to the disk.
const idleWAL = time.Minute

// CutIdleWAL gives the WAL back to the disk where nothing has been written for a while: else it stays as large as it was once
// until Close. Who has many files calls it now and then. It does not wait long for readers.
func (db *DB) CutIdleWAL(ctx context.Context) error {
	wal, err := os.Stat(db.Path + "-wal")
	if err != nil || wal.Size() == 0 || time.Since(wal.ModTime()) < idleWAL {
		return nil
	}
	if err := db.checkpoint(ctx, "TRUNCATE"); err != nil && !errors.Is(err, errReaders) {
		return fmt.Errorf("cut the WAL of %s: %w", db.Path, err)
	}
	return nil
}

var errReaders = errors.New("the WAL still has readers")

// restartWAL copies all of the WAL and waits for its readers, so that the next write begins it anew.
func (db *DB) restartWAL(ctx context.Context) error { return db.checkpoint(ctx, "RESTART") }

// givenBackAtOnce is how many free pages are given back in a transaction, which others wait for: 0.1 s.
const givenBackAtOnce = 2000

// GiveBack gives the pages of the file that are free, and the WAL, back to the disk, and reports whether it got all of them.
// It does not wait long for readers: while there are some a part is left for the next call. A file from before it could
// give pages back keeps them.
func (db *DB) GiveBack(ctx context.Context) (all bool, err error) {
	for before := -1; ; {
		var free int
		if err := db.Read.QueryRowContext(ctx, "PRAGMA freelist_count").Scan(&free); err != nil {
			return false, fmt.Errorf("count free pages of %s: %w", db.Path, err)
		}
		if free == 0 || free == before {
			break
		}
		before = free
		if _, err := db.Write.ExecContext(ctx, fmt.Sprintf("PRAGMA incremental_vacuum(%d)", givenBackAtOnce)); err != nil {
			return false, fmt.Errorf("give back free pages of %s: %w", db.Path, err)
		}
	}
	err = db.checkpoint(ctx, "TRUNCATE")
	if err != nil && !errors.Is(err, errReaders) {
		return false, fmt.Errorf("cut the WAL of %s: %w", db.Path, err)
	}
	return err == nil, nil
}

// checkpoint copies all of the WAL in a mode that waits for its readers.
func (db *DB) checkpoint(ctx context.Context, mode string) error {
	conn, err := db.Write.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // back to the pool
	setTimeout := func(millis int) error {
		_, err := conn.ExecContext(ctx, fmt.Sprintf("PRAGMA busy_timeout = %d", millis))
		return err
	}
	if err := setTimeout(readersWaitMillis); err != nil {
		return err
	}
	var busy bool
	var pages, copied int
	err = conn.QueryRowContext(ctx, "PRAGMA wal_checkpoint("+mode+")").Scan(&busy, &pages, &copied)
	if busy {
		err = errReaders
	}
	return errors.Join(err, setTimeout(int(timeouts.SQLiteBusy.Milliseconds())))
}
