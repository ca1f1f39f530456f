package sqlite

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/rollup"
	db "github.com/telltale-iot/telltale/pkg/sqlite"
)

// beside does some work on the store in dir as the commands do, beside the process that has prepared it.
func beside(t *testing.T, dir string, work func(*Store, context.Context, *slog.Logger) (rollup.Checked, error)) rollup.Checked {
	t.Helper()
	store, err := Open(filepath.Join(dir, "readings"), Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	checked, err := work(store, t.Context(), slog.New(slog.DiscardHandler))
	if err := errors.Join(err, store.Close()); err != nil {
		t.Fatal(err)
	}
	return checked
}

func wantChecked(t *testing.T, dir string, days int, differ ...rollup.DeviceHour) rollup.Checked {
	t.Helper()
	checked := beside(t, dir, (*Store).CheckRollups)
	if diff := cmp.Diff(differ, checked.Differ); diff != "" || checked.Days != days {
		t.Errorf("%d days of devices were compared, want %d; hours that differ (-want +got):\n%s", checked.Days, days, diff)
	}
	return checked
}

func rebuild(t *testing.T, dir string) {
	t.Helper()
	beside(t, dir, (*Store).RebuildRollups)
}

// someDays returns of history what is of the 5th to the 9th, and the 20th.
func someDays(devices, n int) []iot.Reading {
	return slices.DeleteFunc(history(devices, n), func(r iot.Reading) bool { return (r.At.Day() < 5 || r.At.Day() > 9) && r.At.Day() != 20 })
}

// inMonth carries out a statement in the file of a month, as somebody does by hand.
func inMonth(t *testing.T, dir, month, statement string, args ...any) {
	t.Helper()
	file, err := db.Open(filepath.Join(dir, "readings", month+".db"))
	if err != nil {
		t.Fatal(err)
	}
	result, err := file.Write.ExecContext(t.Context(), statement, args...)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := result.RowsAffected(); n == 0 || err != nil {
		t.Fatalf("%d rows were changed, %v", n, err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
}

// breakDay has the rollup of a day say that there was one reading in an hour, of 1000.
func breakDay(t *testing.T, dir string, device iot.DeviceID, hour time.Time) {
	t.Helper()
	at := hour.UnixMilli()
	m := []rollup.Metric{{Name: iot.Temperature, Quarters: []iot.Bucket{{Start: at, Count: 1, Sum: 1000, Min: 1000, Max: 1000, First: 1000, Last: 1000, FirstAt: at, LastAt: at}}}}
	day := rollup.Day{Start: rollup.DayOf(at), Metrics: m}
	inMonth(t, dir, hour.Format(monthFormat), replaceDay, int64(device), day.Start, day.AppendBinary(nil))
}

// TestRollups breaks rollups in all ways while the store is open: a check names the hours, and a rebuild makes them what they were.
func TestRollups(t *testing.T) {
	dir := t.TempDir()
	store := kept(t, dir, iot.Retention{})
	if _, err := store.InsertReadings(t.Context(), someDays(2, 3)); err != nil { // of 18 days, 3 hours each
		t.Fatal(err)
	}
	if checked := wantChecked(t, dir, 0); !checked.From.IsZero() {
		t.Errorf("something is rolled up from %v on", checked.From)
	}
	if err := store.sealBefore(t.Context(), now.UnixMilli()); err != nil {
		t.Fatal(err)
	}
	want := rolledUp(t, store)
	checked := wantChecked(t, dir, 2*18)
	from, to := time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC), time.Date(2026, 3, 21, 0, 0, 0, 0, time.UTC)
	if !checked.From.Equal(from) || !checked.To.Equal(to) {
		t.Errorf("from %v to %v are rolled up", checked.From, checked.To)
	}

	day := func(month time.Month, day int) time.Time { return time.Date(2026, month, day, 0, 0, 0, 0, time.UTC) }
	breakDay(t, dir, 1, day(3, 5))
	inMonth(t, dir, "2026-03", `UPDATE days SET data = x'00' WHERE device_id = 2 AND day = ?`, day(3, 6).UnixMilli())
	inMonth(t, dir, "2026-02", deleteDay, 1, day(2, 7).UnixMilli())
	breakDay(t, dir, 1, day(2, 8).Add(5*time.Hour))
	breakDay(t, dir, 9, day(2, 9))
	hours := func(device iot.DeviceID, day time.Time, hours ...int) (all []rollup.DeviceHour) {
		for _, h := range hours {
			all = append(all, rollup.DeviceHour{Device: device, Hour: day.Add(time.Duration(h) * time.Hour)})
		}
		return all
	}
	var differ []rollup.DeviceHour
	for _, some := range [][]rollup.DeviceHour{
		hours(1, day(3, 5), 0, 8, 16), hours(2, day(3, 6), 0, 8, 16), hours(1, day(2, 7), 0, 8, 16), hours(1, day(2, 8), 0, 5, 8, 16), hours(9, day(2, 9), 0),
	} {
		differ = append(differ, some...)
	}
	wantChecked(t, dir, 2*18+1, differ...)
	rebuild(t, dir)
	wantChecked(t, dir, 2*18)
	wantRolledUp(t, store, want)
}

// TestRollupsBeforeHorizon: what a retention has removed is in the rollups alone, which a check takes to be right and a rebuild leaves
// alone, also where it has removed some hours of a day.
func TestRollupsBeforeHorizon(t *testing.T) {
	dir := t.TempDir()
	store := kept(t, dir, iot.Retention{})
	fill(t, store, someDays(2, 6))
	if err := store.sealBefore(t.Context(), now.UnixMilli()); err != nil {
		t.Fatal(err)
	}
	want := rolledUp(t, store)
	store.retention.Readings = 28 * iot.Day // from 20 February, 12 o'clock on
	if err := store.retain(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantRolledUp(t, store, want)

	checked := wantChecked(t, dir, 2*(1+6))
	if horizon := time.Date(2026, 2, 20, 12, 0, 0, 0, time.UTC); !checked.From.Equal(horizon) {
		t.Errorf("it compares from %v on, want the horizon, %v", checked.From, horizon)
	}
	rebuild(t, dir)
	wantRolledUp(t, store, want)

	cut := time.Date(2026, 2, 20, 0, 0, 0, 0, time.UTC)
	inMonth(t, dir, "2026-02", deleteDay, 1, cut.UnixMilli())
	for _, gone := range []int{0, 4, 8} { // which nobody can bring back
		delete(want, rolled{1, iot.Quarter, cut.Add(time.Duration(gone) * time.Hour).UnixMilli(), iot.Temperature})
	}
	delete(want, rolled{1, iot.Day, cut.UnixMilli(), iot.Temperature})
	rebuild(t, dir)
	got := rolledUp(t, store)
	delete(got, rolled{1, iot.Day, cut.UnixMilli(), iot.Temperature}) // of the afternoon
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rollups (-want +got):\n%.2000s", diff)
	}
}

// TestRollupsOfDamagedBlock: readings that cannot be read any more are in the rollup still, and stay there.
func TestRollupsOfDamagedBlock(t *testing.T) {
	dir := t.TempDir()
	store := kept(t, dir, iot.Retention{})
	if _, err := store.InsertReadings(t.Context(), someDays(1, 3)); err != nil {
		t.Fatal(err)
	}
	if err := store.sealBefore(t.Context(), now.UnixMilli()); err != nil {
		t.Fatal(err)
	}
	want := rolledUp(t, store)
	day := time.Date(2026, 3, 5, 0, 0, 0, 0, time.UTC)
	inMonth(t, dir, "2026-03", `UPDATE blocks SET data = x'00' WHERE start = ?`, day.Add(8*time.Hour).UnixMilli())
	wantChecked(t, dir, 18)
	rebuild(t, dir)
	wantRolledUp(t, store, want)
}

// TestRebuildWhileSealing: a rebuild between the steps of a seal is not undone by it.
func TestRebuildWhileSealing(t *testing.T) {
	dir := t.TempDir()
	store := kept(t, dir, iot.Retention{})
	all := everySecond(2, 1200)
	insertAll(t, store, all[:1200], iot.Inserted{New: 1200})
	if err := store.sealBefore(t.Context(), now.UnixMilli()); err != nil {
		t.Fatal(err)
	}
	insertAll(t, store, all[1200:], iot.Inserted{New: 1200})
	want := rolledUp(t, store)
	breakDay(t, dir, 1, start.Add(-5*time.Hour))
	if err := sealWhile(t, store, func() {}, func() { rebuild(t, dir) }); !errors.Is(err, errChanged) {
		t.Errorf("the seal says %v", err)
	}
	wantChecked(t, dir, 2)
	wantRolledUp(t, store, want)
	if err := store.sealBefore(t.Context(), now.UnixMilli()); err != nil {
		t.Error(err)
	}
	wantChecked(t, dir, 2)
	wantRolledUp(t, store, want)
}

// TestRollupsUnderLoad breaks and rebuilds rollups while readings arrive, many of them late, and are sealed.
func TestRollupsUnderLoad(t *testing.T) {
	dir := t.TempDir()
	store := kept(t, dir, iot.Retention{})
	all := someDays(3, 48)
	for _, of := range []int{0, len(all) / 2, len(all) - 1} { // each month has a file
		insertAll(t, store, all[of:of+1], iot.Inserted{New: 1})
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- store.Maintain(ctx) }()
	inserted := make(chan error, 1)
	go func() {
		var err error
		for i := 0; i < len(all) && err == nil; i += 50 {
			late := all[len(all)-1-i/2 : len(all)-i/2] // beside what comes in order
			_, err = store.InsertReadings(ctx, slices.Concat(late, all[i:min(i+50, len(all))]))
		}
		inserted <- err
	}()
	for i, loading := 0, true; loading; i++ {
		select {
		case err := <-inserted:
			if loading = false; err != nil {
				t.Error(err)
			}
		default:
		}
		breakDay(t, dir, 1, all[i*101%len(all)].At.Truncate(time.Hour))
		rebuild(t, dir)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := store.sealBefore(t.Context(), now.UnixMilli()); err != nil {
		t.Fatal(err)
	}
	wantChecked(t, dir, 3*18)
	if readings := len(scanAll(t, store)); readings != len(all) {
		t.Errorf("%d readings, want %d", readings, len(all))
	}
	n := int64(0)
	for of, b := range rolledUp(t, store) {
		if of.width == iot.Day {
			n += b.Count
		}
	}
	if n != int64(len(all)) {
		t.Errorf("%d readings are rolled up, want %d", n, len(all))
	}
}
