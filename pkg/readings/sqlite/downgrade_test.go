package sqlite

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
	db "github.com/telltale-iot/telltale/pkg/sqlite"
)

// asEarlierVersion opens the old file in dir as the last of the earlier versions does, which knows its table alone.
func asEarlierVersion(t *testing.T, dir string, do func(insert, replace func(iot.Reading))) {
	t.Helper()
	file, err := db.Open(filepath.Join(dir, "readings.db"))
	if err != nil {
		t.Fatal(err)
	}
	exec := func(statement string, args ...any) {
		t.Helper()
		if _, err := file.Write.Exec(statement, args...); err != nil {
			t.Fatal(err)
		}
	}
	exec(firstSchema)
	var columns int
	if err := file.Read.QueryRow(`SELECT count(*) FROM pragma_table_info('readings')`).Scan(&columns); err != nil {
		t.Fatal(err)
	}
	if columns == oldVersions[0].columns {
		for _, a := range additions {
			exec(a.schema)
		}
	}
	exec(movedIndex)
	write := func(statement string) func(iot.Reading) {
		return func(r iot.Reading) {
			t.Helper()
			var v row
			if err := v.fill(&r, r.At.UnixMilli()); err != nil {
				t.Fatal(err)
			}
			exec(statement, v[:]...)
		}
	}
	do(write(statementsOf(oldTable).insertRow), write(statementsOf(oldTable).replaceRow))
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestEarlierVersionInBetween: an earlier version ran for a while behind this one. It does not know of months, makes its table
// once more, and stores what comes again, and what is new.
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
	fresh := all[0]
	fresh.At = all[0].At.AddDate(0, 0, 7)
	asEarlierVersion(t, dir, func(insert, _ func(iot.Reading)) {
		insert(all[100])
		insert(fresh)
	})
	store = prepared(t, dir)
	wantAll(t, store, all)
	migrateAll(t, store, func() {})
	wantAll(t, store, append(all, fresh))
	if err := store.SealAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	if store.rows != 0 {
		t.Errorf("%d rows are not sealed", store.rows)
	}
}

// TestEarlierVersionWhileMoving: an earlier version runs, and stores readings, while a half of its table has been moved. Nothing
// that either of them has stored is lost, or there twice, also where this one is killed between its steps.
func TestEarlierVersionWhileMoving(t *testing.T) {
	dir := t.TempDir()
	all := writeOld(t, filepath.Join(dir, "readings.db"), 3)
	store := prepared(t, dir)
	for range 4 {
		if _, err := store.migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if store.old == nil || store.old.from <= all[10].At.UnixMilli() || store.old.from > all[len(all)-10].At.UnixMilli() {
		t.Fatalf("the line is not in the middle: %+v", store.old)
	}
	since := everySecond(3, 20) // behind what the old file owns
	insertAll(t, store, since, iot.Inserted{New: len(since)})
	if err := store.SealAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	all = append(all, since...)
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	later := func(i int, d time.Duration) iot.Reading {
		r := all[i]
		r.At, r.Origin, r.Stamped = r.At.Add(d), 0, iot.StampDevice
		return r
	}
	merged := slices.IndexFunc(all, func(r iot.Reading) bool { return r.Origin == 0 })
	more := all[merged]
	more.Metrics = append(slices.Clone(more.Metrics), iot.Metric{Name: "z", Value: 1})
	fresh := []iot.Reading{
		later(0, -time.Hour),                             // before the line
		later(len(all)-len(since)-1, 2*time.Millisecond), // behind it
		later(len(all)-1, -500*time.Millisecond),         // among what months own
		later(len(all)-1, 100*24*time.Hour),              // behind all
	}
	asEarlierVersion(t, dir, func(insert, replace func(iot.Reading)) {
		for _, r := range fresh {
			insert(r)
		}
		insert(since[5]) // which comes again
		replace(more)
	})
	all[merged] = more
	all = append(all, fresh...)
	slices.SortFunc(all, func(a, b iot.Reading) int {
		if n := a.At.Compare(b.At); n != 0 {
			return n
		}
		return int(a.Device - b.Device)
	})
	store = prepared(t, dir)
	steps := 0
	migrateAll(t, store, func() {
		if steps++; steps > 1 { // all that was written is inserted in the first
			wantAll(t, store, all)
		}
		killed := prepared(t, copyDir(t, dir))
		migrateAll(t, killed, func() {})
		wantAll(t, killed, all)
	})
	wantAll(t, store, all)
	if steps < 4 {
		t.Errorf("%d steps", steps)
	}
}
