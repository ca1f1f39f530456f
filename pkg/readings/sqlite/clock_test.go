package sqlite

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
)

func TestClock(t *testing.T) {
	const day = 24 * time.Hour
	c := clock{at: now}
	for _, step := range []struct {
		name                string
		elapsed, wall, want time.Duration // since now
	}{
		{"goes on", time.Hour, time.Hour, time.Hour},
		{"goes ahead by some hours", 2 * time.Hour, 20 * time.Hour, 20 * time.Hour},
		{"goes ahead by a year", 3 * time.Hour, 365 * day, 21 * time.Hour},
		{"stays so", 13 * time.Hour, 365*day + 10*time.Hour, 31 * time.Hour},
		{"is set", 14 * time.Hour, 14 * time.Hour, 14 * time.Hour},
		{"goes ahead once more", 15 * time.Hour, 365 * day, 15 * time.Hour},
		{"stays so for nearly a day", 38 * time.Hour, 366 * day, 38 * time.Hour},
		{"stays so for a day", 39 * time.Hour, 366*day + time.Hour, 366*day + time.Hour},
		{"goes on there", 40 * time.Hour, 366*day + 2*time.Hour, 366*day + 2*time.Hour},
		{"is set back", 41 * time.Hour, 41 * time.Hour, 41 * time.Hour},
	} {
		if got := c.now(now.Add(step.wall), step.elapsed).Sub(now); got != step.want {
			t.Errorf("a clock that %s: %v, want %v", step.name, got, step.want)
		}
	}
}

// TestClockFarAhead has the clock of a machine be ten years ahead until it is set: at the start, and while the store is in use.
func TestClockFarAhead(t *testing.T) {
	dir := t.TempDir()
	retention := iot.Retention{Readings: 365 * 24 * time.Hour, Rollups: 730 * 24 * time.Hour, MaxBytes: 1 << 30}
	store := kept(t, dir, retention)
	all := history(1, 24)
	store.clock.at = now
	fill(t, store, all)
	want := rolledUp(t, store)
	check := func(store *Store) {
		t.Helper()
		store.now = func() time.Time { return now.AddDate(10, 0, 0) }
		if err := store.retain(t.Context()); err != nil {
			t.Fatal(err)
		}
		store.now = func() time.Time { return now }
		if err := store.retain(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantAll(t, store, all)
		wantRolledUp(t, store, want)
	}
	check(store)
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	setWritten(t, dir, now)
	store = kept(t, dir, retention)
	check(store)
	check(store)
	r := oneOf(1)[0]
	r.At = now.Add(time.Second)
	insertAll(t, store, []iot.Reading{r}, iot.Inserted{New: 1})
}

// TestClockAtStart has the clock be ahead of when the files were written, whatever the readings in them are of.
func TestClockAtStart(t *testing.T) {
	for name, write := range map[string]func(dir string){
		"months":     func(dir string) { fill(t, prepared(t, dir), history(1, 1)) },
		"an old one": func(dir string) { writeOld(t, filepath.Join(dir, "readings.db"), 3) },
	} {
		dir := t.TempDir()
		write(dir)
		written := now.AddDate(3, 0, 0)
		setWritten(t, dir, written)
		for _, ahead := range []time.Duration{time.Hour, 23 * time.Hour, 25 * time.Hour, 10 * 365 * 24 * time.Hour} {
			store := openStore(t, filepath.Join(dir, "readings"))
			store.retention.Readings = iot.Day
			store.now = func() time.Time { return written.Add(ahead) }
			believed := ahead < maxJump
			if got := store.retentionTime(); got.Equal(written.Add(ahead)) != believed || !believed && got.Sub(written) > time.Hour {
				t.Errorf("%s, %v ahead: the retention counts by %v", name, ahead, got)
			}
		}
	}
}

// setWritten makes all files in dir as if they were written last at a time.
func setWritten(t *testing.T, dir string, at time.Time) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Chtimes(path, at, at))
	})
	if err != nil {
		t.Fatal(err)
	}
}
