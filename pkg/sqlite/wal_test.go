package sqlite_test

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"sync"
	"testing"

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
