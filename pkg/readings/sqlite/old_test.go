package sqlite

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/readings"
	"github.com/telltale-iot/telltale/pkg/readings/readingstest"
	db "github.com/telltale-iot/telltale/pkg/sqlite"
)

// openOld returns a store whose old file, which is empty, owns the times before end.
func openOld(t testing.TB, end time.Time) *Store {
	t.Helper()
	path := filepath.Join(t.TempDir(), "readings")
	file, err := db.Open(path + ".db")
	if err != nil {
		t.Fatal(err)
	}
	owns := fmt.Sprintf(`INSERT INTO moving VALUES (%d)`, end.UnixMilli())
	for _, statement := range append(slices.Clone(oldVersions[3].schema), createMoving, owns) {
		if _, err := file.Write.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	store := openStore(t, path)
	if err := store.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	return store
}

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) // of the suite

// TestStoreWithOldFile runs the suite on readings that the old file owns.
func TestStoreWithOldFile(t *testing.T) {
	readingstest.RunConflicts(t, func(t testing.TB) readings.Store { return openOld(t, start.AddDate(1, 0, 0)) })
}

// TestMovesBetweenFiles has the old file own a part of a run of readings: what moves moves from one file to the other, as it
// does at a month's end.
func TestMovesBetweenFiles(t *testing.T) {
	readingstest.RunConflicts(t, func(t testing.TB) readings.Store { return openOld(t, start.Add(103*time.Millisecond)) })
}
