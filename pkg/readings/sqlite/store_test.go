package sqlite_test

import (
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/readings"
	"github.com/telltale-iot/telltale/pkg/readings/readingstest"
	"github.com/telltale-iot/telltale/pkg/readings/sqlite"
	db "github.com/telltale-iot/telltale/pkg/sqlite"
	"github.com/telltale-iot/telltale/pkg/sqlite/sqlitetest"
)

func open(t testing.TB) readings.Store {
	t.Helper()
	return openAt(t, filepath.Join(t.TempDir(), "readings"))
}

func openAt(t testing.TB, path string) readings.Store {
	t.Helper()
	store, err := sqlite.Open(path, sqlite.Options{Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	return sqlitetest.Prepared(t, store, err)
}

func TestStore(t *testing.T) { readingstest.Run(t, open) }

func TestHistory(t *testing.T) {
	readingstest.RunHistory(t, func(t testing.TB) readingstest.Database {
		path := filepath.Join(t.TempDir(), "readings")
		return readingstest.Database{
			Open: func(t testing.TB) readings.Store {
				t.Helper()
				store, err := sqlite.Open(path, sqlite.Options{Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
				if err != nil {
					t.Fatal(err)
				}
				if err := store.Prepare(t.Context()); err != nil {
					t.Fatal(err)
				}
				return store
			},
			Maintain: func(t testing.TB, store readings.Store) {
				t.Helper()
				if err := store.(*sqlite.Store).SealAll(t.Context()); err != nil {
					t.Error(err)
				}
			},
		}
	})
}

func BenchmarkStore(b *testing.B) { readingstest.Benchmark(b, open) }

// execute writes to a file as an earlier version did.
func execute(t *testing.T, path string, statements ...string) {
	t.Helper()
	file, err := db.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range statements {
		if _, err := file.Write.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
}

// firstTable is that of the first version.
const firstTable = `CREATE TABLE IF NOT EXISTS readings (
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

// TestEarlierFile: a file that an earlier version wrote is brought up to date, with what is in it.
func TestEarlierFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "readings")
	execute(t, path+".db", firstTable, `INSERT INTO readings VALUES (1000, 1, 1007, 2, 20.5, NULL, '{"x":1}', '{"site":"roof"}')`)
	old := iot.Reading{
		Device: 1, At: time.UnixMilli(1000).UTC(), Received: time.UnixMilli(1007).UTC(), Stamped: iot.StampServer,
		Metrics:    []iot.Metric{{Name: iot.Temperature, Value: 20.5}, {Name: "x", Value: 1}},
		Attributes: []iot.Attribute{{Name: "site", Value: "roof"}},
	}
	again, other := old, old
	again.Origin, other.Origin = 1, 2
	other.Attributes = nil
	for range 2 { // the second start finds it up to date
		store := openAt(t, path)
		if _, err := store.InsertReadings(t.Context(), []iot.Reading{old, again, other}); err != nil {
			t.Fatal(err)
		}
		page, err := store.FindReadings(t.Context(), iot.ReadingQuery{Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		moved := other
		moved.At = time.UnixMilli(1001).UTC()
		if diff := cmp.Diff([]iot.Reading{moved, old}, page.Readings); diff != "" {
			t.Errorf("readings (-want +got):\n%s", diff)
		}
	}
}

// TestFileFromBeforeKeys: a row whose checksum is of fewer columns is as it was, and there is room for the new ones.
func TestFileFromBeforeKeys(t *testing.T) {
	path := filepath.Join(t.TempDir(), "readings")
	execute(t, path+".db", firstTable,
		`ALTER TABLE readings ADD COLUMN origin INTEGER`, `ALTER TABLE readings ADD COLUMN moved_from INTEGER`, `ALTER TABLE readings ADD COLUMN checksum INTEGER`,
		`CREATE UNIQUE INDEX readings_moved_from ON readings (device_id, origin, moved_from) WHERE moved_from IS NOT NULL`,
		`INSERT INTO readings VALUES (1000, 1, 1007, 2, 20.5, NULL, '{"x":1}', '{"site":"roof"}', 5, NULL, 1091710252)`)
	old := iot.Reading{
		Device: 1, At: time.UnixMilli(1000).UTC(), Received: time.UnixMilli(1007).UTC(), Stamped: iot.StampServer, Origin: 5,
		Metrics:    []iot.Metric{{Name: iot.Temperature, Value: 20.5}, {Name: "x", Value: 1}},
		Attributes: []iot.Attribute{{Name: "site", Value: "roof"}},
	}
	keyed := old
	keyed.Key, keyed.Device, keyed.Said = "kitchen-1", iot.KeyID("kitchen-1"), "noon"
	for range 2 { // the second start finds it up to date
		store := openAt(t, path)
		if _, err := store.InsertReadings(t.Context(), []iot.Reading{keyed}); err != nil {
			t.Fatal(err)
		}
		page, err := store.FindReadings(t.Context(), iot.ReadingQuery{Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]iot.Reading{keyed, old}, page.Readings); diff != "" {
			t.Errorf("readings (-want +got):\n%s", diff)
		}
	}
}

// TestEarlierIndex: the index of an earlier version, to which readings of one origin that were moved are the same
// whatever their times, is replaced.
func TestEarlierIndex(t *testing.T) {
	path := filepath.Join(t.TempDir(), "readings")
	reading := func(ms int64, origin uint64) iot.Reading {
		return iot.Reading{
			Device: 1, At: time.UnixMilli(ms).UTC(), Received: time.UnixMilli(ms).UTC(), Stamped: iot.StampServer, Origin: origin,
			Metrics: []iot.Metric{{Name: iot.Temperature, Value: 20.5}},
		}
	}
	there := []iot.Reading{reading(1000, 1), reading(1000, 2), reading(2000, 3)}
	execute(t, path+".db", firstTable, `INSERT INTO readings VALUES (3000, 2, 3000, 2, 20.5, NULL, NULL, NULL)`)
	if _, err := openAt(t, path).InsertReadings(t.Context(), there); err != nil {
		t.Fatal(err)
	}
	execute(t, path+".db",
		`DROP INDEX readings_moved_from`,
		`CREATE UNIQUE INDEX readings_moved ON readings (device_id, origin) WHERE moved_from IS NOT NULL`)
	all := append(there, reading(2000, 2))
	for _, want := range []iot.Inserted{{New: 1, Duplicates: 3}, {Duplicates: 4}} { // the second start finds it replaced
		inserted, err := openAt(t, path).InsertReadings(t.Context(), all)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, inserted); diff != "" {
			t.Errorf("outcome of the insert (-want +got):\n%s", diff)
		}
	}
}
