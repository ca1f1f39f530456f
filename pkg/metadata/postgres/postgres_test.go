package postgres_test

import (
	"database/sql"
	"errors"
	"math/rand/v2"
	"net/url"
	"strconv"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/metadata"
	"github.com/telltale-iot/telltale/pkg/metadata/metadatatest"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
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

// TestRowsFromElsewhere: rows that were put in with their ids, as a restore of exported ones does, are not known
// to the generator of ids.
func TestRowsFromElsewhere(t *testing.T) {
	db := emptyOn(metadatatest.ServerURL(t, "TEST_POSTGRES_URL"))(t)
	s, err := metadata.Open(db.URL, tlsfiles.Files{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if err := s.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := db.SQL.Exec("INSERT INTO users (id, username, email, created_at) VALUES (1, 'a', 'a@x.org', now()), (2, 'b', 'b@x.org', now())"); err != nil {
		t.Fatal(err)
	}
	if u, err := s.CreateUser(t.Context(), iot.User{Username: "c", Email: "c@x.org"}); err != nil || u.ID != 3 {
		t.Errorf("a new user beside them: %+v, %v; want id 3", u, err)
	}
	if u, err := s.CreateUser(t.Context(), iot.User{Username: "a", Email: "c@x.org"}); !errors.Is(err, iot.ErrConflict) {
		t.Errorf("a user with a name that is taken: %+v, %v", u, err)
	}
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
			DropUsers: []string{"DROP TABLE users CASCADE"},
			URL:       u.String(), SQL: db, Versions: goose.DialectPostgres,
			Waiting: "SELECT COUNT(*) FROM pg_stat_activity WHERE pg_backend_pid() = ANY (pg_blocking_pids(pid))",
		}
	}
}
