package sqlite

import (
	"database/sql"
	"path/filepath"
	"testing"

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
