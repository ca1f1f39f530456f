package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/uptrace/bun"
)

// versionTable records which migrations were run.
const versionTable = "metadata_version"

// prepareTimeout bounds Prepare, with its waiting for other processes. A statement of a migration must be
// done within it, and within what the driver allows a statement to take.
const prepareTimeout = 2 * time.Minute

// Another process that prepares the tables is waited for, and named as the reason after lockTimeout.
const (
	lockTimeout = 15 * time.Second
	lockPause   = 100 * time.Millisecond // between tries, of which one may take a second
)

// maxPrepareTries is how often a process tries that may lose the race for a version each time: there are fewer of them.
const maxPrepareTries = 20

var errLocked = errors.New("another process is at it, and has not finished for " + lockTimeout.String())

// Prepare creates the tables, or brings them to the version that this program needs. Tables that were dropped are
// made again. Once it has succeeded it costs a query, until something is missing.
func (s *Store) Prepare(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, prepareTimeout)
	defer cancel()
	err := s.Check(ctx)
	if err == nil && s.prepared.Load() {
		return nil
	}
	if err != nil && !errors.Is(err, ErrIncomplete) { // the quick answer of a server that is away or hangs
		return s.wrap("prepare tables", err)
	}
	if err := s.exclusively(ctx, func() error { return s.migrate(ctx) }); err != nil {
		return s.wrap("prepare tables", err)
	}
	s.prepared.Store(true)
	return nil
}

func (s *Store) migrate(ctx context.Context) error {
	if err := s.markSite(ctx); err != nil {
		return err
	}
	files, err := fs.Sub(s.dialect.Migrations, "migrations")
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(s.dialect.Versions, s.write.DB, files,
		goose.WithTableName(versionTable), goose.WithDisableGlobalRegistry(true),
		goose.WithGoMigrations(
			goose.NewGoMigration(2, addColumn("devices", "key", s.dialect.AddKeys...), nil),
			goose.NewGoMigration(4, addColumn("devices", "offline_after", "ALTER TABLE devices ADD COLUMN offline_after BIGINT"), nil),
			// Each of its own, as MySQL commits them one by one.
			goose.NewGoMigration(6, addColumn("users", "role", "ALTER TABLE users ADD COLUMN role VARCHAR(16) NOT NULL DEFAULT 'viewer'"), nil),
			goose.NewGoMigration(7, addColumn("users", "password_hash", "ALTER TABLE users ADD COLUMN password_hash VARCHAR(255) NOT NULL DEFAULT ''"), nil),
			goose.NewGoMigration(8, addColumn("users", "disabled_at", "ALTER TABLE users ADD COLUMN disabled_at BIGINT"), nil),
			goose.NewGoMigration(9, addColumn("users", "identity", s.dialect.AddIdentities...), nil),
			goose.NewGoMigration(10, addColumn("tokens", "parent", "ALTER TABLE tokens ADD COLUMN parent BIGINT",
				"CREATE INDEX tokens_parent ON tokens (parent)"), nil),
			goose.NewGoMigration(11, addColumn("devices", "shut_out_at", "ALTER TABLE devices ADD COLUMN shut_out_at BIGINT"), nil)))
	if err != nil {
		return err
	}
	if _, err := provider.Up(ctx); err != nil {
		return err
	}
	err = s.complete(ctx)
	if !errors.Is(err, ErrIncomplete) {
		return err
	}
	// What the versions say is there is not: somebody has dropped it.
	if _, err := s.write.ExecContext(ctx, "DELETE FROM "+versionTable+" WHERE version_id > 0"); err != nil {
		return err
	}
	if _, err := provider.Up(ctx); err != nil {
		return err
	}
	return s.adopt(ctx)
}

// addColumn is a migration that runs statements where the table has no such column. It is not in the files of SQL,
// since MySQL and SQLite cannot add a column only where it is missing.
func addColumn(table, column string, statements ...string) *goose.GoFunc {
	return &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
		if there, err := hasColumn(ctx, tx, table, column); err != nil || there {
			return err
		}
		for _, statement := range statements {
			if _, err := tx.ExecContext(ctx, statement); err != nil {
				return err
			}
		}
		return nil
	}}
}

func hasColumn(ctx context.Context, tx *sql.Tx, table, column string) (bool, error) {
	rows, err := tx.QueryContext(ctx, "SELECT * FROM "+table+" WHERE id = 0")
	if err != nil {
		return false, err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	return slices.Contains(columns, column), err
}

// complete is nil when all tables are there, and ErrIncomplete where one is not.
func (s *Store) complete(ctx context.Context) error {
	ids, err := find(ctx, s.read, scanID, "SELECT id FROM users WHERE id = 0 AND role = '' AND password_hash = '' AND disabled_at IS NULL AND identity IS NULL "+
		"UNION ALL SELECT id FROM devices WHERE id = 0 AND devices.key IS NULL AND offline_after IS NULL AND shut_out_at IS NULL "+
		"UNION ALL SELECT device_id FROM device_contacts WHERE device_id = 0 "+
		"UNION ALL SELECT id FROM tokens WHERE id = 0 AND parent IS NULL UNION ALL SELECT id FROM device_credentials WHERE id = 0 "+
		"UNION ALL SELECT id FROM provisioning_keys WHERE id = 0 UNION ALL SELECT id FROM audit WHERE id = 0 "+
		"UNION ALL SELECT id FROM device_ids WHERE id = 1 UNION ALL SELECT id + 1 FROM site WHERE id = 1")
	switch {
	case err == nil && !slices.Contains(ids, 1):
		return fmt.Errorf("%w: %w", ErrIncomplete, errNoIDState)
	case err == nil && !slices.Contains(ids, 2):
		return fmt.Errorf("%w: %w", ErrIncomplete, errNoSite)
	case err != nil && errors.Is(s.dialect.Meaning(err), ErrIncomplete):
		return fmt.Errorf("%w: %w", ErrIncomplete, err)
	default:
		return err
	}
}

// adopt gives the devices whose owners went with the table of users to the default user. Tokens and provisioning keys go as
// their owners did: the next user who has the id of one must not have them.
func (s *Store) adopt(ctx context.Context) error {
	const orphans = "user_id NOT IN (SELECT id FROM users)"
	return s.transact(ctx, func(ctx context.Context, tx bun.Tx) error {
		for _, table := range []string{"tokens", "provisioning_keys"} {
			if _, err := tx.ExecContext(ctx, "DELETE FROM "+table+" WHERE user_id <> 0 AND "+orphans); err != nil {
				return err
			}
		}
		first, err := find(ctx, tx, scanID, "SELECT id FROM devices WHERE "+orphans+" LIMIT 1")
		if err != nil || len(first) == 0 {
			return err
		}
		owner, err := defaultUser(ctx, tx)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "UPDATE devices SET user_id = ? WHERE "+orphans, owner.ID)
		return err
	})
}

// exclusively runs f while no other process runs it. goose's own locks come too late for an empty database:
// it creates its table of versions before it takes them.
func (s *Store) exclusively(ctx context.Context, f func() error) error {
	if s.dialect.Lock == "" {
		err := f()
		for tries := 1; err != nil && tries < maxPrepareTries; tries++ {
			err = f() // whoever lost the race for a version finds the winner's work done
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
		case time.Since(began) > lockTimeout:
			return errLocked
		}
	}
}
