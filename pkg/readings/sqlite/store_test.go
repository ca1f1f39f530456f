package sqlite_test

import (
	"path/filepath"
	"testing"

	"github.com/telltale-iot/telltale/pkg/readings"
	"github.com/telltale-iot/telltale/pkg/readings/readingstest"
	"github.com/telltale-iot/telltale/pkg/readings/sqlite"
)

func open(t testing.TB) readings.Store {
	t.Helper()
	return openFile(t, filepath.Join(t.TempDir(), "readings.db"))
}

func openFile(t testing.TB, path string) readings.Store {
	t.Helper()
	store, err := sqlite.Open(path)
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
	return store
}

func TestStore(t *testing.T) { readingstest.Run(t, open) }

func BenchmarkStore(b *testing.B) { readingstest.Benchmark(b, open) }
