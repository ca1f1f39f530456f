package sqlite_test

import (
	"context"
	"crypto/rand"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/telltale-iot/telltale/pkg/deadletters"
	"github.com/telltale-iot/telltale/pkg/deadletters/deadletterstest"
	sqlitedeadletters "github.com/telltale-iot/telltale/pkg/deadletters/sqlite"
	"github.com/telltale-iot/telltale/pkg/iot"
	sqlitereadings "github.com/telltale-iot/telltale/pkg/readings/sqlite"
	"github.com/telltale-iot/telltale/pkg/sqlite"
	"github.com/telltale-iot/telltale/pkg/sqlite/sqlitetest"
)

func open(t testing.TB) deadletters.Store {
	t.Helper()
	return openFile(t, filepath.Join(t.TempDir(), "readings.db"))
}

func openFile(t testing.TB, path string) deadletters.Store {
	t.Helper()
	store, err := sqlitedeadletters.Open(path)
	return sqlitetest.Prepared(t, store, err)
}

func TestStore(t *testing.T) { deadletterstest.Run(t, open) }

func TestCapacity(t *testing.T) {
	deadletterstest.RunCapacity(t, func(t testing.TB, capacity int64) deadletters.Store {
		store, err := sqlitedeadletters.Open(filepath.Join(t.TempDir(), "readings.db"))
		store.Capacity = capacity
		return sqlitetest.Prepared(t, store, err)
	})
}

