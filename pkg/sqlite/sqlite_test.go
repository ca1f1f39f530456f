package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/telltale-iot/telltale/pkg/sqlite"
	"github.com/telltale-iot/telltale/pkg/timeouts"
)

func open(t *testing.T, path string) *sqlite.DB {
	t.Helper()
	db, err := sqlite.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func exec(t *testing.T, db interface {
	ExecContext(context.Context, string, ...any) (sql.Result, error)
}, statement string, args ...any) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), statement, args...); err != nil {
		t.Fatal(err)
	}
}

func count(t *testing.T, db *sql.DB, table string) (n int) {
	t.Helper()
	if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM "+table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// left returns a file with one row in table t, as a process leaves it that is killed.
func left(t *testing.T) (path string) {
	t.Helper()
	from, to := t.TempDir(), t.TempDir()
	db := open(t, filepath.Join(from, "a.db"))
	exec(t, db.Write, "CREATE TABLE t (n)")
	exec(t, db.Write, "INSERT INTO t VALUES (1)")
	for _, name := range []string{"a.db", "a.db-wal"} {
		content, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(to, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(to, "a.db")
}

func TestOpen(t *testing.T) {
	t.Run("every connection has the settings that the promises rest on", func(t *testing.T) {
		db := open(t, filepath.Join(t.TempDir(), "a.db"))
		for pragma, want := range map[string]string{
			"journal_mode": "wal",
			"synchronous":  "2", // FULL: a commit is on the disk
			"foreign_keys": "1",
			"busy_timeout": "5000",
		} {
			for name, pool := range map[string]*sql.DB{"writer": db.Write, "reader": db.Read} {
				var got string
				if err := pool.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got); err != nil || got != want {
					t.Errorf("%s: %s is %q, %v; want %q", name, pragma, got, err, want)
				}
			}
		}
	})
	t.Run("a path may hold any characters", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "a b?c%20d#e&f=g.db")
		exec(t, open(t, path).Write, "CREATE TABLE t (n)")
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	})
	t.Run("what cannot be opened is named", func(t *testing.T) {
		dir := t.TempDir()
		text := filepath.Join(dir, "text")
		if err := os.WriteFile(text, []byte(strings.Repeat("This is no database. ", 100)), 0o600); err != nil {
			t.Fatal(err)
		}
		for name, path := range map[string]string{
			"a missing directory": filepath.Join(dir, "missing", "a.db"),
			"a directory":         dir,
			"another file":        text,
		} {
			if _, err := sqlite.Open(path); err == nil || !strings.Contains(err.Error(), path) {
				t.Errorf("%s: %v, want an error that names %s", name, err, path)
			}
		}
		if content, err := os.ReadFile(text); err != nil || !strings.HasPrefix(string(content), "This is no database.") {
			t.Errorf("the other file was changed: %v", err)
		}
	})
	t.Run("a new file may be opened by many at once", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "a.db")
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				db, err := sqlite.Open(path)
				if err != nil {
					t.Error(err)
					return
				}
				if err := db.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	})
}

func TestDB(t *testing.T) {
	t.Run("readers refuse to write", func(t *testing.T) {
		db := open(t, filepath.Join(t.TempDir(), "a.db"))
		if _, err := db.Read.ExecContext(t.Context(), "CREATE TABLE t (n)"); err == nil {
			t.Error("a reader created a table")
		}
	})
	t.Run("readers do not wait for a writer and see what is committed", func(t *testing.T) {
		db := open(t, filepath.Join(t.TempDir(), "a.db"))
		exec(t, db.Write, "CREATE TABLE t (n)")
		tx, err := db.Write.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		exec(t, tx, "INSERT INTO t VALUES (1)")
		if n := count(t, db.Read, "t"); n != 0 {
			t.Errorf("%d rows before the commit", n)
		}
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		if n := count(t, db.Read, "t"); n != 1 {
			t.Errorf("%d rows after the commit", n)
		}
	})
	t.Run("writers of one file take turns", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "a.db")
		dbs := []*sqlite.DB{open(t, path), open(t, path)}
		exec(t, dbs[0].Write, "CREATE TABLE t (n)")
		exec(t, dbs[0].Write, "INSERT INTO t VALUES (0)")
		var wg sync.WaitGroup
		for _, db := range dbs {
			for range 2 {
				wg.Go(func() {
					for range 50 {
						if err := increment(t.Context(), db); err != nil {
							t.Error(err)
						}
					}
				})
			}
		}
		wg.Wait()
		var n int
		if err := dbs[1].Read.QueryRowContext(t.Context(), "SELECT n FROM t").Scan(&n); err != nil || n != 200 {
			t.Errorf("counted to %d, %v; want 200", n, err)
		}
	})
	t.Run("a committed transaction is in the files", func(t *testing.T) {
		if n := count(t, open(t, left(t)).Read, "t"); n != 1 {
			t.Errorf("%d rows in the copy", n)
		}
	})
}

// increment adds 1 to the number in t by reading and writing it.
func increment(ctx context.Context, db *sqlite.DB) error {
	tx, err := db.Write.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	var n int
	if err := tx.QueryRowContext(ctx, "SELECT n FROM t").Scan(&n); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "UPDATE t SET n = ?", n+1); err != nil {
		return err
	}
	return tx.Commit()
}

func TestErrors(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "a.db"))
	exec(t, db.Write, `CREATE TABLE parent (id INTEGER PRIMARY KEY, name TEXT UNIQUE);
		CREATE TABLE child (parent INTEGER NOT NULL REFERENCES parent);
		CREATE TABLE pair (a, b, PRIMARY KEY (a, b)) WITHOUT ROWID;
		INSERT INTO parent VALUES (1, 'a');
		INSERT INTO pair VALUES (1, 1);`)
	for statement, want := range map[string]struct{ unique, foreignKey bool }{
		"INSERT INTO parent VALUES (1, 'b')":  {unique: true},
		"INSERT INTO parent VALUES (2, 'a')":  {unique: true},
		"INSERT INTO pair VALUES (1, 1)":      {unique: true},
		"INSERT INTO child VALUES (2)":        {foreignKey: true},
		"INSERT INTO child VALUES (NULL)":     {},
		"INSERT INTO nowhere VALUES (1)":      {},
		"INSERT INTO parent VALUES ('x', '')": {},
	} {
		_, err := db.Write.ExecContext(t.Context(), statement)
		if err == nil || sqlite.IsUnique(err) != want.unique || sqlite.IsForeignKey(err) != want.foreignKey {
			t.Errorf("%s: %v: unique %v, foreign key %v; want %+v",
				statement, err, sqlite.IsUnique(err), sqlite.IsForeignKey(err), want)
		}
	}
	if err := errors.New("another"); sqlite.IsUnique(err) || sqlite.IsForeignKey(err) {
		t.Error("an error of another kind was taken for one of SQLite")
	}
}

// TestCheckDoesNotQueue: a file is there also while as many read it as can.
func TestCheckDoesNotQueue(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "x.db"))
	exec(t, db.Write, "CREATE TABLE t (n INTEGER)")
	for range db.Read.Stats().MaxOpenConnections {
		tx, err := db.Read.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = tx.Rollback() })
	}
	ctx, cancel := context.WithTimeout(t.Context(), timeouts.CheckTimeout)
	defer cancel()
	if err := db.Check(ctx, "t"); err != nil {
		t.Error(err)
	}
}
