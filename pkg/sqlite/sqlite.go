// Package sqlite opens SQLite database files, the same way for every store that is kept in one. It is the
// only package that knows the driver.
//
// A file has one writing connection and several reading ones beside it. The file is in WAL mode, so that
// neither waits for the other, and a committed transaction is on the disk: it survives a power cut. Where a process
// ended while it committed, its transaction is there only if the disk has it. Other writers of the same file, in this
// process or another, are waited for.
//
// When the disk is full or the file cannot be written, calls fail and may be repeated.
package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/telltale-iot/telltale/pkg/pagecache"
	"github.com/telltale-iot/telltale/pkg/timeouts"
)

// DB is an open database file. It is safe for concurrent use.
type DB struct {
	// Write has one connection: its users take turns. Transactions on it are immediate, they hold the
	// right to write from their beginning, so they never fail half-way because another was faster.
	Write *sql.DB
	// Read has several connections, which refuse to write.
	Read *sql.DB
	// Path is that of the file, absolute. Errors of statements do not say it: whoever wraps them does.
	Path string

	// check is one more reading connection, from the first Check on: that many read a file, or are slow readers, does not
	// mean that it cannot be read.
	check func() (*sql.DB, error)

	walBound atomic.Int64 // the size above which BoundWAL acts next
}

// Lower is a function in SQL: its text in lower case. SQLite's own knows ASCII.
const Lower = "unicode_lower"

func init() {
	sqlite.MustRegisterDeterministicScalarFunction(Lower, 1, func(_ *sqlite.FunctionContext, args []driver.Value) (driver.Value, error) {
		if s, ok := args[0].(string); ok {
			return strings.ToLower(s), nil
		}
		return args[0], nil
	})
}

// RegisterPredicate adds a function of two texts to SQL, before the first file is opened.
func RegisterPredicate(name string, holds func(a, b string) bool) {
	sqlite.MustRegisterDeterministicScalarFunction(name, 2, func(_ *sqlite.FunctionContext, args []driver.Value) (driver.Value, error) {
		a, _ := args[0].(string)
		b, _ := args[1].(string)
		return holds(a, b), nil
	})
}

// readers is how many can read a file at the same time: half of them may wait in the middle, for clients that are slow.
const readers = 8

// Open opens the file at path, which it creates when it is missing; its directory must exist.
func Open(path string) (*DB, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	// A process that ended while it committed may have left a transaction in the WAL that is whole and not on the disk.
	// SQLite would take it for committed, and so would whoever finds its rows and has nothing to add to them.
	if err := pagecache.Drop(path + "-wal"); err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	options := url.Values{"_txlock": {"immediate"}}
	// Incremental: pages that are free can be given back. To say so of a file that is so already is a write, for which a
	// connection would wait for others that write, and which they would see.
	if info, err := os.Stat(path); err != nil || info.Size() == 0 {
		options.Set("_auto_vacuum", "2")
	}
	write, err := open(path, 1, options)
	if err != nil {
		return nil, err
	}
	read, err := open(path, readers, url.Values{"_query_only": {"1"}})
	if err != nil {
		return nil, errors.Join(err, write.Close())
	}
	db := &DB{Write: write, Read: read, Path: path, check: sync.OnceValues(func() (*sql.DB, error) {
		return pool(path, 1, url.Values{"_query_only": {"1"}})
	})}
	db.walBound.Store(maxWALBytes)
	return db, nil
}

// pool returns connections to the file at path, which are opened when they are needed.
func pool(path string, connections int, options url.Values) (*sql.DB, error) {
	options.Set("_busy_timeout", strconv.FormatInt(timeouts.SQLiteBusy.Milliseconds(), 10))
	options.Set("_foreign_keys", "1")
	options.Set("_journal_mode", "WAL")
	options.Set("_synchronous", "FULL") // with WAL, NORMAL would lose the last commits in a power cut
	options["_pragma"] = []string{
		fmt.Sprintf("wal_autocheckpoint(%d)", checkpointPages),
		fmt.Sprintf("journal_size_limit(%d)", maxWALBytes),
	}
	options.Set("_error_rc", "1") // else a file that cannot be opened is reported as "out of memory"
	name := url.URL{Scheme: "file", Path: path, RawQuery: options.Encode()}
	connector, err := sqlite.NewConnector(name.String())
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns((connections + 1) / 2) // a connection owns its page cache and its prepared statements
	return db, nil
}

// open returns such connections, of which one is open.
func open(path string, connections int, options url.Values) (*sql.DB, error) {
	db, err := pool(path, connections, options)
	if err != nil {
		return nil, err
	}
	// A file that becomes one with a WAL, or whose last connection just removes it, is not waited for by
	// the busy timeout.
	deadline := time.Now().Add(timeouts.SQLiteBusy)
	for err = db.Ping(); hasCode(err, sqlite3.SQLITE_BUSY) && time.Now().Before(deadline); err = db.Ping() {
		time.Sleep(5 * time.Millisecond)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), db.Close())
	}
	return db, nil
}

// Transact runs do in a transaction on Write, and commits it when do returns nil.
func (db *DB) Transact(ctx context.Context, do func(*sql.Tx) error) (err error) {
	tx, err := db.Write.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() {
		if rollbackErr := tx.Rollback(); !errors.Is(rollbackErr, sql.ErrTxDone) {
			err = errors.Join(err, rollbackErr)
		}
	}()
	if err := do(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// ForEach calls take for each of rows until it wants no more or fails, and closes rows. It takes the error of the
// query too.
func ForEach(rows *sql.Rows, err error, take func() (more bool, err error)) error {
	if err != nil {
		return err
	}
	for more := true; more && err == nil && rows.Next(); {
		more, err = take()
	}
	return errors.Join(err, rows.Err(), rows.Close())
}

// Check is nil when the file can be read, and has the table.
func (db *DB) Check(ctx context.Context, table string) error {
	check, err := db.check()
	if err != nil {
		return err
	}
	var n int
	if err := check.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema WHERE name = ?", table).Scan(&n); err != nil {
		return fmt.Errorf("read schema of %s: %w", db.Path, err)
	}
	if n == 0 {
		return fmt.Errorf("table %s of %s is missing", table, db.Path)
	}
	return nil
}

// Close closes all connections. It waits for the statements that are running.
func (db *DB) Close() error {
	// The last connection to go checkpoints the file and removes its WAL, which a reader could not.
	check, err := db.check()
	if err == nil {
		err = check.Close()
	}
	return errors.Join(err, db.Read.Close(), db.Write.Close())
}

// IsUnique reports whether err is the refusal of a row because a unique value of it is taken.
func IsUnique(err error) bool {
	return hasCode(err, sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY,
		sqlite3.SQLITE_CONSTRAINT_ROWID)
}

// IsForeignKey reports whether err is the refusal of a row because the row it refers to does not exist.
func IsForeignKey(err error) bool { return hasCode(err, sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY) }

// IsMissing reports whether err is about a table or a column that does not exist. SQLite has no code of its own for that.
func IsMissing(err error) bool {
	return hasCode(err, sqlite3.SQLITE_ERROR) &&
		(strings.Contains(err.Error(), "no such table") || strings.Contains(err.Error(), "no such column"))
}

func hasCode(err error, codes ...int) bool {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return false
	}
	for _, code := range codes {
		if e.Code() == code || code == sqlite3.SQLITE_BUSY && e.Code()&0xff == code { // extended codes of it too
			return true
		}
	}
	return false
}
