package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io/fs"
	"time"

	"github.com/pressly/goose/v3"
)

// versionTable records which migrations were run.
const versionTable = "metadata_version"

// prepareTimeout bounds Prepare, with its waiting for other processes. A statement of a migration must be
// done within it, and within what the driver allows a statement to take.
const prepareTimeout = 2 * time.Minute

// Another process that prepares the tables is waited for, and named as the reason after lockPatience.
const (
	lockPatience = 15 * time.Second
	lockPause    = 100 * time.Millisecond // between tries, of which one may take a second
)

var errLocked = errors.New("another process is at it, and has not finished for " + lockPatience.String())

// Prepare creates the tables, or brings them to the version that this program needs.
func (s *Store) Prepare(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, prepareTimeout)
	defer cancel()
	if err := s.Check(ctx); err != nil { // the quick answer of a server that is away or hangs
		return s.wrap("prepare tables", err)
	}
	return s.wrap("prepare tables", s.exclusively(ctx, func() error { return s.migrate(ctx) }))
}

func (s *Store) migrate(ctx context.Context) error {
	files, err := fs.Sub(s.dialect.Migrations, "migrations")
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(s.dialect.Versions, s.write.DB, files,
		goose.WithTableName(versionTable), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	_, err = provider.Up(ctx)
	return err
}

// exclusively runs f while no other process runs it. goose's own locks come too late for an empty database:
// it creates its table of versions before it takes them.
func (s *Store) exclusively(ctx context.Context, f func() error) error {
	if s.dialect.Lock == "" {
		err := f()
		for tries := 1; err != nil && tries < 3; tries++ {
			err = f() // whoever lost a race finds the winner's work done
		}
		return err
	}
	conn, err := s.write.DB.Conn(ctx)
	if err != nil {
		return err
	}
	// The lock is given back by ending the session, which works whatever state it is in.
	defer func() { _ = conn.Raw(func(any) error { return driver.ErrBadConn }) }()
	for began := time.Now(); ; time.Sleep(lockPause) {
		var locked sql.NullInt64
		if err := conn.QueryRowContext(ctx, s.dialect.Lock).Scan(&locked); err != nil {
			return err
		}
		switch {
		case locked.Int64 == 1:
			return f()
		case time.Since(began) > lockPatience:
			return errLocked
		}
	}
}
