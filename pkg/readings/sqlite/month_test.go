package sqlite

import (
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/telltale-iot/telltale/pkg/iot"
	db "github.com/telltale-iot/telltale/pkg/sqlite"
)

// TestVersionOfMonth: the files of the first versions, which had none, come to have one, and those of later versions are
// left alone.
func TestVersionOfMonth(t *testing.T) {
	path := filepath.Join(t.TempDir(), "readings")
	all := everySecond(1, 10)
	version := func(set string) (n int) {
		t.Helper()
		file, err := db.Open(filepath.Join(path, "2026-03.db"))
		if err != nil {
			t.Fatal(err)
		}
		if set != "" {
			if _, err := file.Write.Exec(`PRAGMA user_version = ` + set); err != nil {
				t.Fatal(err)
			}
		}
		if err := file.Read.QueryRow(`PRAGMA user_version`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
		return n
	}
	store, _ := opened(t, path)
	insertAll(t, store, all, iot.Inserted{New: len(all)})
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	if n := version("0"); n != 0 {
		t.Fatalf("the version is %d", n)
	}
	store, _ = opened(t, path)
	insertAll(t, store, all, iot.Inserted{Duplicates: len(all)})
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	if n := version(""); n != monthVersion {
		t.Errorf("the version of a file that had none is %d", n)
	}
	later := version("2")
	_, checked := openStore(t, path).CheckRollups(t.Context(), slog.New(slog.DiscardHandler))
	for _, err := range []error{openStore(t, path).Prepare(t.Context()), checked} {
		if err == nil || !strings.Contains(err.Error(), filepath.Join(path, "2026-03.db")) || !strings.Contains(err.Error(), "later version of Telltale") {
			t.Errorf("the error for a file of a later version is %v", err)
		}
	}
	if n := version(""); n != later {
		t.Errorf("the version of a file of a later version is %d now", n)
	}
}
