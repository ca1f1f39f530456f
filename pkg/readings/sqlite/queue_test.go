package sqlite

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
	db "github.com/telltale-iot/telltale/pkg/sqlite"
)

func openStore(t testing.TB, path string) *Store {
	t.Helper()
	store, err := Open(path, Options{Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

func oneOf(device iot.DeviceID) []iot.Reading {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	return []iot.Reading{{Device: device, At: at, Received: at, Metrics: []iot.Metric{{Name: iot.Temperature, Value: 20}}}}
}

type answer struct {
	inserted iot.Inserted
	err      error
}

func TestQueue(t *testing.T) {
	path := filepath.Join(t.TempDir(), "readings")
	store := openStore(t, path)
	if err := store.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	insert := func(ctx context.Context, batch []iot.Reading) <-chan answer {
		done := make(chan answer, 1)
		go func() {
			inserted, err := store.InsertReadings(ctx, batch)
			done <- answer{inserted, err}
		}()
		return done
	}
	waiting := func(n int) { // until n calls wait, and one has its turn
		for {
			store.mu.Lock()
			ready := len(store.waiting) == n && len(store.turn) == 1
			store.mu.Unlock()
			if ready {
				return
			}
			runtime.Gosched()
		}
	}
	// Another program writes the file, so that the first call stays at it and others have to wait.
	file, err := db.Open(filepath.Join(path, "2026-03.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	other, err := file.Write.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	first := insert(t.Context(), oneOf(1))
	waiting(0)
	ctx, cancel := context.WithCancel(t.Context())
	batch := oneOf(2)
	leaver := insert(ctx, batch)
	waiting(1)
	var stayers []<-chan answer
	for device := range iot.DeviceID(3) {
		stayers = append(stayers, insert(t.Context(), oneOf(10+device)))
		waiting(2 + int(device))
	}
	cancel()

	t.Run("a call that waits for its turn leaves when its context ends", func(t *testing.T) {
		if got := <-leaver; !errors.Is(got.err, context.Canceled) {
			t.Errorf("%+v, want %v", got, context.Canceled)
		}
		clear(batch) // it is the caller's again
	})
	t.Run("the others are carried out when their turn comes", func(t *testing.T) {
		if err := other.Rollback(); err != nil {
			t.Fatal(err)
		}
		for _, done := range append(stayers, first) {
			if got := <-done; got.err != nil || got.inserted.New != 1 {
				t.Errorf("%+v, want one new", got)
			}
		}
	})
	t.Run("nothing of the one that left is stored", func(t *testing.T) {
		counts, err := store.CountReadings(t.Context())
		if err != nil || len(counts) != 4 || counts[1].Device != 10 {
			t.Errorf("counts %v, %v", counts, err)
		}
	})
}

func TestUnprepared(t *testing.T) {
	store := openStore(t, filepath.Join(t.TempDir(), "readings"))
	if _, err := store.InsertReadings(t.Context(), oneOf(1)); err == nil {
		t.Error("an insert without a table succeeded")
	}
	if _, err := store.FindReadings(t.Context(), iot.ReadingQuery{Limit: 1}); err == nil {
		t.Error("a find without a table succeeded")
	}
	if err := store.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	if inserted, err := store.InsertReadings(t.Context(), oneOf(1)); err != nil || inserted.New != 1 {
		t.Errorf("after Prepare: %+v, %v", inserted, err)
	}
}

func TestQueriesUseTheIndexes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "readings")
	file, err := db.Open(path + ".db")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	for _, statement := range []string{monthSchema, firstSchema, additions[0].schema, additions[1].schema, additions[2].schema, movedIndex, createMoving} {
		if _, err := file.Write.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	rows, old := statementsOf("rows"), statementsOf(oldTable)
	for _, c := range []struct{ query, want string }{
		{rows.countMoved, "SEARCH rows USING COVERING INDEX rows_moved_from (device_id=? AND origin=? AND moved_from=? AND timestamp>? AND timestamp<?)"},
		{rows.selectRow, "SEARCH rows USING PRIMARY KEY (timestamp=? AND device_id=?)"},
		{rows.countRow, "SEARCH rows USING PRIMARY KEY (timestamp=? AND device_id=?)"},
		{rows.selectRows, "SEARCH rows USING PRIMARY KEY (timestamp=? AND device_id=?)\nLIST SUBQUERY 1\nSCAN json_each VIRTUAL TABLE INDEX 1:"},
		{rows.selectRows + " DESC", "SEARCH rows USING PRIMARY KEY (timestamp=? AND device_id=?)\nLIST SUBQUERY 1\nSCAN json_each VIRTUAL TABLE INDEX 1:"},
		{rows.scanOldest, "SEARCH rows USING PRIMARY KEY ((timestamp,device_id)>(?,?) AND (timestamp,device_id)<(?,?))"},
		{rows.scanNewest, "SEARCH rows USING PRIMARY KEY ((timestamp,device_id)>(?,?) AND (timestamp,device_id)<(?,?))"},
		{old.countMoved, "SEARCH readings USING COVERING INDEX readings_moved_from (device_id=? AND origin=? AND moved_from=? AND timestamp>? AND timestamp<?)"},
		{old.scanNewest, "SEARCH readings USING PRIMARY KEY ((timestamp,device_id)>(?,?) AND (timestamp,device_id)<(?,?))"},
		{oldOfDevice, "SEARCH readings USING INDEX readings_by_device (device_id=? AND timestamp>? AND timestamp<?)"},
		{oldOfDevice + " DESC", "SEARCH readings USING INDEX readings_by_device (device_id=? AND timestamp>? AND timestamp<?)"},
		{selectWritten, "SEARCH readings USING PRIMARY KEY (timestamp=? AND device_id=?)\nLIST SUBQUERY 3\nSEARCH written USING INTEGER PRIMARY KEY (rowid<?)"},
		{oldCounts, "SCAN readings USING COVERING INDEX readings_by_device"},
	} {
		if plan := plan(t, file, c.query); plan != c.want {
			t.Errorf("the plan for %s is\n%s, want\n%s", c.query, plan, c.want)
		}
	}
}

// firstSchema is that of the first version.
const firstSchema = `CREATE TABLE IF NOT EXISTS readings (
		timestamp        INTEGER NOT NULL,
		device_id        INTEGER NOT NULL,
		received_at      INTEGER NOT NULL,
		timestamp_source INTEGER NOT NULL,
		temperature      ANY,
		humidity         ANY,
		metrics          TEXT,
		attributes       TEXT,
		PRIMARY KEY (timestamp, device_id)
	) STRICT, WITHOUT ROWID;
	CREATE INDEX IF NOT EXISTS readings_by_device ON readings (device_id, timestamp);`

// plan returns how SQLite carries query out, a step per line.
func plan(t *testing.T, file *db.DB, query string) string {
	t.Helper()
	arguments := make([]any, strings.Count(query, "?"))
	rows, err := file.Read.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+query, arguments...)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	var steps []string
	for rows.Next() {
		var id, parent, unused int
		var step string
		if err := rows.Scan(&id, &parent, &unused, &step); err != nil {
			t.Fatal(err)
		}
		steps = append(steps, step)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return strings.Join(steps, "\n")
}
