package sqlite

import (
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// sealWhile seals the slice with all that there is, and calls meanwhile when it has been read, and when the blocks are made. It
// returns the error of what is written then.
func sealWhile(t *testing.T, store *Store, meanwhile ...func()) error {
	t.Helper()
	ctx := t.Context()
	store.turn <- struct{}{}
	sl := store.firstSlice(store.layout[0], store.layout[0].from, store.layout[0].until)
	store.slice = sl
	store.endTurn()
	rows, until, err := store.readSlice(ctx, sl)
	if err != nil {
		t.Fatal(err)
	}
	meanwhile[0]()
	devices := []iot.DeviceID{}
	for device := range rows {
		devices = append(devices, device)
	}
	slices.Sort(devices)
	some, n, err := store.prepareSealed(ctx, sl, devices, rows)
	if err != nil || n != len(devices) {
		t.Fatal(n, err)
	}
	meanwhile[1]()
	err = store.writeSealed(ctx, sl, until, some)
	store.slice = nil
	return err
}

// TestInsertsWhileSealing has readings come while the rows of their hour are made into blocks, which does not keep them waiting:
// none is lost, none is there twice, and those whose device they are not of are sealed.
func TestInsertsWhileSealing(t *testing.T) {
	const devices = 6
	for _, step := range []int{0, 1} {
		path := filepath.Join(t.TempDir(), "readings")
		store, _ := opened(t, path)
		all := everySecond(devices, 1200) // device 6 is left alone
		for i := range all {
			if all[i].Device == 4 && i < 600*devices {
				all[i].Origin = uint64(i + 1)
				all[i].Stamped = iot.StampServer
			}
		}
		sealed, rows := all[:600*devices], all[600*devices:]
		insertAll(t, store, sealed, iot.Inserted{New: len(sealed)})
		if err := store.SealAll(t.Context()); err != nil {
			t.Fatal(err)
		}
		insertAll(t, store, rows, iot.Inserted{New: len(rows)})
		of := func(device iot.DeviceID, i int) iot.Reading { // a copy of the one at that second
			r := all[i*devices+int(device)-1]
			r.Metrics = slices.Clone(r.Metrics)
			return r
		}
		fresh, merged, unsealed, own, fifth := of(1, 700), of(2, 800), of(3, 100), of(4, 100), of(5, 900)
		fresh.At = fresh.At.Add(time.Millisecond) // between rows
		merged.Metrics = []iot.Metric{{Name: "voltage", Value: 1}}
		unsealed.Metrics = []iot.Metric{{Name: "voltage", Value: 2}} // in a block that is to be replaced
		own.Origin, own.Stamped = 0, iot.StampDevice                 // the one there makes room
		own.Metrics = []iot.Metric{{Name: iot.Temperature, Value: 77}}
		meanwhile := [2]func(){func() {}, func() {}}
		meanwhile[step] = func() {
			insertAll(t, store, []iot.Reading{fresh, merged, unsealed, own, fifth}, iot.Inserted{New: 2, Merged: 2, Duplicates: 1})
		}
		if err := sealWhile(t, store, meanwhile[0], meanwhile[1]); err != nil {
			t.Fatal(err)
		}
		for device, want := range map[iot.DeviceID]bool{1: true, 2: true, 3: true, 4: true, 5: false, 6: false} {
			if got := len(store.hot.between(device, math.MinInt64, math.MaxInt64)) > 0; got != want {
				t.Errorf("step %d: device %d has rows: %v, want %v", step, device, got, want)
			}
		}
		want := scanAll(t, store)
		if len(want) != len(all)+2 {
			t.Errorf("step %d: %d readings, want %d", step, len(want), len(all)+2)
		}
		check := func() {
			t.Helper()
			if diff := cmp.Diff(want, scanAll(t, store)); diff != "" {
				t.Errorf("step %d: readings (-want +got):\n%.2000s", step, diff)
			}
			if counts := countAll(t, store); counts != int64(len(want)) {
				t.Errorf("step %d: %d are rolled up, want %d", step, counts, len(want))
			}
		}
		check()
		if err := store.SealAll(t.Context()); err != nil {
			t.Fatal(err)
		}
		check()
		if rows, blocks := blocksIn(t, path); rows != 0 || blocks != devices || store.rows != 0 {
			t.Errorf("step %d: %d rows and %d blocks, %d in the index", step, rows, blocks, store.rows)
		}
		insertAll(t, store, []iot.Reading{fresh, merged, unsealed, own, fifth}, iot.Inserted{Duplicates: 5})
	}
}

// countAll counts temperatures by the rollups of days.
func countAll(t *testing.T, store *Store) (n int64) {
	t.Helper()
	err := store.ReadBuckets(t.Context(), iot.BucketQuery{SampleQuery: iot.SampleQuery{Metrics: []string{iot.Temperature}}, Width: iot.Day}, func(b iot.Buckets) error {
		for _, b := range b.Buckets {
			n += b.Count
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestUnsealable: the rows of a device's hour that no block can have stay, and are not read again until others come; those of
// other devices and hours are sealed.
func TestUnsealable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "readings")
	store, log := opened(t, path)
	all := everySecond(3, 100)
	for _, r := range all {
		r.At = r.At.Add(time.Hour)
		all = append(all, r)
	}
	all[4].Metrics = []iot.Metric{{Name: "", Value: 1}} // of device 2
	insertAll(t, store, all, iot.Inserted{New: len(all)})
	for range 2 {
		if err := store.SealAll(t.Context()); err != nil {
			t.Fatal(err)
		}
		if rows, blocks := blocksIn(t, path); rows != 100 || blocks != 5 {
			t.Errorf("%d rows and %d blocks, want 100 and 5", rows, blocks)
		}
		if diff := cmp.Diff(all, scanAll(t, store)); diff != "" {
			t.Errorf("readings (-want +got):\n%s", diff)
		}
		if sl := store.firstSlice(store.layout[0], store.layout[0].from, store.layout[0].until); sl != nil {
			t.Errorf("what cannot be sealed is to be read again: %+v", sl)
		}
	}
	if said := log.String(); strings.Count(said, "is not sealed") != 1 || !strings.Contains(said, "device_id=2") || !strings.Contains(said, "2026-03.db") {
		t.Errorf("the log says %q", said)
	}
	late := all[0]
	late.Device, late.At = 2, late.At.Add(time.Millisecond)
	insertAll(t, store, []iot.Reading{late}, iot.Inserted{New: 1})
	if sl := store.firstSlice(store.layout[0], store.layout[0].from, store.layout[0].until); sl == nil || sl.left[2] {
		t.Errorf("when something has come it is not tried again: %+v", sl)
	}
}

// TestSliceIsBounded: what is sealed at once is bounded in rows of all devices and of one.
func TestSliceIsBounded(t *testing.T) {
	store, _ := opened(t, filepath.Join(t.TempDir(), "readings"))
	at := start.UnixMilli()
	owner := span{&part{}, at, at + blockHour}
	for i := range int64(3 * maxDeviceRows) {
		store.hot[1] = append(store.hot[1], at+i*10)
	}
	sl := store.firstSlice(owner, owner.from, owner.until)
	if n := len(store.hot.between(1, sl.from, sl.until)); n > maxDeviceRows || n < maxDeviceRows/4 {
		t.Errorf("%d rows of a device at once", n)
	}
	const devices = 300
	for device := range iot.DeviceID(devices) {
		store.hot[1+device] = nil
		for i := range int64(2 * maxSliceRows / devices) {
			store.hot[1+device] = append(store.hot[1+device], at+i*100)
		}
	}
	sl = store.firstSlice(owner, owner.from, owner.until)
	total := 0
	for device := range store.hot {
		total += len(store.hot.between(device, sl.from, sl.until))
	}
	if total > maxSliceRows || total < maxSliceRows/4 {
		t.Errorf("%d rows at once", total)
	}
}

// TestAllIsTouched has readings come of all devices whose blocks are written together: those of other devices stay in the index
// of rows.
func TestAllIsTouched(t *testing.T) {
	path := filepath.Join(t.TempDir(), "readings")
	store, _ := opened(t, path)
	all := everySecond(2, 10)
	insertAll(t, store, all, iot.Inserted{New: len(all)})
	sl := store.firstSlice(store.layout[0], store.layout[0].from, store.layout[0].until)
	store.slice = sl
	rows, until, err := store.readSlice(t.Context(), sl)
	if err != nil {
		t.Fatal(err)
	}
	some, _, err := store.prepareSealed(t.Context(), sl, []iot.DeviceID{1}, rows)
	if err != nil {
		t.Fatal(err)
	}
	fresh := all[0]
	fresh.At = fresh.At.Add(time.Millisecond)
	insertAll(t, store, []iot.Reading{fresh}, iot.Inserted{New: 1})
	if err := store.writeSealed(t.Context(), sl, until, some); err != nil {
		t.Fatal(err)
	}
	store.slice = nil
	if rows, _ := blocksIn(t, path); rows != 21 || store.rows != 21 || store.hot.len() != 21 {
		t.Errorf("%d rows, and %d in the index, want 21", rows, store.rows)
	}
}

// TestTimesWithoutRows: times of rows that were not committed are forgotten.
func TestTimesWithoutRows(t *testing.T) {
	store, _ := opened(t, filepath.Join(t.TempDir(), "readings"))
	all := everySecond(2, 10)
	insertAll(t, store, all, iot.Inserted{New: len(all)})
	store.hot[2] = append(store.hot[2], start.Add(30*time.Minute).UnixMilli())
	store.hot[3] = []int64{start.Add(2 * time.Hour).UnixMilli()}
	for range 2 {
		if err := store.SealAll(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if len(store.hot) != 0 || store.rows != 0 {
		t.Errorf("the index has %v", store.hot)
	}
}

// TestFewBlocksAreReplaced: late readings have those blocks made anew that they lie in, and not what is between.
func TestFewBlocksAreReplaced(t *testing.T) {
	store, _ := opened(t, filepath.Join(t.TempDir(), "readings"))
	all := everySecond(1, 60_000)
	for i := range all {
		all[i].At = start.Add(time.Duration(i) * 50 * time.Millisecond)
	}
	insertAll(t, store, all, iot.Inserted{New: len(all)})
	if err := store.SealAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, i := range []int{10, 59_990} {
		late := all[i]
		late.At = late.At.Add(time.Millisecond)
		insertAll(t, store, []iot.Reading{late}, iot.Inserted{New: 1})
	}
	sl := store.firstSlice(store.layout[0], store.layout[0].from, store.layout[0].until)
	rows, _, err := store.readSlice(t.Context(), sl)
	if err != nil {
		t.Fatal(err)
	}
	some, _, err := store.prepareSealed(t.Context(), sl, []iot.DeviceID{1}, rows)
	if err != nil {
		t.Fatal(err)
	}
	var replaced []int64
	for _, b := range some[0].replaced {
		replaced = append(replaced, b.start)
	}
	if len(replaced) != 2 || replaced[0] != start.UnixMilli() || len(some[0].same) == 0 {
		t.Errorf("blocks from %d are replaced, and %d stay", replaced, len(some[0].same))
	}
	if err := store.SealAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(scanAll(t, store)); n != len(all)+2 || countAll(t, store) != int64(n) {
		t.Errorf("%d readings, %d are rolled up", n, countAll(t, store))
	}
}
