package sqlite

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/telltale-iot/telltale/pkg/iot"
)

var now = time.Date(2026, 3, 20, 12, 34, 0, 0, time.UTC)

// kept returns a store, its clock at now, that keeps readings for a time.
func kept(t testing.TB, dir string, retention iot.Retention) *Store {
	t.Helper()
	store := prepared(t, dir)
	store.retention, store.now = retention, func() time.Time { return now }
	return store
}

// history returns readings of devices from January on, oldest first: n of each device and day until now.
func history(devices, n int) (all []iot.Reading) {
	for at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC); at.Before(now); at = at.Add(24 * time.Hour / time.Duration(n)) {
		for device := range devices {
			r := oneOf(iot.DeviceID(1 + device))[0]
			r.At, r.Received = at, at
			r.Metrics = []iot.Metric{{Name: iot.Temperature, Value: float64(at.Unix())}}
			all = append(all, r)
		}
	}
	return all
}

// fill inserts all, and seals them but for those of some days.
func fill(t testing.TB, store *Store, all []iot.Reading) {
	t.Helper()
	insert := func(some []iot.Reading) {
		t.Helper()
		for batch := range slices.Chunk(some, 1000) {
			if _, err := store.InsertReadings(t.Context(), batch); err != nil {
				t.Fatal(err)
			}
		}
	}
	isRow := func(r iot.Reading) bool { return r.At.Day()%3 == 0 }
	insert(slices.DeleteFunc(slices.Clone(all), isRow))
	if err := store.sealBefore(t.Context(), now.UnixMilli()); err != nil {
		t.Fatal(err)
	}
	insert(slices.DeleteFunc(slices.Clone(all), func(r iot.Reading) bool { return !isRow(r) }))
}

// from returns those of all that are not older than at.
func from(all []iot.Reading, at time.Time) []iot.Reading {
	i := slices.IndexFunc(all, func(r iot.Reading) bool { return !r.At.Before(at) })
	return all[i:]
}

