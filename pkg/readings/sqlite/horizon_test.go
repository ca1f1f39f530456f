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
