package sqlite

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/readings"
	"github.com/telltale-iot/telltale/pkg/readings/readingstest"
	db "github.com/telltale-iot/telltale/pkg/sqlite"
)

// oldVersions are the schemas of the versions that kept all readings in one file, and how many columns each had.
var oldVersions = []struct {
	schema  []string
	columns int
}{
	{[]string{firstSchema}, 8},
	{[]string{firstSchema, additions[0].schema, `CREATE UNIQUE INDEX readings_moved ON readings (device_id, origin) WHERE moved_from IS NOT NULL`}, 10},
	{[]string{firstSchema, additions[0].schema, additions[1].schema, movedIndex}, 11},
	{[]string{firstSchema, additions[0].schema, additions[1].schema, additions[2].schema, movedIndex}, 13},
}

const deadLetters = 5

// writeOld makes an old file of a version that holds the readings which that can keep, and returns them, oldest first. They are
// of some devices, around the ends of a year and a month, and dead letters are beside them.
func writeOld(t *testing.T, path string, version int) (stored []iot.Reading) {
	t.Helper()
	v := oldVersions[version]
	file, err := db.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	exec := func(statement string, args ...any) {
		t.Helper()
		if _, err := file.Write.ExecContext(t.Context(), statement, args...); err != nil {
			t.Fatal(err)
		}
	}
	for _, statement := range append([]string{`PRAGMA auto_vacuum = 0`, `VACUUM`, `CREATE TABLE dead_letters (bytes BLOB)`}, v.schema...) {
		exec(statement)
	}
	for range deadLetters {
		exec(`INSERT INTO dead_letters VALUES (zeroblob(1000))`)
	}
	insert := "INSERT INTO readings VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?"[:len("INSERT INTO readings VALUES (?")+3*(v.columns-1)] + ")"
	for n, around := range []time.Time{time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)} {
		for i := range 36 {
			for device := range iot.DeviceID(3) {
				r := oneOf(1 + device)[0]
				r.At = around.Add(time.Duration(i-18) * 5 * time.Millisecond)
				stamp := r.At
				r.Received = r.At.Add(time.Second)
				r.Metrics = []iot.Metric{{Name: iot.Humidity, Value: math.Copysign(0, -1)}, {Name: iot.Temperature, Value: float64(i)}, {Name: "x.y", Value: 5e-324}}
				r.Attributes = []iot.Attribute{{Name: "room", Value: fmt.Sprint(i)}}
				if v.columns >= 10 && i%3 == 0 {
					r.Stamped, r.Origin = iot.StampServer, uint64(100*n+i+1)
					if i%2 == 0 { // it was moved
						stamp = r.At
						r.At = r.At.Add(time.Millisecond)
						r.Metrics = r.Metrics[:2]
					}
				}
				if v.columns == 13 {
					r.Said = "noon"
				}
				sent := r
				sent.At = stamp
				var values row
				if err := values.fill(&sent, r.At.UnixMilli()); err != nil {
					t.Fatal(err)
				}
				exec(insert, values[:v.columns]...)
				stored = append(stored, r)
			}
		}
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	return stored
}

