package main

import (
	"bufio"
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/telltale-iot/telltale/pkg/embedded"
	"github.com/telltale-iot/telltale/pkg/embedded/embeddedtest"
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

// unfinishedCommit puts a database on the disk as a process leaves it that is killed while it commits its second row:
// the end of its write-ahead log, which is returned, is not there yet.
func unfinishedCommit(t *testing.T, d *disk) (path string, end []byte) {
	t.Helper()
	original := filepath.Join(t.TempDir(), "a.db")
	writer := openDB(t, original)
	execute(t, writer, "CREATE TABLE t (n)", "INSERT INTO t VALUES (1)")
	path = filepath.Join(d.at, "a.db")
	write(t, path, read(t, original), true)
	synced := read(t, original+"-wal")
	write(t, path+"-wal", synced, true)
	execute(t, writer, "INSERT INTO t VALUES (2)")
	return path, read(t, original+"-wal")[len(synced):]
}

// TestCutAfterAKill: a process was killed while it committed, when the transaction was written and not yet synced.
// Whoever sees its rows afterwards relies on them: ingest-writer finds readings stored, and goes on behind them.
func TestCutAfterAKill(t *testing.T) {
	d := mountDisk(t)
	path, end := unfinishedCommit(t, d)
	write(t, path+"-wal", end, false)

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

// TestCutAfterAFailedSync: a process was killed when a sync failed. The system shows what the disk has lost, and syncs
// it no more, for as long as it runs: whoever starts meanwhile must not rely on it.
func TestCutAfterAFailedSync(t *testing.T) {
	// loseEnd writes content behind the end of a file, and has the disk lose it.
	loseEnd := func(t *testing.T, d *disk, path string, content []byte) {
		t.Helper()
		write(t, path, content, false)
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		d.lose(1)
		if err := f.Sync(); !errors.Is(err, syscall.EIO) {
			t.Fatalf("the sync says %v", err)
		}
		if err := f.Sync(); err != nil || !bytes.HasSuffix(read(t, path), content) {
			t.Fatalf("what is lost is not shown, or the next sync says %v", err)
		}
	}
	t.Run("SQLite", func(t *testing.T) {
		d := mountDisk(t)
		path, end := unfinishedCommit(t, d)
		loseEnd(t, d, path+"-wal", end)

		restarted := openDB(t, path)
		seen := rowsIn(t, restarted)
		d.cycle(t, restarted.Close)
		if n := rowsIn(t, openDB(t, path)); n != seen {
			t.Errorf("%d rows after the power cut, %d were seen before", n, seen)
		}
	})
	t.Run("Kafka", func(t *testing.T) {
		original := t.TempDir()
		broker := openKafka(t, original)
		if _, err := kadm.NewClient(kafkaClient(t, broker)).CreateTopic(t.Context(), 1, 1, nil, topic); err != nil {
			t.Fatal(err)
		}
		produce(t, broker, "synced")
		d := mountDisk(t)
		dir := filepath.Join(d.at, "kafka")
		if err := os.CopyFS(dir, os.DirFS(original)); err != nil { // without the mark of a good end
			t.Fatal(err)
		}
		log := filepath.Join("partitions", topic+"-0", "0.dat")
		synced := read(t, filepath.Join(original, log))
		if err := run(exec.Command("sync", "--file-system", d.at)); err != nil {
			t.Fatal(err)
		}
		produce(t, broker, "lost")
		loseEnd(t, d, filepath.Join(dir, log), read(t, filepath.Join(original, log))[len(synced):])

		restarted := openKafka(t, dir)
		seen := length(t, restarted)
		d.cycle(t, func() error { return restarted.Close(t.Context()) })
		restarted = openKafka(t, dir)
		if n := length(t, restarted); n != seen {
			t.Errorf("%d records after the power cut, %d were seen before", n, seen)
		}
		if err := restarted.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func openKafka(t *testing.T, dir string) *embedded.Kafka {
	t.Helper()
	return embeddedtest.StartWith(t, embedded.KafkaConfig{Dir: dir})
}

func kafkaClient(t *testing.T, k *embedded.Kafka) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(k.Addr()), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func produce(t *testing.T, k *embedded.Kafka, value string) {
	t.Helper()
	r := &kgo.Record{Topic: topic, Value: []byte(value)}
	if err := kafkaClient(t, k).ProduceSync(t.Context(), r).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// length is the number of records in the log.
func length(t *testing.T, k *embedded.Kafka) int64 {
	t.Helper()
	ends, err := kadm.NewClient(kafkaClient(t, k)).ListEndOffsets(t.Context(), topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		t.Fatal(err)
	}
	end, _ := ends.Lookup(topic, 0)
	return end.Offset
}

func execute(t *testing.T, db *sqlite.DB, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		if _, err := db.Write.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
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
