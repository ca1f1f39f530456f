package main

import (
	"bufio"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/telltale-iot/telltale/pkg/sqlite"
)

// mountDisk mounts a disk for the test.
func mountDisk(t *testing.T) *disk {
	t.Helper()
	d, err := newDisk(filepath.Join(t.TempDir(), "data"))
	if err != nil {
		if os.Getenv("TEST_REQUIRE") == "1" {
			t.Fatal(err)
		}
		t.Skipf("it takes root, FUSE and a loop device: %v", err)
	}
	t.Cleanup(func() {
		if err := d.close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// cycle cuts the power and gives it back; letGo closes what the test has open on the disk.
func (d *disk) cycle(t *testing.T, letGo func() error) {
	t.Helper()
	d.cut(rand.New(rand.NewPCG(1, 2)))
	d.fail()
	_ = letGo() // what it would still have written is lost
	if err := d.unmount(); err != nil {
		t.Fatal(err)
	}
	d.restore()
	if err := d.mount(); err != nil {
		t.Fatal(err)
	}
}

// write writes behind the end of a file, which it makes when it is missing.
func write(t *testing.T, path string, content []byte, synced bool) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err = f.Write(content); err == nil && synced {
		err = f.Sync()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestCutOfACopiedMount: a cut loses what was not synced, also while somebody has a copy of the mount, as a container
// has that is just starting. While the copy lives, another mount of the disk would show the old page cache again.
func TestCutOfACopiedMount(t *testing.T) {
	d := mountDisk(t)
	path := filepath.Join(d.at, "file")
	write(t, path, []byte("synced"), true)
	write(t, path, []byte(", not synced"), false)

	copied := exec.Command("unshare", "--mount", "--propagation", "private", "sh", "-c", "echo; exec sleep 0.3")
	out, err := copied.StdoutPipe()
	if err == nil {
		err = copied.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	d.cycle(t, func() error { return nil })
	if got, err := os.ReadFile(path); err != nil || string(got) != "synced" {
		t.Errorf("the file has %q, %v", got, err)
	}
	if err := copied.Wait(); err != nil {
		t.Error(err)
	}
}

// TestCutAfterAKill: a process was killed while it committed, when the transaction was written and not yet synced.
// Whoever sees its rows afterwards relies on them: ingest-writer finds readings stored, and goes on behind them.
func TestCutAfterAKill(t *testing.T) {
	original := filepath.Join(t.TempDir(), "a.db")
	writer := openDB(t, original)
	exec := func(statement string) {
		t.Helper()
		if _, err := writer.Write.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	exec("CREATE TABLE t (n)")
	exec("INSERT INTO t VALUES (1)")
	d := mountDisk(t)
	path := filepath.Join(d.at, "a.db")
	write(t, path, read(t, original), true)
	synced := read(t, original+"-wal")
	write(t, path+"-wal", synced, true)
	exec("INSERT INTO t VALUES (2)")
	write(t, path+"-wal", read(t, original+"-wal")[len(synced):], false)

	restarted := openDB(t, path)
	if n := rowsIn(t, restarted); n != 2 {
		t.Fatalf("%d rows after the kill, want 2", n)
	}
	d.cycle(t, restarted.Close)
	restarted = openDB(t, path)
	if n := rowsIn(t, restarted); n != 2 {
		t.Errorf("%d rows after the power cut, 2 were seen before", n)
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func openDB(t *testing.T, path string) *sqlite.DB {
	t.Helper()
	db, err := sqlite.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() }) // a cut may have closed it
	return db
}

func rowsIn(t *testing.T, db *sqlite.DB) (n int) {
	t.Helper()
	if err := db.Read.QueryRowContext(t.Context(), "SELECT count(*) FROM t").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
