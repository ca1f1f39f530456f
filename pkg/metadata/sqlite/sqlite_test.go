package sqlite_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/metadata/metadatatest"
	metadata "github.com/telltale-iot/telltale/pkg/metadata/sqlite"
	"github.com/telltale-iot/telltale/pkg/sqlite"
)

func TestStore(t *testing.T) {
	metadatatest.Run(t, empty)
}

func BenchmarkStore(b *testing.B) {
	metadatatest.Benchmark(b, empty)
}

// empty creates a file.
func empty(t testing.TB) metadatatest.Database {
	t.Helper()
	path := filepath.Join(t.TempDir(), "metadata.db")
	db, err := sqlite.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return metadatatest.Database{
		File: path, SQL: db.Write,
		DropUsers: []string{"PRAGMA foreign_keys = 0", "DROP TABLE users", "PRAGMA foreign_keys = 1"},
	}
}

// TestDamage: an error of a file names it.
func TestDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "metadata.db")
	store, err := metadata.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(store.Prepare(t.Context()), store.Close()); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const schema = 4096 // bytes at the beginning
	if err := os.WriteFile(path, append(content[:schema], bytes.Repeat([]byte{0xff}, len(content)-schema)...), 0); err != nil {
		t.Fatal(err)
	}
	if store, err = metadata.Open(path); err != nil {
		t.Fatal(err)
	}
	_, ensuring := store.EnsureDevices(t.Context(), []iot.DeviceID{7})
	_, finding := store.Device(t.Context(), 7)
	for _, err := range []error{ensuring, finding} {
		if err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("error %v does not name the file", err)
		}
	}
	if err := store.Close(); err != nil {
		t.Error(err)
	}
}
