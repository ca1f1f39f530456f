package sqlite

import (
	"path/filepath"
	"testing"

	"github.com/telltale-iot/telltale/pkg/iot"
	db "github.com/telltale-iot/telltale/pkg/sqlite"
)

// An earlier version ran for a while behind this one: it does not know of months, makes its table once more, and stores what
// comes again, and what is new.
func TestEarlierVersionInBetween(t *testing.T) {
	dir := t.TempDir()
	store, _ := opened(t, filepath.Join(dir, "readings"))
	all := everySecond(1, 3600)
	insertAll(t, store, all, iot.Inserted{New: len(all)})
	if err := store.SealAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	file, err := db.Open(filepath.Join(dir, "readings.db"))
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range oldVersions[3].schema {
		if _, err := file.Write.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	fresh := all[0]
	fresh.At = all[0].At.AddDate(0, 0, 7)
	for _, r := range []iot.Reading{all[100], fresh} {
		var v row
		if err := v.fill(&r, r.At.UnixMilli()); err != nil {
			t.Fatal(err)
		}
		if _, err := file.Write.Exec(`INSERT INTO readings VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, v[:]...); err != nil {
			t.Fatal(err)
		}
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	store = prepared(t, dir)
	if got := len(listAll(t, store)); got != len(all) {
		t.Errorf("before they are moved there are %d readings, want %d", got, len(all))
	}
	migrateAll(t, store, func() {})
	if got := len(listAll(t, store)); got != len(all)+1 {
		t.Errorf("when they are moved there are %d readings, want %d", got, len(all)+1)
	}
	if err := store.SealAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	if store.rows != 0 {
		t.Errorf("%d rows are not sealed", store.rows)
	}
}
