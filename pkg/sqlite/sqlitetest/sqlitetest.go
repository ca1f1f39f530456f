// Package sqlitetest has what the tests of all stores share that are kept in SQLite files.
package sqlitetest

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/telltale-iot/telltale/pkg/sqlite"
)

// Store is what the stores have in common.
type Store interface {
	Prepare(ctx context.Context) error
	Close() error
}

// Prepared prepares what an Open has returned, and closes it when the test ends.
func Prepared[S Store](t testing.TB, store S, err error) S {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := store.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	return store
}

// Content returns what the file at path contains, which open makes, when fill has written to its store.
func Content[S Store](t testing.TB, path string, open func(path string) (S, error), fill func(context.Context, S) error) []byte {
	t.Helper()
	store, err := open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err = store.Prepare(t.Context()); err == nil {
		err = fill(t.Context(), store)
	}
	if err := errors.Join(err, store.Close()); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// RunDamaged expects of calls that their errors name the file, in which nothing but the schema can be read.
func RunDamaged[S Store](t *testing.T, open func(path string) (S, error), calls map[string]func(context.Context, S) error) {
	path := filepath.Join(t.TempDir(), "damaged.db")
	content := Content(t, path, open, func(context.Context, S) error { return nil })
	const page = 4096
	for _, root := range roots(t, path) {
		copy(content[(root-1)*page:], bytes.Repeat([]byte{0xff}, page))
	}
	if err := os.WriteFile(path, content, 0); err != nil {
		t.Fatal(err)
	}
	store, err := open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}()
	for name, call := range calls {
		if err := call(t.Context(), store); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: error %v does not name the file", name, err)
		}
	}
}

// roots returns the pages at which tables and indexes begin.
func roots(t *testing.T, path string) (pages []int) {
	db, err := sqlite.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	rows, err := db.Read.QueryContext(t.Context(), "SELECT rootpage FROM sqlite_schema WHERE rootpage > 0")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var page int
		if err := rows.Scan(&page); err != nil {
			t.Fatal(err)
		}
		pages = append(pages, page)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return pages
}
