package sqlite

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// TestRetentionWhileMigrationFails has the file of one month not be made, as on a full disk: a retention is what frees it.
func TestRetentionWhileMigrationFails(t *testing.T) {
	dir := t.TempDir()
	old := writeOld(t, filepath.Join(dir, "readings.db"), 3) // around 1 January and 1 February
	store := kept(t, dir, iot.Retention{Readings: 10 * 24 * time.Hour, MaxBytes: 1 << 20})
	if err := os.Mkdir(filepath.Join(dir, "readings", "2026-02.db"), 0o777); err != nil {
		t.Fatal(err)
	}
	for failed := false; !failed; {
		more, err := store.maintain(t.Context())
		failed = !more && err != nil
	}
	horizon, err := store.Horizon(t.Context())
	if err != nil || horizon.IsZero() {
		t.Errorf("all %d readings are older than 10 days by 36 days, and the horizon is %v", len(old), horizon)
	}
}

// TestInsertsWhileTheHorizonMoves: what is stored just before the horizon moves over it is in the rollups, as all that is removed.
func TestInsertsWhileTheHorizonMoves(t *testing.T) {
	store := kept(t, t.TempDir(), iot.Retention{Readings: 24 * time.Hour})
	hour := now.Truncate(time.Hour).Add(-48 * time.Hour)
	stored := make(chan int)
	first := make(chan bool)
	go func() {
		n := 0
		for i := 0; ; i++ {
			r := oneOf(1)[0]
			r.At = hour.Add(time.Duration(i) * time.Millisecond)
			r.Received = now
			r.Metrics = []iot.Metric{{Name: iot.Temperature, Value: 1}}
			in, err := store.InsertReadings(t.Context(), []iot.Reading{r})
			if err != nil {
				t.Error(err)
			}
			if len(in.TooOld) > 0 || err != nil {
				stored <- n
				return
			}
			if n += in.New; n == 20 {
				close(first)
			}
		}
	}()
	<-first
	if err := store.advance(t.Context(), now.Add(-24*time.Hour).UnixMilli()); err != nil {
		t.Fatal(err)
	}
	n := <-stored
	if rolled := countAll(t, store); int(rolled) != n {
		t.Errorf("%d readings were stored, and %d are in the rollups", n, rolled)
	}
}

// TestHorizonSetBack is the way back where the clock was ahead for longer than the store waits: with the hour of now in the file
// readings are taken again, in months of which only rollups are left too, and the charts of what was removed stay.
func TestHorizonSetBack(t *testing.T) {
	dir := t.TempDir()
	store := kept(t, dir, iot.Retention{Readings: 365 * iot.Day})
	fill(t, store, history(1, 3))
	before := rolledUp(t, store)
	if err := store.advance(t.Context(), now.AddDate(10, 0, 0).UnixMilli()); err != nil {
		t.Fatal(err)
	}
	if err := store.retain(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantAll(t, store, nil)
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	hour := now.Truncate(time.Hour)
	if err := os.WriteFile(filepath.Join(dir, "readings", horizonFile), []byte(now.Format(horizonFormat)), 0o600); err != nil {
		t.Fatal(err)
	}
	store = kept(t, dir, iot.Retention{Readings: 365 * iot.Day})
	var some []iot.Reading
	for i := range 100 {
		r := oneOf(1)[0]
		r.At = hour.Add(time.Duration(i) * 24 * time.Hour)
		some = append(some, r)
	}
	insertAll(t, store, some, iot.Inserted{New: len(some)})
	old := some[0]
	old.At = hour.Add(-time.Millisecond)
	wantTooOld(t, store, []iot.Reading{old})
	if err := store.SealAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantCharts := func(store *Store) {
		t.Helper()
		after := rolledUp(t, store)
		for of, bucket := range before {
			if of.width == iot.Quarter && of.start < hour.UnixMilli() && after[of] != bucket {
				t.Fatalf("%+v has become %+v", bucket, after[of])
			}
		}
	}
	wantCharts(store)
	wantAll(t, store, some)
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	store = kept(t, dir, iot.Retention{Readings: 365 * iot.Day})
	wantAll(t, store, some)
	if err := store.advance(t.Context(), hour.AddDate(0, 2, 0).UnixMilli()); err != nil {
		t.Fatal(err)
	}
	if err := store.retain(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantCharts(store)
	wantAll(t, store, from(some, hour.AddDate(0, 2, 0)))
	if before, after := store.allMonths[2].daysOnly, store.allMonths[5].daysOnly; !before || after {
		t.Errorf("a month before the horizon has rollups alone: %v; one behind it: %v", before, after)
	}
	var blocks int
	db, release, err := store.files.use(store.allMonths[2])
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	if err := db.Read.QueryRow(`SELECT count(*) FROM blocks`).Scan(&blocks); err != nil || blocks > 0 {
		t.Errorf("%d blocks before the horizon are left in a file, %v", blocks, err)
	}
}
