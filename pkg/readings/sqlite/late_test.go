package sqlite

import (
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// late returns a reading with another metric than those of r.
func late(r iot.Reading) iot.Reading {
	r.Metrics = []iot.Metric{{Name: "voltage", Value: 3}}
	return r
}

// TestLateReadingsOfManyHours merges a reading into each of many sealed hours: these become rows, and not all of their hours.
func TestLateReadingsOfManyHours(t *testing.T) {
	path := filepath.Join(t.TempDir(), "readings")
	store, _ := opened(t, path)
	const hours, perHour = 12, 600
	var all, few []iot.Reading
	for h := range hours {
		for _, r := range everySecond(1, perHour) {
			r.At = r.At.Add(time.Duration(h-12) * time.Hour)
			all = append(all, r)
		}
		few = append(few, late(all[h*perHour+7]))
	}
	insertAll(t, store, all, iot.Inserted{New: len(all)})
	if err := store.SealAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := rolledUp(t, store)
	insertAll(t, store, few, iot.Inserted{Merged: hours})
	if rows, blocks := blocksIn(t, path); rows != hours || blocks != hours || store.rows != hours {
		t.Errorf("%d rows and %d blocks, %d in the index, want %d of each", rows, blocks, store.rows, hours)
	}
	for range 2 {
		if n := len(scanAll(t, store)); n != len(all) || countAll(t, store) != int64(n) {
			t.Errorf("%d readings, %d are rolled up, want %d", n, countAll(t, store), len(all))
		}
		insertAll(t, store, few, iot.Inserted{Duplicates: hours})
		if err := store.SealAll(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	got := rolledUp(t, store)
	maps.DeleteFunc(got, func(of rolled, _ iot.Bucket) bool { return of.metric == "voltage" })
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rollups of what was there (-want +got):\n%s", diff)
	}
}

// TestLateReadingsTakeTurns has a call change so many blocks that others come before it has ended.
func TestLateReadingsTakeTurns(t *testing.T) {
	store, _ := opened(t, filepath.Join(t.TempDir(), "readings"))
	const hours, perHour = 40, 100
	store.turnBytes = 100_000 // some 15 blocks of these
	var all, changes []iot.Reading
	for h := range hours {
		for _, r := range everySecond(1, perHour) {
			r.At = r.At.Add(time.Duration(h) * time.Hour)
			all = append(all, r)
		}
		changes = append(changes, late(all[h*perHour+3]))
	}
	insertAll(t, store, all, iot.Inserted{New: len(all)})
	if err := store.SealAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	long, few, short := insertionOf(changes), insertionOf([]iot.Reading{late(all[0]), late(all[len(all)-1])}), insertionOf(oneOf(2))
	store.waiting = []*insertion{long, few, short}
	isDone := func(call *insertion) bool {
		select {
		case <-call.done:
			return true
		default:
			return false
		}
	}
	turn := func() {
		store.turn <- struct{}{}
		store.insertWaiting(t.Context())
		store.endTurn()
	}
	turn()
	if n := hours - len(long.rest); n < hours/4 || n > hours*3/4 || isDone(long) || isDone(short) || isDone(few) {
		t.Errorf("a turn has changed %d blocks", n)
	}
	turn()
	if !isDone(short) || !isDone(few) {
		t.Error("what is short waits for what is long")
	}
	for range hours {
		if !isDone(long) {
			turn()
		}
	}
	if !isDone(long) || len(store.waiting) != 0 {
		t.Fatal("the long one has no end")
	}
	for call, want := range map[*insertion]iot.Inserted{long: {Merged: hours}, short: {New: 1}, few: {Merged: 2}} {
		if diff := cmp.Diff(want, call.result); diff != "" || call.err != nil {
			t.Errorf("%v (-want +got):\n%s", call.err, diff)
		}
	}
	insertAll(t, store, changes, iot.Inserted{Duplicates: hours}) // by whoever calls, to its end
}

// TestBlockIsRewrittenOnce: many readings of a batch that change some blocks, in any order, cost as much as one of each.
func TestBlockIsRewrittenOnce(t *testing.T) {
	store, _ := opened(t, filepath.Join(t.TempDir(), "readings"))
	const devices, perHour = 3, 300
	var all []iot.Reading
	for h := range 2 {
		for _, r := range everySecond(devices, perHour) {
			r.At = r.At.Add(time.Duration(h) * time.Hour)
			all = append(all, r)
		}
	}
	insertAll(t, store, all, iot.Inserted{New: len(all)})
	cost := func(batch []iot.Reading) int {
		t.Helper()
		if err := store.SealAll(t.Context()); err != nil {
			t.Fatal(err)
		}
		w := store.write(t.Context())
		defer w.end()
		if err := w.insert([]*insertion{insertionOf(batch)}); err != nil {
			t.Fatal(err)
		}
		return w.parts[0].blockBytes
	}
	var one, many []iot.Reading
	for i := range all {
		switch n := i % (devices * perHour) / devices; {
		case n == 0:
			one = append(one, late(all[i]))
		case n%10 == 5:
			many = append(many, late(all[i]))
		}
	}
	rand.Shuffle(len(many), func(i, j int) { many[i], many[j] = many[j], many[i] })
	if of, ofMany := cost(one), cost(many); ofMany > of*3/2 || of == 0 {
		t.Errorf("%d readings of %d blocks rewrite %d bytes, one of each %d", len(many), len(one), ofMany, of)
	}
}

// TestManyMonthsTakeTurns: a turn has few files open, of whatever times the readings are.
func TestManyMonthsTakeTurns(t *testing.T) {
	store, _ := opened(t, filepath.Join(t.TempDir(), "readings"))
	var all []iot.Reading
	for m := range 40 {
		r := oneOf(1)[0]
		r.At = r.At.AddDate(0, -m, 0)
		all = append(all, r)
	}
	call := insertionOf(all)
	w := store.write(t.Context())
	store.turn <- struct{}{}
	err := w.insert([]*insertion{call})
	parts := len(w.parts)
	w.end()
	store.endTurn()
	if done := len(all) - len(call.rest); err != nil || parts > maxTurnParts || done < parts-1 {
		t.Errorf("a turn has stored %d readings, and opened %d files, %v", done, parts, err)
	}
	inserted, err := store.InsertReadings(t.Context(), all)
	if err != nil || inserted.New+inserted.Duplicates != len(all) || len(scanAll(t, store)) != len(all) {
		t.Errorf("%+v, %v", inserted, err)
	}
	store.files.mu.Lock()
	defer store.files.mu.Unlock()
	if n := len(store.files.open); n > maxOpen {
		t.Errorf("%d files are open", n)
	}
}

// TestLateReadings has readings come in any order to a store that seals again and again, and to one that does not: they are the same.
func TestLateReadings(t *testing.T) {
	seed := rand.Uint64()
	dice := rand.New(rand.NewPCG(seed, 1))
	sealing, _ := opened(t, filepath.Join(t.TempDir(), "readings"))
	hot, _ := opened(t, filepath.Join(t.TempDir(), "readings"))
	for step := range 40 {
		var batch []iot.Reading
		for range 1 + dice.IntN(60) {
			r := oneOf(iot.DeviceID(1 + dice.IntN(3)))[0]
			// Few places: at the ends of hours and in their midst.
			r.At = r.At.Add(time.Duration(dice.IntN(3))*time.Hour + time.Duration(dice.IntN(40)-20)*time.Millisecond)
			r.Metrics = []iot.Metric{{Name: string(rune('a' + dice.IntN(4))), Value: float64(dice.IntN(2))}}
			r.Stamped = iot.StampDevice
			if dice.IntN(3) == 0 {
				r.Stamped, r.Origin = iot.StampServer, 1+dice.Uint64N(40)
			}
			batch = append(batch, r)
		}
		want, err := hot.InsertReadings(t.Context(), batch)
		if err != nil {
			t.Fatal(err)
		}
		got, err := sealing.InsertReadings(t.Context(), batch)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Fatalf("seed %d, step %d: %v, outcome (-want +got):\n%s", seed, step, err, diff)
		}
		if dice.IntN(2) == 0 {
			if err := sealing.SealAll(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(scanAll(t, hot), scanAll(t, sealing)); diff != "" {
			t.Fatalf("seed %d, step %d: readings (-want +got):\n%.2000s", seed, step, diff)
		}
		if diff := cmp.Diff(rolledUp(t, hot), rolledUp(t, sealing)); diff != "" {
			t.Fatalf("seed %d, step %d: rollups (-want +got):\n%.2000s", seed, step, diff)
		}
		wantCounts, err := hot.CountReadings(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if counts, err := sealing.CountReadings(t.Context()); err != nil || !slices.Equal(wantCounts, counts) {
			t.Fatalf("seed %d, step %d: counts %v, %v, want %v", seed, step, counts, err, wantCounts)
		}
	}
}

// TestLateReadingsBesideADamagedBlock: what a damaged block comes to stays in the rollup of its quarter, which is all there is
// of it, when others of that quarter come, are merged, and are sealed.
func TestLateReadingsBesideADamagedBlock(t *testing.T) {
	dir := t.TempDir()
	store, log := opened(t, filepath.Join(dir, "readings"))
	all := everySecond(1, 600)
	damaged, others := all[:300], all[400:]
	for _, some := range [][]iot.Reading{damaged, others} {
		some[0].Metrics[0].Value, some[1].Metrics[0].Value = -5, 50
	}
	others[0].Metrics[0].Value, others[1].Metrics[0].Value = -7, 70
	insertAll(t, store, damaged, iot.Inserted{New: len(damaged)})
	if err := store.SealAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	inMonth(t, dir, "2026-03", `UPDATE blocks SET data = zeroblob(length(data))`)
	insertAll(t, store, others, iot.Inserted{New: len(others)})
	want := rolledUp(t, store)
	seal := func() {
		t.Helper()
		if err := store.SealAll(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	check := func(what string) {
		t.Helper()
		for _, then := range []func(){func() {}, seal, func() { rebuild(t, dir) }} {
			then()
			if diff := cmp.Diff(want, rolledUp(t, store), sums); diff != "" {
				t.Errorf("%s: rollups (-want +got):\n%s", what, diff)
			}
		}
	}
	check("rows behind the damaged block")
	merged := []iot.Reading{late(others[0]), late(others[1]), late(others[50])}
	insertAll(t, store, merged, iot.Inserted{Merged: len(merged)})
	for of, b := range rolledUp(t, store) {
		if of.metric == "voltage" {
			want[of] = b
		}
	}
	check("merged beside it")
	inMonth(t, dir, "2026-03", `UPDATE days SET data = zeroblob(length(data))`) // it is made anew of the blocks that are left
	again := late(others[60])
	again.Metrics[0].Name = "current"
	insertAll(t, store, []iot.Reading{again}, iot.Inserted{Merged: 1})
	for range 2 {
		if n := countAll(t, store); n != int64(len(others)) {
			t.Errorf("%d readings are rolled up, want %d", n, len(others))
		}
		seal()
	}
	if n := len(scanAll(t, store)); n != len(others) {
		t.Errorf("%d readings are there, want %d", n, len(others))
	}
	if said := log.String(); !strings.Contains(said, "a stored block of readings is damaged") {
		t.Errorf("the log says %q", said)
	}
}

// sums compares buckets but for the last digits of their sums.
var sums = cmp.Comparer(func(a, b float64) bool { return max(a-b, b-a) <= 1e-9*max(1, a, -a) })

// TestDamagedBlockComesAgain: the readings of a damaged block that come again are counted once in charts and in stats.
func TestDamagedBlockComesAgain(t *testing.T) {
	dir := t.TempDir()
	store, _ := opened(t, filepath.Join(dir, "readings"))
	all := everySecond(1, 600)
	insertAll(t, store, all, iot.Inserted{New: len(all)})
	if err := store.SealAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	inMonth(t, dir, "2026-03", `UPDATE blocks SET data = zeroblob(length(data))`)
	insertAll(t, store, all, iot.Inserted{New: len(all)})
	if err := store.SealAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	check := func(store *Store) {
		t.Helper()
		counts, err := store.CountReadings(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if n, rolled := len(scanAll(t, store)), countAll(t, store); n != len(all) || rolled != int64(n) || counts[0].Count != int64(n) {
			t.Errorf("%d readings are there, charts count %d, stats %d, want %d", n, rolled, counts[0].Count, len(all))
		}
	}
	check(store)
	again, _ := opened(t, filepath.Join(dir, "readings"))
	check(again)
}

// TestBurstsThatMeet: the stamps of a burst are ahead of the clock, and those of the next one, of a process that was started
// meanwhile, meet them. In a batch too, the second one goes behind the first.
func TestBurstsThatMeet(t *testing.T) {
	store, _ := opened(t, filepath.Join(t.TempDir(), "readings"))
	var batch []iot.Reading
	for i, r := range slices.Concat(everySecond(1, 40), everySecond(1, 40)) {
		r.At = now.Add(time.Duration(i%40+i/40*20) * time.Millisecond) // the second begins in the middle of the first
		r.Origin, r.Metrics = uint64(i+1), []iot.Metric{{Name: "n", Value: float64(i)}}
		batch = append(batch, r)
	}
	insertAll(t, store, batch, iot.Inserted{New: len(batch)})
	for i, r := range scanAll(t, store) {
		if n, _ := r.Metric("n"); n != float64(i) {
			t.Fatalf("reading %d is n=%v", i, n)
		}
	}
}