// listAll lists what store has, oldest first.
func listAll(t *testing.T, store readings.Store) (all []iot.Reading) {
	t.Helper()
	err := store.ScanReadings(t.Context(), iot.ScanQuery{}, func(r *iot.Reading) (bool, error) {
		c := *r
		c.Metrics, c.Attributes = slices.Clone(r.Metrics), slices.Clone(r.Attributes)
		all = append(all, c)
		return true, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// wantAll checks that store lists and counts want, oldest first, and takes each for a duplicate.
func wantAll(t *testing.T, store readings.Store, want []iot.Reading) {
	t.Helper()
	if diff := cmp.Diff(want, listAll(t, store)); diff != "" {
		t.Fatalf("readings (-want +got):\n%.3000s", diff)
	}
	counted := map[iot.DeviceID]int64{}
	for _, r := range want {
		counted[r.Device]++
	}
	counts, err := store.CountReadings(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range counts {
		if c.Count != counted[c.Device] {
			t.Errorf("device %d: %d are counted, want %d", c.Device, c.Count, counted[c.Device])
		}
	}
	if len(counts) != len(counted) {
		t.Errorf("%d devices are counted, want %d", len(counts), len(counted))
	}
}

// copyDir returns a copy of dir as a process that is killed leaves it.
func copyDir(t *testing.T, dir string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

func prepared(t testing.TB, dir string) *Store {
	t.Helper()
	store := openStore(t, filepath.Join(dir, "readings"))
	if err := store.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	store.moveAtOnce = 30
	return store
}

// migrateAll carries out all steps of the migration, and calls after behind each.
func migrateAll(t *testing.T, store *Store, after func()) {
	t.Helper()
	for more := true; more; {
		var err error
		if more, err = store.migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		after()
	}
}

// wantMigrated checks that nothing of the migration is left to do, and that the old file has given back what it does not need.
func wantMigrated(t *testing.T, dir string) {
	t.Helper()
	file, err := db.Open(filepath.Join(dir, "readings.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := file.Close(); err != nil {
			t.Error(err)
		}
	}()
	var tables, letters, free, vacuum int
	err = file.Read.QueryRowContext(t.Context(), `SELECT (SELECT count(*) FROM sqlite_schema WHERE name = 'readings'), (SELECT count(*) FROM dead_letters),
		(SELECT freelist_count FROM pragma_freelist_count), (SELECT auto_vacuum FROM pragma_auto_vacuum)`).Scan(&tables, &letters, &free, &vacuum)
	if err != nil || tables != 0 || letters != deadLetters || free != 0 || vacuum != 2 {
		t.Errorf("the old file has the table %d times, %d dead letters, %d free pages, auto_vacuum %d, %v", tables, letters, free, vacuum, err)
	}
	months, err := filepath.Glob(filepath.Join(dir, "readings", "*.db"))
	if err != nil || len(months) != 3 {
		t.Errorf("the months are %v, %v", months, err)
	}
	for _, month := range months {
		file, err := db.Open(month)
		if err != nil {
			t.Fatal(err)
		}
		if line, err := movedIn(t.Context(), file); err != nil || line != noLine {
			t.Errorf("%s: the line is at %d, %v", month, line, err)
		}
		if err := file.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestMigration moves the file of each earlier version into months. After each step all readings are there, once, also
// for a process that is killed then and starts once more.
func TestMigration(t *testing.T) {
	for version := range oldVersions {
		t.Run(fmt.Sprint("version ", version+1), func(t *testing.T) {
			dir := t.TempDir()
			want := writeOld(t, filepath.Join(dir, "readings.db"), version)
			store := prepared(t, dir)
			wantAll(t, store, want)
			steps := 0
			migrateAll(t, store, func() {
				wantAll(t, store, want)
				steps++
				if steps%3 != 0 && version < len(oldVersions)-1 { // the steps are the same, and take long
					return
				}
				killed := copyDir(t, dir)
				again := prepared(t, killed)
				wantAll(t, again, want)
				if steps%3 == 0 {
					migrateAll(t, again, func() {})
					wantAll(t, again, want)
					wantMigrated(t, killed)
				}
			})
			if steps < 6 {
				t.Errorf("%d steps", steps)
			}
			wantMigrated(t, dir)
			wantAll(t, prepared(t, copyDir(t, dir)), want)
		})
	}
}

// TestInsertWhileMigrating has readings come again, in conflict, to be merged, new ones, and such that displace others, on both
// sides of the line.
func TestInsertWhileMigrating(t *testing.T) {
	dir := t.TempDir()
	want := writeOld(t, filepath.Join(dir, "readings.db"), 3)
	store := prepared(t, dir)
	random := rand.New(rand.NewPCG(1, 1))
	insert := func(r iot.Reading, want iot.Inserted) {
		t.Helper()
		got, err := store.InsertReadings(t.Context(), []iot.Reading{r})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", r, diff)
		}
	}
	migrateAll(t, store, func() {
		for range 8 {
			i := random.IntN(len(want))
			r := want[i]
			if r.Origin != 0 || len(r.Metrics) == 4 {
				continue
			}
			insert(r, iot.Inserted{Duplicates: 1})
			other := r
			other.Attributes = []iot.Attribute{{Name: "room", Value: "another"}}
			insert(other, iot.Inserted{Conflicts: []int{0}})
			more := r
			more.Metrics = []iot.Metric{{Name: "z", Value: 1}}
			insert(more, iot.Inserted{Merged: 1})
			want[i].Metrics = append(slices.Clone(r.Metrics), more.Metrics...)
			late := r
			late.At = r.At.Add(2 * time.Millisecond)
			late.Metrics = want[i].Metrics // it is taken once
			insert(late, iot.Inserted{New: 1})
			want = append(want, late)
		}
		slices.SortFunc(want, func(a, b iot.Reading) int {
			if order := a.At.Compare(b.At); order != 0 {
				return order
			}
			return int(a.Device) - int(b.Device)
		})
		wantAll(t, store, want)
		wantAll(t, prepared(t, copyDir(t, dir)), want)
	})
	wantMigrated(t, dir)
}

// TestMoveOverTheLine has a reading make room twice: in the old file, and when it is in a month, over the line, to the old file.
func TestMoveOverTheLine(t *testing.T) {
	store := openOld(t, start.AddDate(1, 0, 0))
	at := func(device iot.DeviceID, millis time.Duration, value float64) iot.Reading {
		r := oneOf(device)[0]
		r.At, r.Stamped = r.At.Add(millis*time.Millisecond), iot.StampDevice
		r.Metrics[0].Value = value
		return r
	}
	stamped := at(1, 0, 1)
	stamped.Stamped, stamped.Origin = iot.StampServer, 1
	want := []iot.Reading{at(1, 0, 2), at(1, 1, 3), stamped, at(2, 2, 4)}
	want[2].At = stamped.At.Add(2 * time.Millisecond)
	insertAll(t, store, []iot.Reading{stamped, want[0], want[3]}, iot.Inserted{New: 3})
	store.moveAtOnce = 2
	if _, err := store.migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if line := want[3].At.UnixMilli(); store.old == nil || store.old.from != line {
		t.Fatalf("the old file owns %+v, want times from %d on", store.old, line)
	}
	insertAll(t, store, []iot.Reading{want[1]}, iot.Inserted{New: 1})
	wantAll(t, store, want)
	insertAll(t, store, []iot.Reading{stamped}, iot.Inserted{Duplicates: 1})
	migrateAll(t, store, func() { wantAll(t, store, want) })
	insertAll(t, store, []iot.Reading{stamped}, iot.Inserted{Duplicates: 1})
}

// TestInterruptedRemoval ends the removal of the old table between its steps.
func TestInterruptedRemoval(t *testing.T) {
	dir := t.TempDir()
	want := writeOld(t, filepath.Join(dir, "readings.db"), 3)
	store := prepared(t, dir)
	for store.old != nil {
		if _, err := store.migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for name, statements := range map[string][]string{
		"before the table is dropped":      nil,
		"before the file is compacted":     {`DROP TABLE readings`},
		"before the lines are removed":     {`DROP TABLE readings`, `PRAGMA auto_vacuum = 2`, `VACUUM`},
		"and all was empty from the start": {`DELETE FROM readings`},
	} {
		t.Run(name, func(t *testing.T) {
			killed := copyDir(t, dir)
			file, err := db.Open(filepath.Join(killed, "readings.db"))
			if err != nil {
				t.Fatal(err)
			}
			file.Write.SetMaxOpenConns(1)
			for _, statement := range statements {
				if _, err := file.Write.ExecContext(t.Context(), statement); err != nil {
					t.Fatal(err)
				}
			}
			if err := file.Close(); err != nil {
				t.Fatal(err)
			}
			store := prepared(t, killed)
			wantAll(t, store, want)
			migrateAll(t, store, func() { wantAll(t, store, want) })
			wantMigrated(t, killed)
		})
	}
}

// TestHistoryWhileMigrating runs a part of the suite on a store whose old file, which comes to have what is inserted first, is moved
// bit by bit.
func TestHistoryWhileMigrating(t *testing.T) {
	readingstest.RunExact(t, func(t testing.TB) readingstest.Database {
		var last *Store
		path := ""
		return readingstest.Database{
			Open: func(t testing.TB) readings.Store {
				t.Helper()
				if last == nil {
					last = openOld(t, start.AddDate(1, 0, 0))
					path = last.months
				} else {
					var err error
					if last, err = Open(path, Options{Log: last.log}); err != nil {
						t.Fatal(err)
					}
					if err := last.Prepare(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				last.moveAtOnce = 100
				return last
			},
			Maintain: func(t testing.TB, store readings.Store) {
				if _, err := store.(*Store).migrate(t.Context()); err != nil {
					t.Error(err)
				}
			},
		}
	})
}
