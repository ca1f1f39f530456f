package sqlite_test

import (
	"path/filepath"
	"testing"
)

// TestConnectionsWriteNothing: to open one more reader is no write, which would wait for others that write, and cost a sync.
func TestConnectionsWriteNothing(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "a.db"))
	exec(t, db.Write, "CREATE TABLE t (n)")
	version := func() (n int64) {
		if err := db.Write.QueryRow("PRAGMA data_version").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := version()
	for range 3 { // beside the one that Open has opened
		conn, err := db.Read.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
	}
	if after := version(); after != before {
		t.Errorf("the version of the file was %d, and is %d with more readers", before, after)
	}
}
