package sqlite_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/pressly/goose/v3"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/metadata/metadatatest"
	metadata "github.com/telltale-iot/telltale/pkg/metadata/sqlite"
	"github.com/telltale-iot/telltale/pkg/metadata/sqlstore"
	"github.com/telltale-iot/telltale/pkg/sqlite"
	"github.com/telltale-iot/telltale/pkg/sqlite/sqlitetest"
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
		File: path, SQL: db.Write, Versions: goose.DialectSQLite3,
		DropUsers: []string{"PRAGMA foreign_keys = 0", "DROP TABLE users", "PRAGMA foreign_keys = 1"},
	}
}

func TestDamage(t *testing.T) {
	sqlitetest.RunDamaged(t, metadata.Open, map[string]func(context.Context, *sqlstore.Store) error{
		"EnsureDevices": func(ctx context.Context, s *sqlstore.Store) error {
			_, err := s.EnsureDevices(ctx, []iot.Identity{{ID: 7}}, iot.Admission{})
			return err
		},
		"Device": func(ctx context.Context, s *sqlstore.Store) error { _, err := s.Device(ctx, 7); return err },
	})
}
