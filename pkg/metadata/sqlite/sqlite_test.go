package sqlite_test

import (
	"path/filepath"
	"testing"

	"github.com/telltale-iot/telltale/pkg/metadata/metadatatest"
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
	return metadatatest.Database{File: path, SQL: db.Write}
}
