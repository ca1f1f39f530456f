// Package sqlstore keeps users, devices, and who may do what, in an SQL database: the SQL and its transactions, once for all
// databases. What a database does differently is in its Dialect; the packages mysql, postgres and sqlite
// beside this one have one each, with the table definitions.
//
// Queries are SQL text with values put in by bun, which knows how each database writes them. Rows are
// scanned by hand: reading 20 devices through bun's models took half as much CPU time again.
//
// A call that the database does not answer within 10 s fails. A transaction that the database rolled back
// because it was in another's way is repeated. No other error is, since the caller knows better.
//
// What a call holds in memory is bounded by its limit and by what a row may be: iot.MaxDevices ids, or maxAuditRow. The audit
// has a year (iot.AuditRetention); RemoveExpired removes up to removeChunk times removeRounds rows of a table in a call.
package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"sync/atomic"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/schema"

	"github.com/telltale-iot/telltale/pkg/doctor"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/timeouts"
)

// Dialect is what one kind of database does differently.
type Dialect struct {
	SQL      schema.Dialect // how values are written
	Versions goose.Dialect  // how the versions of the tables are recorded
	File     string         // which errors name; "" is a server
	// Migrations has in the folder migrations a file of SQL per version, 00001_name.sql and so on. Each can be
	// run again on tables of any later version: it makes what is missing, and leaves what is there.
	Migrations fs.FS

	// AddKeys are the statements of version 2: they add the column key to the table devices, all or none, unique
	// and compared by its bytes. They are run where there is none.
	AddKeys []string
	// AddIdentities are those of version 9: they add the column identity to the table users, likewise.
	AddIdentities []string

	// Lower, with the name of a column for %s, is its text in lower case, with all letters that the database knows.
	Lower string
	// KeepLater, at the end of an INSERT into device_contacts, has a row that is there take the later last_seen of the two.
	KeepLater string
	// Server is a query for the server's version and its time, and LeastVersion the oldest that does; "" for a file.
	Server, LeastVersion string

	// Lock is a query whose one value is 1 once its session has a lock that no other session has in
	// this database, and that ends with the session. While another has it the query returns another value,
	// within a second or so. Without one (""), each migration must be a transaction that fails
	// when its version is recorded a second time.
	Lock string
	// ForUpdate, at the end of a query, keeps others from changing the rows that it finds, or from
	// referring to them, until the transaction ends. It is "" where transactions take turns anyway.
	ForUpdate string
	// Meaning returns iot.ErrConflict for the refusal of a row because a unique value of it is taken,
	// iot.ErrInvalid because a row that it refers to does not exist, ErrRolledBack where a transaction is
	// to be repeated, ErrIncomplete for a table or a column that does not exist, and nil for every other error.
	Meaning func(error) error
}

// KeepLater is that of a Dialect, but for MySQL.
const KeepLater = " ON CONFLICT (device_id) DO UPDATE SET last_seen = EXCLUDED.last_seen WHERE EXCLUDED.last_seen > device_contacts.last_seen"

// ErrRolledBack means that a transaction was rolled back to let another go on, or for a generated id that a row
// has, and succeeds when it is repeated as often as it takes.
var ErrRolledBack = errors.New("rolled back, to be repeated")

// ErrIncomplete means that a table does not exist, or lacks what must be in it.
var ErrIncomplete = errors.New("a table or a column is missing")

// Store is a metadata store in an SQL database.
type Store struct {
	dialect     Dialect
	read, write *bun.DB
	prepared    atomic.Bool
}

// New returns a store that reads from one pool of connections and writes to another, or the same. The
// store owns the pools.
func New(read, write *sql.DB, d Dialect) *Store {
	offline := noInit{d.SQL}
	return &Store{dialect: d, read: bun.NewDB(read, offline), write: bun.NewDB(write, offline)}
}

// noInit keeps a dialect from asking the server for its version, which may be away when a store is opened.
// What differs between versions is not used here.
type noInit struct{ schema.Dialect }

func (noInit) Init(*sql.DB) {}

// LimitPool sets the limits of a pool of connections to a server. They are few, since a server answers in
// about a millisecond, and do not get old, so that servers behind one name are used evenly, and that a proxy
// in between drops none for being idle.
func LimitPool(db *sql.DB) {
	const connections = 16
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	db.SetConnMaxIdleTime(3 * time.Minute)
	db.SetConnMaxLifetime(30 * time.Minute)
}

// Check is nil when the database answers; of a prepared store, when its tables are there, too.
func (s *Store) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, timeouts.SQLCall)
	defer cancel()
	if !s.prepared.Load() {
		return s.wrap("check metadata store", s.read.PingContext(ctx))
	}
	return s.wrap("check metadata store", s.complete(ctx))
}

// Server asks the server what it is. Of the tables it wants nothing.
func (s *Store) Server(ctx context.Context) (server doctor.Server, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeouts.SQLCall)
	defer cancel()
	err = s.read.QueryRowContext(ctx, s.dialect.Server).Scan(&server.Version, &server.Clock)
	return server, err
}

// LeastVersion is the oldest version of the server that does.
func (s *Store) LeastVersion() string { return s.dialect.LeastVersion }

// Close closes all connections. It waits for the statements that are running.
func (s *Store) Close() error { return errors.Join(s.read.Close(), s.write.Close()) }

// transact runs f in a transaction, again for as long as it is ErrRolledBack. Of its errors those
// with a meaning are iot's; f's own pass unchanged.
func (s *Store) transact(ctx context.Context, f func(ctx context.Context, tx bun.Tx) error) error {
	// The least that all databases have, whatever a server's default is. What must not change between two
	// statements is locked; MySQL's usual level would lock the gaps between rows as well.
	options := &sql.TxOptions{Isolation: sql.LevelReadCommitted}
	for {
		err := s.write.RunInTx(ctx, options, f)
		if err == nil {
			return nil
		}
		meaning := s.dialect.Meaning(err)
		if errors.Is(meaning, ErrRolledBack) {
			continue // ends with ctx: when it is done, no transaction begins
		}
		if meaning != nil {
			return fmt.Errorf("%w: %w", meaning, err)
		}
		return err
	}
}

// find returns all rows of a query, each as scan fills it in.
func find[T any](
	ctx context.Context, db bun.IConn, scan func(*sql.Rows, *T) error, query string, args ...any,
) ([]T, error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var found []T
	for rows.Next() {
		var empty T
		found = append(found, empty)
		if err := scan(rows, &found[len(found)-1]); err != nil {
			return nil, err
		}
	}
	return found, rows.Err()
}

// findOne returns the row of a query that has at most one. ErrNotFound: it has none.
func findOne[T any](
	ctx context.Context, db bun.IConn, scan func(*sql.Rows, *T) error, query string, args ...any,
) (row T, err error) {
	rows, err := find(ctx, db, scan, query, args...)
	if err != nil {
		return row, err
	}
	if len(rows) == 0 {
		return row, iot.ErrNotFound
	}
	return rows[0], nil
}

// changed returns ErrNotFound when a statement about one row found none.
func changed(result sql.Result, err error) error {
	if err != nil {
		return err
	}
	n, err := result.RowsAffected()
	if err == nil && n == 0 {
		return iot.ErrNotFound
	}
	return err
}

// wrap says what was being done when err, if any, happened.
func (s *Store) wrap(doing string, err error) error {
	if err == nil {
		return nil
	}
	if s.dialect.File != "" {
		doing += " in " + s.dialect.File
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// now is the time as the database keeps it.
func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }
