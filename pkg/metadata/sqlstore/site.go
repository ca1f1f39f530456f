package sqlstore

import (
	"context"
	"database/sql"
	"errors"

	"github.com/uptrace/bun"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/timeouts"
)

// The table site has one row. It says whether the database is from before version firstAccessVersion; and whoever changes who
// may do what locks it, so that such changes take turns.

// firstAccessVersion is the first version with tokens and credentials.
const firstAccessVersion = 5

var errNoSite = errors.New("the row of table site is missing")

// markSite makes the table and its row where they are missing. It is no migration: it must come before the first, since a
// database that a program of today has begun to prepare looks like an old one to the next that does.
func (s *Store) markSite(ctx context.Context) error {
	if _, err := s.write.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS site (id INTEGER PRIMARY KEY, moved INTEGER NOT NULL)"); err != nil {
		return err
	}
	marked, err := find(ctx, s.read, scanInt, "SELECT id FROM site")
	if err != nil || len(marked) > 0 {
		return err
	}
	moved, err := s.isOld(ctx)
	if err != nil {
		return err
	}
	_, err = s.write.ExecContext(ctx, "INSERT INTO site (id, moved) VALUES (1, ?)", flag(moved))
	if errors.Is(s.dialect.Meaning(err), iot.ErrConflict) {
		return nil // another process was faster
	}
	return err
}

// isOld reports whether a program of before firstAccessVersion has used the database. Where the versions say that one of today
// has, somebody dropped the table site: nobody gets in by that.
func (s *Store) isOld(ctx context.Context) (bool, error) {
	version, err := s.first(ctx, "SELECT COALESCE(MAX(version_id), 0) FROM "+versionTable)
	if err != nil || version > 0 {
		return version < firstAccessVersion, err
	}
	for _, table := range []string{"users", "devices"} { // the versions alone may have been dropped
		if id, err := s.first(ctx, "SELECT id FROM "+table+" LIMIT 1"); err != nil || id > 0 {
			return true, err
		}
	}
	return false, nil
}

// first returns the number that a query finds, or 0 where it finds none or its table does not exist.
func (s *Store) first(ctx context.Context, query string) (int64, error) {
	n, err := findOne(ctx, s.read, scanInt, query)
	if errors.Is(err, iot.ErrNotFound) || err != nil && errors.Is(s.dialect.Meaning(err), ErrIncomplete) {
		return 0, nil
	}
	return n, err
}

// Moved implements iot.AccessStore.
func (s *Store) Moved(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, timeouts.SQLCall)
	defer cancel()
	moved, err := findOne(ctx, s.read, scanInt, "SELECT moved FROM site WHERE id = 1")
	if errors.Is(err, iot.ErrNotFound) {
		err = errNoSite
	}
	return moved == 1, s.wrap("find whether the site has moved", err)
}

// Settle implements iot.AccessStore.
func (s *Store) Settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, timeouts.SQLCall)
	defer cancel()
	return s.wrap("settle the site", s.transact(ctx, func(ctx context.Context, tx bun.Tx) error {
		settled, err := tx.ExecContext(ctx, "UPDATE site SET moved = 0 WHERE id = 1 AND moved = 1")
		if err := changed(settled, err); err != nil {
			if errors.Is(err, iot.ErrNotFound) {
				return nil
			}
			return err
		}
		return record(ctx, tx, "site.settle", "site", nil, nil)
	}))
}

// lockAccess has others that change who may do what wait until tx ends. It comes after lockIDs, where both are needed, and
// before everything else.
func (s *Store) lockAccess(ctx context.Context, tx bun.Tx) error {
	_, err := findOne(ctx, tx, scanInt, "SELECT id FROM site WHERE id = 1"+s.dialect.ForUpdate)
	if errors.Is(err, iot.ErrNotFound) {
		return errNoSite
	}
	return err
}

func scanInt(rows *sql.Rows, n *int64) error { return rows.Scan(n) }

// flag is a boolean as the databases have it in common.
func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}
