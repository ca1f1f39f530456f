package sqlite

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/telltale-iot/telltale/pkg/iot"
	db "github.com/telltale-iot/telltale/pkg/sqlite"
)

// opened returns a store that is closed when the test ends, and what it logs.
func opened(t *testing.T, path string) (*Store, *bytes.Buffer) {
	t.Helper()
	log := new(bytes.Buffer)
	store, err := Open(path, Options{Log: slog.New(slog.NewTextHandler(log, nil)), SealAfter: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := store.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	return store, log
}

// everySecond returns n readings of each of devices, oldest first.
func everySecond(devices, n int) (all []iot.Reading) {
	for i := range n {
		at := start.Add(time.Duration(i) * time.Second)
		for device := range devices {
			all = append(all, iot.Reading{
				Device: iot.DeviceID(1 + device), At: at, Received: at.Add(time.Duration(20+i%7) * time.Millisecond), Stamped: iot.StampDevice,
				Metrics: []iot.Metric{{Name: iot.Temperature, Value: float64(2000+i*(device+1)%97) / 100}},
			})
		}
	}
	return all
}

func insertAll(t *testing.T, store *Store, batch []iot.Reading, want iot.Inserted) {
	t.Helper()
	inserted, err := store.InsertReadings(t.Context(), batch)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, inserted); diff != "" {
		t.Errorf("outcome of the insert (-want +got):\n%s", diff)
	}
}

func scanAll(t *testing.T, store *Store) (all []iot.Reading) {
	t.Helper()
	if err := store.ScanReadings(t.Context(), iot.ScanQuery{}, func(r *iot.Reading) (bool, error) {
		found := *r
		found.Metrics, found.Attributes = slices.Clone(r.Metrics), nil
		all = append(all, found)
		return true, nil
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

// blocksIn counts the rows and the blocks in the file of the suite's month.
func blocksIn(t *testing.T, path string) (rows, blocks int) {
	t.Helper()
	file, err := db.Open(filepath.Join(path, "2026-03.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	if err := file.Read.QueryRow(`SELECT (SELECT count(*) FROM rows), (SELECT count(*) FROM blocks)`).Scan(&rows, &blocks); err != nil {
		t.Fatal(err)
	}
	return rows, blocks
}

func TestSealDue(t *testing.T) {
	path := filepath.Join(t.TempDir(), "readings")
	store, _ := opened(t, path)
	all := everySecond(3, 2*3600) // from 12 o'clock on
	insertAll(t, store, all, iot.Inserted{New: len(all)})
	for _, c := range []struct {
		name         string
		now          time.Duration
		rows, blocks int
	}{
		{"an hour that ended just now stays", 2*time.Hour - 1, 2 * 3 * 3600, 0},
		{"one that ended an hour ago is sealed", 2 * time.Hour, 3 * 3600, 3},
		{"the second one a little later stays", 2*time.Hour + 10*time.Minute, 3 * 3600, 3},
		{"the second one is sealed in its turn", 3 * time.Hour, 0, 6},
	} {
		store.now = func() time.Time { return start.Add(c.now) }
		store.sealedAt = time.Time{}
		if err := store.sealDue(t.Context()); err != nil {
			t.Fatal(err)
		}
		if rows, blocks := blocksIn(t, path); rows != c.rows || blocks != c.blocks || store.rows != c.rows {
			t.Errorf("%s: %d rows and %d blocks, want %d and %d; %d are in the index", c.name, rows, blocks, c.rows, c.blocks, store.rows)
		}
	}
	late := all[1000]
	late.At = late.At.Add(time.Millisecond)
	insertAll(t, store, []iot.Reading{late, all[1000]}, iot.Inserted{New: 1, Duplicates: 1})
	store.sealedAt = time.Time{}
	if err := store.sealDue(t.Context()); err != nil {
		t.Fatal(err)
	}
	if rows, blocks := blocksIn(t, path); rows != 0 || blocks != 6 {
		t.Errorf("with a late reading: %d rows and %d blocks, want 0 and 6", rows, blocks)
	}
	if got := scanAll(t, store); len(got) != len(all)+1 {
		t.Errorf("%d readings, want %d", len(got), len(all)+1)
	}
}

func TestSealingGivesSpaceBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "readings")
	store, _ := opened(t, path)
	all := everySecond(5, 6*3600)
	insertAll(t, store, all, iot.Inserted{New: len(all)})
	if err := store.SealAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	file, err := db.Open(filepath.Join(path, "2026-03.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	var size int
	if err := file.Read.QueryRow(`SELECT page_count * page_size FROM pragma_page_count, pragma_page_size`).Scan(&size); err != nil {
		t.Fatal(err)
	}
	if perReading := float64(size) / float64(len(all)); perReading > 6 {
		t.Errorf("%.1f bytes a reading, after all %d were sealed", perReading, len(all))
	}
}

// TestPowerCut cuts the WAL at every few bytes while readings are sealed, unsealed by one that is merged, and sealed again:
// what is there then is what was there before or after, and nothing is twice.
func TestPowerCut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "readings")
	store, _ := opened(t, path)
	all := everySecond(5, 300)
	insertAll(t, store, all, iot.Inserted{New: len(all)})
	seal := func() {
		t.Helper()
		if err := store.SealAll(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	seal()
	more := all[700]
	more.Metrics = []iot.Metric{{Name: "voltage", Value: 3.3}}
	insertAll(t, store, []iot.Reading{more}, iot.Inserted{Merged: 1})
	before := all[700]
	all[700].Metrics = append(slices.Clone(all[700].Metrics), more.Metrics...)
	seal()
	file := filepath.Join(path, "2026-03.db")
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	wal, err := os.ReadFile(file + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	const step = 4 * (4096 + 24) // a few frames
	for n := len(wal); n > 0; n -= step {
		cut := filepath.Join(t.TempDir(), "readings")
		if err := os.MkdirAll(cut, 0o700); err != nil {
			t.Fatal(err)
		}
		for name, data := range map[string][]byte{"2026-03.db": content, "2026-03.db-wal": wal[:n]} {
			if err := os.WriteFile(filepath.Join(cut, name), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		again, _ := opened(t, cut)
		got := scanAll(t, again)
		if len(got) == 0 { // the first insert is not committed
			seen["nothing"] = true
			continue
		}
		want := slices.Clone(all)
		if len(got) > 700 && len(got[700].Metrics) == 1 {
			want[700] = before
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("after %d of %d bytes (-want +got):\n%s", n, len(wal), diff)
		}
		rows, blocks := blocksIn(t, cut)
		seen[fmt.Sprint(rows, " rows, ", blocks, " blocks, merged: ", len(got[700].Metrics) == 2)] = true
		var counted, rolledUp int64
		counts, err := again.CountReadings(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range counts {
			counted += c.Count
		}
		err = again.ReadBuckets(t.Context(), iot.BucketQuery{SampleQuery: iot.SampleQuery{Metrics: []string{iot.Temperature}}, Width: iot.Day}, func(b iot.Buckets) error {
			for _, b := range b.Buckets {
				rolledUp += b.Count
			}
			return nil
		})
		if err != nil || counted != int64(len(all)) || rolledUp != counted {
			t.Errorf("after %d of %d bytes %d are counted and %d are rolled up, want %d: %v", n, len(wal), counted, rolledUp, len(all), err)
		}
	}
	for _, state := range []string{
		"nothing", "1500 rows, 0 blocks, merged: false", "0 rows, 5 blocks, merged: false", "1 rows, 5 blocks, merged: true", "0 rows, 5 blocks, merged: true",
	} {
		if !seen[state] {
			t.Errorf("the power was never cut at %q: %v", state, seen)
		}
	}
}

// TestDamagedBlock flips bits of a block: its readings are not shown, the others are, the log says so once, and when they come
// again they are there again, and stay so.
func TestDamagedBlock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "readings")
	store, _ := opened(t, path)
	all := everySecond(2, 100)
	insertAll(t, store, all, iot.Inserted{New: len(all)})
	if err := store.SealAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	file, err := db.Open(filepath.Join(path, "2026-03.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	var data []byte
	if err := file.Read.QueryRow(`SELECT data FROM blocks WHERE device_id = 1`).Scan(&data); err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 4
	if _, err := file.Write.Exec(`UPDATE blocks SET data = ? WHERE device_id = 1`, data); err != nil {
		t.Fatal(err)
	}

	again, log := opened(t, path)
	var others []iot.Reading
	for _, r := range all {
		if r.Device == 2 {
			others = append(others, r)
		}
	}
	for range 2 {
		if diff := cmp.Diff(others, scanAll(t, again)); diff != "" {
			t.Errorf("readings (-want +got):\n%s", diff)
		}
	}
	if said := log.String(); strings.Count(said, "2026-03.db") != 1 || !strings.Contains(said, "device_id=1") {
		t.Errorf("the log says %q", said)
	}
	insertAll(t, again, all, iot.Inserted{New: 100, Duplicates: 100})
	for range 2 {
		if diff := cmp.Diff(all, scanAll(t, again)); diff != "" {
			t.Errorf("when they came again (-want +got):\n%s", diff)
		}
		if err := again.SealAll(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	insertAll(t, again, all, iot.Inserted{Duplicates: 200})
}

// TestMoveThatStopped commits only the later of two files that a reading moves between, as a power cut may: when the
// readings come again each of them is there once.
func TestMoveThatStopped(t *testing.T) {
	store := openOld(t, start.Add(time.Millisecond))
	server := iot.Reading{Device: 1, At: start, Received: start, Stamped: iot.StampServer, Origin: 5, Metrics: []iot.Metric{{Name: "x", Value: 1}}}
	own := iot.Reading{Device: 1, At: start, Received: start, Stamped: iot.StampDevice, Metrics: []iot.Metric{{Name: "x", Value: 2}}}
	insertAll(t, store, []iot.Reading{server}, iot.Inserted{New: 1})
	w := store.write(t.Context())
	if err := w.insertBatch(insertionOf([]iot.Reading{own})); err != nil {
		t.Fatal(err)
	}
	for _, part := range w.parts {
		if !part.old {
			if err := part.commit(); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.end()
	store.occupied.Forget()
	if err := store.SealAll(t.Context()); err != nil { // Kafka is away for hours
		t.Fatal(err)
	}
	for _, want := range []iot.Inserted{{New: 1, Duplicates: 1}, {Duplicates: 2}} {
		insertAll(t, store, []iot.Reading{server, own}, want)
		moved := server
		moved.At = start.Add(time.Millisecond)
		if diff := cmp.Diff([]iot.Reading{own, moved}, scanAll(t, store)); diff != "" {
			t.Errorf("readings (-want +got):\n%s", diff)
		}
	}
}