// du returns what the files of dir take.
func du(t testing.TB, dir string) (n int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		n += info.Size()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// rolled says which bucket one is.
type rolled struct {
	device iot.DeviceID
	width  time.Duration
	start  int64
	metric string
}

// rolledUp returns all buckets.
func rolledUp(t *testing.T, store *Store) map[rolled]iot.Bucket {
	t.Helper()
	all := map[rolled]iot.Bucket{}
	for _, width := range []time.Duration{iot.Quarter, iot.Day} {
		err := store.ReadBuckets(t.Context(), iot.BucketQuery{Width: width}, func(b iot.Buckets) error {
			for _, bucket := range b.Buckets {
				all[rolled{b.Device, width, bucket.Start, b.Metric}] = bucket
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func wantRolledUp(t *testing.T, store *Store, want map[rolled]iot.Bucket) {
	t.Helper()
	if diff := cmp.Diff(want, rolledUp(t, store)); diff != "" {
		t.Errorf("rollups (-want +got):\n%.2000s", diff)
	}
}

func wantTooOld(t *testing.T, store *Store, expired []iot.Reading) {
	t.Helper()
	inserted, err := store.InsertReadings(t.Context(), expired)
	if err != nil || len(inserted.TooOld) != len(expired) || inserted.New+inserted.Merged+inserted.Duplicates+len(inserted.Conflicts) != 0 {
		t.Fatalf("%d expired readings came to %d new, %d duplicates, %d too old, %v", len(expired), inserted.New, inserted.Duplicates, len(inserted.TooOld), err)
	}
}

// TestRetention has readings expire, whole months and a part of one. The process is killed after each step: what is expired is
// gone at once and for good, what is not is all there, and the disk gets its space back.
func TestRetention(t *testing.T) {
	dir := t.TempDir()
	retention := iot.Retention{Readings: 30 * 24 * time.Hour}
	horizon := now.Add(-retention.Readings).Truncate(time.Hour)
	store := kept(t, dir, iot.Retention{})
	all := history(2, 24)
	fill(t, store, all)
	if err := store.retain(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantAll(t, store, all)
	before, rollups := du(t, dir), rolledUp(t, store)

	want := from(all, horizon)
	expired := all[:len(all)-len(want)]
	check := func(name string) {
		t.Helper()
		wantAll(t, store, want)
		wantRolledUp(t, store, rollups)
		wantTooOld(t, store, expired[len(expired)-100:])
		killed := copyDir(t, dir)
		again := kept(t, killed, retention)
		wantAll(t, again, want)
		wantRolledUp(t, again, rollups)
		wantTooOld(t, again, expired[:100])
		if err := again.retain(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantAll(t, again, want)
		wantRolledUp(t, again, rollups)
		share := float64(len(expired)) / float64(len(all))
		if after := du(t, killed); float64(before-after) < 0.9*share*float64(before) {
			t.Errorf("%s: %d bytes are left of %d, where %.0f %% of the readings are expired", name, after, before, 100*share)
		}
	}
	store.retention = retention
	if err := store.advance(t.Context(), horizon.UnixMilli()); err != nil {
		t.Fatal(err)
	}
	check("before anything is removed")
	for _, m := range store.allMonths {
		if m.end <= horizon.UnixMilli() {
			if err := store.replaceMonth(t.Context(), m); err != nil {
				t.Fatal(err)
			}
			check("after a month is removed")
			continue
		}
		db, release, err := store.files.use(m)
		if err != nil {
			t.Fatal(err)
		}
		for more := m.start < horizon.UnixMilli(); more; {
			if more, err = store.removeSome(t.Context(), db, horizon.UnixMilli()); err != nil {
				t.Fatal(err)
			}
		}
		check("after all is removed, before its pages are given back")
		release()
	}
	if err := store.retain(t.Context()); err != nil {
		t.Fatal(err)
	}
	check("at the end")
	if months, err := filepath.Glob(filepath.Join(dir, "readings", "2026-01.db*")); err != nil || len(months) != 0 {
		t.Errorf("January is still there: %v, %v", months, err)
	}

	t.Run("the horizon stays where it is when less is to be removed, or nothing", func(t *testing.T) {
		for _, r := range []iot.Retention{{}, {Readings: 60 * 24 * time.Hour}} {
			again := kept(t, copyDir(t, dir), r)
			if err := again.retain(t.Context()); err != nil {
				t.Fatal(err)
			}
			wantAll(t, again, want)
			wantTooOld(t, again, expired)
		}
	})
	t.Run("rollups go a month at a time when they are too old themselves", func(t *testing.T) {
		for days, first := range map[time.Duration]time.Month{47: time.February, 49: time.January, 48: time.January, 46: time.February} {
			dir := copyDir(t, dir)
			again := kept(t, dir, iot.Retention{Readings: retention.Readings, Rollups: days * 24 * time.Hour})
			if err := again.retain(t.Context()); err != nil {
				t.Fatal(err)
			}
			wantAll(t, again, want)
			got := rolledUp(t, again)
			if len(got) >= len(rollups) != (first == time.January) {
				t.Errorf("kept for %v, %d of %d buckets are left", days*24*time.Hour, len(got), len(rollups))
			}
			for of := range got {
				if start := time.UnixMilli(of.start).UTC(); start.Month() < first {
					t.Errorf("kept for %v, there is one of %v", days*24*time.Hour, start)
				}
			}
		}
	})
	t.Run("nothing is done to a month of which nothing is to be removed", func(t *testing.T) {
		again := kept(t, copyDir(t, dir), retention)
		db, release, err := again.files.use(again.layout[0].part)
		if err != nil {
			t.Fatal(err)
		}
		defer release()
		freeAfter := func(hours time.Duration) (free int) {
			t.Helper()
			again.now = func() time.Time { return now.Add(hours * time.Hour) }
			if err := again.retain(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := db.Read.QueryRow(`PRAGMA freelist_count`).Scan(&free); err != nil {
				t.Fatal(err)
			}
			return free
		}
		freeAfter(0)
		if _, err := db.Write.Exec(`CREATE TABLE t (b BLOB); INSERT INTO t VALUES (zeroblob(100000)); DROP TABLE t`); err != nil {
			t.Fatal(err)
		}
		if freeAfter(0) == 0 {
			t.Error("free pages were given back")
		}
		if n := freeAfter(1); n != 0 {
			t.Errorf("%d free pages are left when something was removed", n)
		}
	})
	t.Run("a horizon that cannot be read is an error that names its file", func(t *testing.T) {
		dir := copyDir(t, dir)
		path := filepath.Join(dir, "readings", horizonFile)
		if err := os.WriteFile(path, []byte("yesterday"), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Open(filepath.Join(dir, "readings"), Options{Log: slog.New(slog.DiscardHandler)})
		if err == nil || !errors.As(err, new(*time.ParseError)) {
			t.Errorf("error %v", err)
		}
	})
}

// TestReadWhileRemoving scans while the horizon moves on hour by hour, over the end of a month: nothing fails, and what is not
// expired at the end of a scan is all in it.
func TestReadWhileRemoving(t *testing.T) {
	store := kept(t, t.TempDir(), iot.Retention{})
	all := history(2, 4)
	fill(t, store, all)
	ctx, stop := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	for _, q := range []iot.ScanQuery{{}, {Newest: true}, {Devices: []iot.DeviceID{2}}} {
		readers.Go(func() {
			for ctx.Err() == nil {
				n := 0
				err := store.ScanReadings(t.Context(), q, func(*iot.Reading) (bool, error) { n++; return true, nil })
				store.state.RLock()
				horizon := store.horizon
				store.state.RUnlock()
				least := len(from(all, time.UnixMilli(horizon)))
				if q.Devices != nil {
					least /= 2
				}
				if err != nil || n < least {
					t.Errorf("%+v: %d readings, %v, want at least %d", q, n, err, least)
					return
				}
			}
		})
	}
	for at := time.Date(2026, 1, 31, 18, 0, 0, 0, time.UTC); at.Hour() != 6; at = at.Add(time.Hour) {
		if err := store.advance(t.Context(), at.UnixMilli()); err != nil {
			t.Fatal(err)
		}
		if _, err := store.removeExpired(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantCount(t, store, len(from(all, at)))
	}
	stop()
	readers.Wait()
}

func wantCount(t *testing.T, store *Store, want int) {
	t.Helper()
	counts, err := store.CountReadings(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, c := range counts {
		n += int(c.Count)
	}
	if n != want {
		t.Errorf("%d readings are counted, want %d", n, want)
	}
}

// TestUnsetClockRemovesNoRollups: a clock that is not set says nothing about what is old; what takes too many bytes then waits.
func TestUnsetClockRemovesNoRollups(t *testing.T) {
	for _, wrong := range []time.Time{time.Unix(100, 0), time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)} {
		store := kept(t, t.TempDir(), iot.Retention{})
		store.clock.Believed = now
		fill(t, store, history(1, 4))
		if err := store.advance(t.Context(), time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC).UnixMilli()); err != nil {
			t.Fatal(err)
		}
		if _, err := store.removeExpired(t.Context()); err != nil {
			t.Fatal(err)
		}
		want := rolledUp(t, store)
		if !store.allMonths[0].daysOnly || len(store.allMonths) < 3 {
			t.Fatal("there is no month of rollups, or only one of readings")
		}
		store.retention.MaxBytes = 1
		store.now = func() time.Time { return wrong }
		t.Log(store.retain(t.Context()))
		if got := rolledUp(t, store); len(got) != len(want) {
			t.Errorf("the clock says %v: %d buckets of rollups are left of %d", wrong, len(got), len(want))
		}
	}
}
