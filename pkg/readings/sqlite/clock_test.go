package sqlite

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
)

func TestClock(t *testing.T) {
	const day = 24 * time.Hour
	c := clock{Believed: now}
	for _, step := range []struct {
		name                string
		elapsed, wall, want time.Duration // since now
	}{
		{"goes on", time.Hour, time.Hour, time.Hour},
		{"goes ahead by some hours", 2 * time.Hour, 20 * time.Hour, 20 * time.Hour},
		{"goes ahead by a year", 3 * time.Hour, 365 * day, 21 * time.Hour},
		{"stays so", 13 * time.Hour, 365*day + 10*time.Hour, 31 * time.Hour},
		{"is set", 14 * time.Hour, 14 * time.Hour, 14 * time.Hour},
		{"is right for an hour", 15 * time.Hour, 15 * time.Hour, 15 * time.Hour},
		{"goes ahead once more", 16 * time.Hour, 365 * day, 16 * time.Hour},
		{"stays so for nearly a day", 39 * time.Hour, 366 * day, 39 * time.Hour},
		{"stays so for a day", 40 * time.Hour, 366*day + time.Hour, 366*day + time.Hour},
		{"goes on there", 41 * time.Hour, 366*day + 2*time.Hour, 366*day + 2*time.Hour},
		{"is set back", 42 * time.Hour, 42 * time.Hour, 42 * time.Hour},
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
	store.clock.Believed = now
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

// ran has a store look at the clock every ten minutes for as long as a process runs, and ends that.
func ran(t *testing.T, dir string, wall time.Time, running time.Duration) (counts time.Time) {
	t.Helper()
	store := openStore(t, filepath.Join(dir, "readings"))
	store.retention.Readings = 365 * iot.Day
	for since := time.Duration(0); since <= running; since += 10 * time.Minute {
		store.now = func() time.Time { return wall.Add(since) }
		store.opened = time.Now().Add(-since)
		counts = store.retentionTime()
		if err := store.saveClock(); err != nil {
			t.Fatal(err)
		}
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	return counts
}

// TestClockOverRestarts: a clock that is ahead counts after a day in which processes ran, not sooner, however often they end
// and whatever they store; and one that says 1970 in between is not set.
func TestClockOverRestarts(t *testing.T) {
	for _, running := range []time.Duration{40 * time.Minute, 5 * time.Hour, 30 * time.Hour} {
		dir := t.TempDir()
		fill(t, prepared(t, dir), history(1, 1))
		if got := ran(t, dir, now, time.Hour); got.Sub(now).Abs() > 2*time.Hour {
			t.Fatalf("the retention counts by %v", got)
		}
		var all time.Duration
		wrong := now.AddDate(10, 0, 0)
		for start := wrong; ; start = start.Add(running + time.Hour) {
			ran(t, dir, time.Unix(20, 0), 0)
			got := ran(t, dir, start, running)
			setWritten(t, dir, start)
			if all += running; got.Before(wrong) {
				if got.Sub(now) > 3*24*time.Hour || all > 26*time.Hour {
					t.Fatalf("runs of %v, %v in all: the retention counts by %v", running, all, got)
				}
				continue
			}
			if all < maxJump {
				t.Errorf("runs of %v: the clock counts after %v", running, all)
			}
			break
		}
	}
}

// TestClockSetRight: the wait of one that was set right, shortly before it would have counted, begins anew.
func TestClockSetRight(t *testing.T) {
	dir := t.TempDir()
	fill(t, prepared(t, dir), history(1, 1))
	ran(t, dir, now, 0)
	at := now
	for range 3 {
		ran(t, dir, at.AddDate(10, 0, 0), 23*time.Hour)
		at = at.Add(23 * time.Hour)
		ran(t, dir, at, rightFor)
	}
	if got := ran(t, dir, at.AddDate(10, 0, 0), 23*time.Hour); got.Sub(at) > 2*24*time.Hour {
		t.Errorf("the retention counts by %v", got)
	}
}

// TestClockOfTheLeast: of two times that are far ahead, the earlier one counts.
func TestClockOfTheLeast(t *testing.T) {
	dir := t.TempDir()
	fill(t, prepared(t, dir), history(1, 1))
	ran(t, dir, now, 0)
	right := now.AddDate(0, 6, 0)
	ran(t, dir, right, 13*time.Hour)
	if got := ran(t, dir, now.AddDate(10, 0, 0), 12*time.Hour); got.Sub(right).Abs() > 2*24*time.Hour {
		t.Errorf("the retention counts by %v", got)
	}
}

// TestFirstStart has the clock of a new machine be ten years ahead until it is set: what comes then is not too old, and neither
// is it when the clock is as far ahead at the next start.
func TestFirstStart(t *testing.T) {
	dir := t.TempDir()
	wrong := time.Now().AddDate(10, 0, 0)
	retention := iot.Retention{Readings: 365 * iot.Day}
	look := func(store *Store, at time.Time) {
		t.Helper()
		store.now = func() time.Time { return at }
		if _, err := store.maintain(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	store := kept(t, dir, retention)
	store.clock.Believed = wrong
	look(store, wrong)
	r := oneOf(1)[0]
	r.At = now
	wantTooOld(t, store, []iot.Reading{r})
	r.At = wrong
	insertAll(t, store, []iot.Reading{r}, iot.Inserted{New: 1})
	look(store, wrong)
	look(store, now)
	all := history(1, 1)
	for _, r := range all {
		insertAll(t, store, []iot.Reading{r}, iot.Inserted{New: 1})
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	setWritten(t, dir, wrong)
	store = kept(t, dir, retention)
	look(store, wrong)
	if left := len(listAll(t, store)); left != len(all)+1 {
		t.Errorf("%d readings are left, want %d", left, len(all)+1)
	}
}

// TestClockJumpsWhileRunning: the time that is compared is the clock's, and not what has gone by since the start.
func TestClockJumpsWhileRunning(t *testing.T) {
	store := openStore(t, filepath.Join(t.TempDir(), "readings"))
	if got := store.retentionTime().String(); strings.Contains(got, "m=") {
		t.Errorf("%s does not jump with the clock", got)
	}
}

// TestUnreadableClock is an error that names its file.
func TestUnreadableClock(t *testing.T) {
	dir := t.TempDir()
	fill(t, prepared(t, dir), nil)
	path := filepath.Join(dir, "readings", clockFile)
	if err := os.WriteFile(path, []byte("noon"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(filepath.Join(dir, "readings"), Options{}); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v", err)
	}
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

// TestClockBeforeTheHorizonAtStart: a clock that is before the horizon when the store is opened is not set: when it is set a
// moment later, it counts at once.
func TestClockBeforeTheHorizonAtStart(t *testing.T) {
	dir := t.TempDir()
	fill(t, prepared(t, dir), nil)
	right := time.Now().AddDate(1, 0, 0) // what time.Now says, a year before, is wrong
	horizon := right.AddDate(0, -1, 0).UTC().Format(horizonFormat)
	if err := os.WriteFile(filepath.Join(dir, "readings", horizonFile), []byte(horizon), 0o600); err != nil {
		t.Fatal(err)
	}
	text, _ := right.Add(-time.Hour).MarshalJSON()
	if err := os.WriteFile(filepath.Join(dir, "readings", clockFile), []byte(`{"believed":`+string(text)+`}`), 0o600); err != nil {
		t.Fatal(err)
	}
	store, err := Open(filepath.Join(dir, "readings"), Options{Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Retention: iot.Retention{Readings: 30 * iot.Day}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	if err := store.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	store.now = func() time.Time { return right }
	if got := store.retentionTime(); got.Sub(right).Abs() > time.Minute {
		t.Errorf("the clock is set to %v, an hour after what was believed, and the retention counts by %v", right, got)
	}
}

// TestClockOfAnImage: a machine without a battery that is switched on each morning, has the time of its image until it is set,
// and runs for ten hours. Its readings become too old some day.
func TestClockOfAnImage(t *testing.T) {
	dir := t.TempDir()
	fill(t, prepared(t, dir), history(1, 1))
	ran(t, dir, now, 10*time.Hour)
	image := time.Date(2026, 1, 15, 0, 0, 0, 0, time.UTC)
	var got, right time.Time
	for day := range 30 {
		right = now.AddDate(0, 0, 1+day)
		store := openStore(t, filepath.Join(dir, "readings"))
		store.retention.Readings = 365 * iot.Day
		for since := time.Duration(0); since <= 10*time.Hour; since += 10 * time.Minute {
			store.now = func() time.Time {
				if since == 0 {
					return image
				}
				return right.Add(since)
			}
			store.opened = time.Now().Add(-since)
			got = store.retentionTime()
			if err := store.saveClock(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if behind := right.Sub(got); behind > 4*iot.Day {
		t.Errorf("after a month the retention counts by %v, %v ago", got, behind)
	}
}
