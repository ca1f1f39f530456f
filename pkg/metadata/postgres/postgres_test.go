package postgres_test

import (
	"database/sql"
	"math/rand/v2"
	"net/url"
	"strconv"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/telltale-iot/telltale/pkg/metadata/metadatatest"
)

func TestStore(t *testing.T) {
	metadatatest.Run(t, emptyOn(metadatatest.ServerURL(t, "TEST_POSTGRES_URL")))
}

func TestOutages(t *testing.T) {
	metadatatest.RunOutages(t, emptyOn(metadatatest.ServerURL(t, "TEST_POSTGRES_URL")))
}

func TestTablesThatAnotherProcessPrepares(t *testing.T) {
	metadatatest.RunLocked(t, emptyOn(metadatatest.ServerURL(t, "TEST_POSTGRES_URL"))(t),
		"SELECT pg_try_advisory_lock(7305808869229538416)::int")
}

func BenchmarkStore(b *testing.B) {
	metadatatest.Benchmark(b, emptyOn(metadatatest.ServerURL(b, "TEST_POSTGRES_URL")))
}

// emptyOn returns a function that creates an empty schema in the database that server names. A database for
// each test would take the server a second to remove.
func emptyOn(server string) func(testing.TB) metadatatest.Database {
	return func(t testing.TB) metadatatest.Database {
		t.Helper()
		u, err := url.Parse(server)
		if err != nil {
			t.Fatal(err)
		}
		name := "telltale_test_" + strconv.FormatUint(rand.Uint64(), 36)
		query := u.Query()
		query.Set("search_path", name)
		u.RawQuery = query.Encode()
		db, err := sql.Open("pgx", u.String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.Exec("CREATE SCHEMA " + name); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if _, err := db.Exec("DROP SCHEMA " + name + " CASCADE"); err != nil {
				t.Error(err)
			}
			db.Close()
		})
		return metadatatest.Database{
			URL: u.String(), SQL: db,
			Waiting: "SELECT COUNT(*) FROM pg_stat_activity WHERE pg_backend_pid() = ANY (pg_blocking_pids(pid))",
		}
	}
}
