package sqlite_test

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/sqlite"
)

func TestBoundWAL(t *testing.T) {
	t.Run("the WAL is bounded though there is always a reader of what is older than its end", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "a.db")
		db := open(t, path)
		exec(t, db.Write, "CREATE TABLE t (id INTEGER PRIMARY KEY, blob BLOB)")
		readers := startReaders(t, db)
		blob := make([]byte, 4<<20)
		var greatest int64
		for i := range 40 {
			readers.gate.Lock() // the last reader stays, who knows nothing of what is written now
			exec(t, db.Write, "INSERT OR REPLACE INTO t VALUES (?, ?)", i%3, blob)
			readers.gate.Unlock()
			<-readers.changed
			db.BoundWAL()
			wal, err := os.Stat(path + "-wal")
			if err != nil {
				t.Fatal(err)
			}
			greatest = max(greatest, wal.Size())
		}
		if greatest > 80<<20 {
			t.Errorf("the WAL grew to %d MiB by writing 160 MiB", greatest>>20)
		}
	})
}

// TestCutIdleWAL: the WAL goes when nothing has been written for a while, and what is in it stays.
func TestCutIdleWAL(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "a.db"))
	exec(t, db.Write, "CREATE TABLE t (n)")
	exec(t, db.Write, "INSERT INTO t VALUES (zeroblob(1000000))")
	size := func() int64 {
		t.Helper()
		if err := db.CutIdleWAL(t.Context()); err != nil {
			t.Fatal(err)
		}
		wal, err := os.Stat(db.Path + "-wal")
		if err != nil {
			t.Fatal(err)
		}
		return wal.Size()
	}
	age := func() {
		t.Helper()
		long := time.Now().Add(-2 * time.Minute)
		if err := os.Chtimes(db.Path+"-wal", long, long); err != nil {
			t.Fatal(err)
		}
	}
	if n := size(); n < 1000000 {
		t.Errorf("the WAL has %d bytes, when something has just been written", n)
	}
	reader, err := db.Read.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var n int
	if err := reader.QueryRow("SELECT count(*) FROM t").Scan(&n); err != nil {
		t.Fatal(err)
	}
	age()
	if n := size(); n < 1000000 {
		t.Errorf("the WAL has %d bytes, while somebody reads it", n)
	}
	if err := reader.Rollback(); err != nil {
		t.Fatal(err)
	}
	age()
	if n := size(); n != 0 {
		t.Errorf("the WAL has %d bytes, when nothing has been written for a while", n)
	}
	if n := count(t, db.Read, "t"); n != 1 {
		t.Errorf("%d rows are left", n)
	}
}

// readers are transactions that read, each of which begins before the last one ends.
type readers struct {
	gate    sync.Mutex    // held while one takes over from another
	changed chan struct{} // receives, when somebody waits, that one did
}

// startReaders starts readers of table t, until the test ends.
func startReaders(t *testing.T, db *sqlite.DB) *readers {
	r := &readers{changed: make(chan struct{})}
	begin := func() *sql.Tx {
		tx, err := db.Read.BeginTx(context.Background(), nil)
		if err == nil {
			var n int
			err = tx.QueryRow("SELECT count(*) FROM t").Scan(&n) // from now on it sees nothing newer
		}
		if err != nil {
			t.Error(err)
		}
		return tx
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for last := begin(); last != nil; {
			r.gate.Lock()
			next := begin()
			_ = last.Rollback()
			last = next
			select {
			case r.changed <- struct{}{}:
			default:
			}
			r.gate.Unlock()
			select {
			case <-done:
				_ = last.Rollback()
				return
			default:
			}
		}
	})
	t.Cleanup(func() { close(done); wg.Wait() })
	return r
}