// TestRowBytes: what dead letters count is about what they take in the file.
func TestRowBytes(t *testing.T) {
	for _, size := range []int{20, 3000} {
		path := filepath.Join(t.TempDir(), "readings.db")
		store := openFile(t, path)
		batch := make([]iot.DeadLetter, 1000)
		for i := range batch {
			batch[i] = iot.DeadLetter{
				Rejection: iot.Rejection{Reason: iot.ReasonInvalidJSON, Detail: "byte 17: a value", Device: iot.DeviceID(i%20 + 1), Bytes: make([]byte, size)},
				Source:    "sensors/42/data", Client: "a client", Received: time.UnixMilli(int64(i)).UTC(),
			}
			_, _ = rand.Read(batch[i].ID[:])
		}
		if _, err := store.InsertDeadLetters(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		db, err := sqlite.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		var counted, taken int64
		if err := db.Read.QueryRowContext(t.Context(), `SELECT bytes, (SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()) FROM dead_letters_bytes`).Scan(&counted, &taken); err != nil {
			t.Fatal(err)
		}
		_ = db.Close()
		if counted < taken*2/3 || counted > taken*3/2 {
			t.Errorf("%d dead letters of %d bytes count %d and take %d", len(batch), size, counted, taken)
		}
	}
}

func TestFile(t *testing.T) {
	deadLetter := iot.DeadLetter{ID: iot.DeadLetterID{1}, Rejection: iot.Rejection{Bytes: []byte("junk")}, Received: time.UnixMilli(1).UTC()}
	path := filepath.Join(t.TempDir(), "readings.db")
	store := openFile(t, path)
	if _, err := store.InsertDeadLetters(t.Context(), []iot.DeadLetter{deadLetter}); err != nil {
		t.Fatal(err)
	}
	find := func() (ids []iot.DeadLetterID) {
		page, err := store.FindDeadLetters(t.Context(), iot.DeadLetterQuery{Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range page.DeadLetters {
			ids = append(ids, d.ID)
		}
		return ids
	}

	t.Run("the readings may be in the same directory", func(t *testing.T) {
		beside, err := sqlitereadings.Open(strings.TrimSuffix(path, ".db"), sqlitereadings.Options{Log: slog.New(slog.DiscardHandler)})
		sqlitetest.Prepared(t, beside, err)
		at := time.UnixMilli(1).UTC()
		if _, err := beside.InsertReadings(t.Context(), []iot.Reading{{Device: 1, At: at, Received: at, Metrics: []iot.Metric{{Name: "x"}}}}); err != nil {
			t.Fatal(err)
		}
		if got := find(); len(got) != 1 {
			t.Errorf("dead letters %v", got)
		}
	})
	t.Run("a dead letter whose time is over is removed when new ones arrive, and no other", func(t *testing.T) {
		db, err := sqlite.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = db.Close() }()
		insert := func(n byte) {
			deadLetter.ID = iot.DeadLetterID{n}
			if _, err := store.InsertDeadLetters(t.Context(), []iot.DeadLetter{deadLetter}); err != nil {
				t.Fatal(err)
			}
		}
		age := func(by time.Duration) {
			if _, err := db.Write.ExecContext(t.Context(), `UPDATE dead_letters SET stored_at = stored_at - ?`, by.Milliseconds()); err != nil {
				t.Fatal(err)
			}
		}
		age(iot.DeadLetterRetention - time.Minute)
		insert(2)
		if got := find(); len(got) != 2 {
			t.Errorf("a minute before its time is over: %v", got)
		}
		age(2 * time.Minute)
		insert(3)
		if got := find(); len(got) != 2 || got[1] != (iot.DeadLetterID{2}) {
			t.Errorf("a minute after: %v", got)
		}
	})
}

// TestEarlierFile: a file from before dead letters had a client and a principal is brought up to date, with what is in it.
func TestEarlierFile(t *testing.T) {
	for name, later := range map[string]bool{"the first": false, "before there were principals": true} {
		t.Run(name, func(t *testing.T) { testEarlierFile(t, later) })
	}
}

func testEarlierFile(t *testing.T, later bool) {
	path := filepath.Join(t.TempDir(), "readings.db")
	file, err := sqlite.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		`CREATE TABLE dead_letters (
			received_at INTEGER NOT NULL, id BLOB NOT NULL, reason TEXT NOT NULL, detail TEXT NOT NULL, device_id INTEGER NOT NULL,
			source TEXT NOT NULL, topic_device_id TEXT NOT NULL, retained INTEGER NOT NULL, content_type TEXT NOT NULL,
			stored_at INTEGER NOT NULL, replayed_at INTEGER NOT NULL, replayed_readings INTEGER NOT NULL, bytes BLOB NOT NULL
		) STRICT`,
		`INSERT INTO dead_letters VALUES (1, x'01000000000000000000000000000000', 'no_metrics', 'd', 42, 's', '042', 1, 't', 9e15, 7, 3, x'7b7d')`,
	} {
		if _, err := file.Write.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	if later { // when all rows were counted, by triggers that know of no principal
		for _, statement := range []string{
			`ALTER TABLE dead_letters ADD COLUMN client_id TEXT NOT NULL DEFAULT ''`,
			`CREATE TABLE dead_letters_bytes (bytes INTEGER NOT NULL) STRICT`,
			`INSERT INTO dead_letters_bytes VALUES (319)`,
			`CREATE TRIGGER dead_letters_inserted AFTER INSERT ON dead_letters BEGIN UPDATE dead_letters_bytes SET bytes = bytes + 1000000; END`,
			`CREATE TRIGGER dead_letters_deleted AFTER DELETE ON dead_letters BEGIN UPDATE dead_letters_bytes SET bytes = bytes - 1000000; END`,
		} {
			if _, err := file.Write.ExecContext(t.Context(), statement); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	old := iot.DeadLetter{
		Rejection: iot.Rejection{Reason: iot.ReasonNoMetrics, Detail: "d", Device: 42, Bytes: []byte("{}")},
		ID:        iot.DeadLetterID{1}, Source: "s", Received: time.UnixMilli(1).UTC(), TopicDevice: "042", Retained: true, ContentType: "t",
		Replay: iot.Replay{At: time.UnixMilli(7).UTC(), Readings: 3},
	}
	added := old
	added.ID, added.Client, added.Principal = iot.DeadLetterID{2}, "a client", "a gateway"
	for range 2 { // the second start finds it up to date
		store, err := sqlitedeadletters.Open(path)
		store.Capacity = 800 // for both
		sqlitetest.Prepared(t, store, err)
		if _, err := store.InsertDeadLetters(t.Context(), []iot.DeadLetter{added}); err != nil {
			t.Fatal(err)
		}
		page, err := store.FindDeadLetters(t.Context(), iot.DeadLetterQuery{Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]iot.DeadLetter{added, old}, page.DeadLetters); diff != "" {
			t.Errorf("dead letters (-want +got):\n%s", diff)
		}
		if n, err := store.TrimDeadLetters(t.Context()); err != nil || n != 0 {
			t.Errorf("%d removed, %v", n, err)
		}
	}
	store, err := sqlitedeadletters.Open(path)
	store.Capacity = 600 // not for both: what was in the file counts
	sqlitetest.Prepared(t, store, err)
	if n, err := store.TrimDeadLetters(t.Context()); err != nil || n != 1 {
		t.Errorf("%d removed, %v", n, err)
	}
	if _, err := store.DeadLetter(t.Context(), old.ID); err != nil { // it was stored in the far future
		t.Error(err)
	}
}

// TestPlans: what is asked for again and again while there are many dead letters does not read them all.
func TestPlans(t *testing.T) {
	path := filepath.Join(t.TempDir(), "readings.db")
	openFile(t, path)
	db, err := sqlite.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	for query, want := range map[string]string{
		"SELECT reason, count(*), sum(replayed_at > 0) FROM dead_letters GROUP BY reason ORDER BY reason":                     "SCAN dead_letters USING COVERING INDEX dead_letters_counts",
		"SELECT bytes FROM dead_letters WHERE (replayed_at > 0) = 0 ORDER BY received_at DESC, id DESC LIMIT 10":              "SEARCH dead_letters USING INDEX dead_letters_by_replay (<expr>=?)",
		"SELECT bytes FROM dead_letters WHERE reason = 'conflict' ORDER BY received_at DESC, id DESC LIMIT 10":                "SEARCH dead_letters USING INDEX dead_letters_by_reason (reason=?)",
		"SELECT bytes FROM dead_letters WHERE device_id = 1 AND received_at >= 5 ORDER BY received_at DESC, id DESC LIMIT 10": "SEARCH dead_letters USING INDEX dead_letters_by_device (device_id=? AND received_at>?)",
		"SELECT rowid, octet_length(bytes) FROM dead_letters ORDER BY stored_at, rowid LIMIT 100":                             "SCAN dead_letters USING INDEX dead_letters_oldest",
		"SELECT bytes FROM dead_letters WHERE (received_at, id) < (5, x'00') ORDER BY received_at DESC, id DESC LIMIT 10":     "SEARCH dead_letters USING INDEX dead_letters_newest ((received_at,id)<(?,?))",
	} {
		var id, parent, unused int
		var plan string
		if err := db.Read.QueryRowContext(t.Context(), "EXPLAIN QUERY PLAN "+query).Scan(&id, &parent, &unused, &plan); err != nil {
			t.Fatal(err)
		}
		if plan != want {
			t.Errorf("%s:\n%s, want\n%s", query, plan, want)
		}
	}
}

func TestDamage(t *testing.T) {
	sqlitetest.RunDamaged(t, sqlitedeadletters.Open, map[string]func(context.Context, *sqlitedeadletters.Store) error{
		"InsertDeadLetters": func(ctx context.Context, s *sqlitedeadletters.Store) error {
			_, err := s.InsertDeadLetters(ctx, []iot.DeadLetter{{}})
			return err
		},
		"FindDeadLetters": func(ctx context.Context, s *sqlitedeadletters.Store) error {
			_, err := s.FindDeadLetters(ctx, iot.DeadLetterQuery{Limit: 1})
			return err
		},
		"TrimDeadLetters": func(ctx context.Context, s *sqlitedeadletters.Store) error {
			_, err := s.TrimDeadLetters(ctx)
			return err
		},
	})
}
