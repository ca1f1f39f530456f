package sqlite

import (
	"database/sql"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
	db "github.com/telltale-iot/telltale/pkg/sqlite"
)

// TestOpenBesideOthers has a file take long to open: others are used meanwhile.
func TestOpenBesideOthers(t *testing.T) {
	slow, other := &part{path: filepath.Join(t.TempDir(), "slow.db")}, &part{path: filepath.Join(t.TempDir(), "other.db")}
	locked, err := sql.Open("sqlite", slow.path)
	if err != nil {
		t.Fatal(err)
	}
	locked.SetMaxOpenConns(1)
	if _, err := locked.Exec(`CREATE TABLE t (n); BEGIN EXCLUSIVE`); err != nil { // it cannot become a file with a WAL
		t.Fatal(err)
	}
	var f files
	opened := make(chan error)
	go func() {
		_, release, err := f.use(slow)
		if err == nil {
			release()
		}
		opened <- err
	}()
	for begun := false; !begun; {
		f.mu.Lock()
		_, begun = f.open[slow.path]
		f.mu.Unlock()
	}
	_, release, err := f.use(other)
	if err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-opened:
		t.Errorf("the other one has waited: %v", err)
	default:
	}
	release()
	if _, err := locked.Exec(`COMMIT`); err != nil {
		t.Fatal(err)
	}
	if err := <-opened; err != nil {
		t.Error(err)
	}
	if err := f.close(); err != nil {
		t.Error(err)
	}
	if err := locked.Close(); err != nil {
		t.Error(err)
	}
	if _, _, err := f.use(&part{path: filepath.Join(t.TempDir(), "missing", "a.db")}); err == nil || len(f.open) != 0 {
		t.Errorf("a file that cannot be opened: %v, and %d are open", err, len(f.open))
	}
	_ = db.DB{} // which has the driver
}

// TestWALsAreCut: months that nobody writes any more have no WAL.
func TestWALsAreCut(t *testing.T) {
	dir := t.TempDir()
	store, _ := opened(t, filepath.Join(dir, "readings"))
	var all []iot.Reading
	for m := range 6 {
		r := oneOf(1)[0]
		r.At = r.At.AddDate(0, -m, 0)
		all = append(all, r)
	}
	insertAll(t, store, all, iot.Inserted{New: len(all)})
	if err := store.SealAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	wals, err := filepath.Glob(filepath.Join(dir, "readings", "*-wal"))
	if err != nil || len(wals) != len(all) {
		t.Fatal(wals, err)
	}
	written := wals[len(wals)-1]
	for _, wal := range wals {
		if at := time.Now().Add(-time.Hour); wal != written {
			if err := os.Chtimes(wal, at, at); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := store.maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, wal := range wals {
		if info, err := os.Stat(wal); err != nil || info.Size() > 0 != (wal == written) {
			t.Errorf("%s: %d bytes, %v", wal, info.Size(), err)
		}
	}
	if n := len(scanAll(t, store)); n != len(all) {
		t.Errorf("%d readings are left", n)
	}
}
