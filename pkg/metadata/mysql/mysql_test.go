package mysql_test

import (
	"database/sql"
	"math/rand/v2"
	"net/url"
	"strconv"
	"testing"

	"github.com/go-sql-driver/mysql"
	"github.com/pressly/goose/v3"
	"golang.org/x/sync/errgroup"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/metadata"
	"github.com/telltale-iot/telltale/pkg/metadata/metadatatest"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
)

func TestStore(t *testing.T) {
	metadatatest.Run(t, emptyOn(metadatatest.ServerURL(t, "TEST_MYSQL_URL")))
}

func TestOutages(t *testing.T) {
	metadatatest.RunOutages(t, emptyOn(metadatatest.ServerURL(t, "TEST_MYSQL_URL")))
}

func TestTablesThatAnotherProcessPrepares(t *testing.T) {
	metadatatest.RunLocked(t, emptyOn(metadatatest.ServerURL(t, "TEST_MYSQL_URL"))(t),
		"SELECT GET_LOCK(LEFT(CONCAT('telltale.', SHA2(DATABASE(), 256)), 64), 1)")
}

func BenchmarkStore(b *testing.B) {
	metadatatest.Benchmark(b, emptyOn(metadatatest.ServerURL(b, "TEST_MYSQL_URL")))
}

// MySQL commits each statement that creates a table by itself.
func TestAPreparationThatBrokeOffIsFinished(t *testing.T) {
	db := emptyOn(metadatatest.ServerURL(t, "TEST_MYSQL_URL"))(t)
	s, err := metadata.Open(db.URL, tlsfiles.Files{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if err := s.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		"DROP TABLE device_ids", "DROP TABLE devices", "DELETE FROM metadata_version WHERE version_id > 0",
	} {
		if _, err := db.SQL.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, err := s.EnsureDevices(t.Context(), []iot.Identity{{ID: 1}}, iot.Admission{}); n.Created != 1 || err != nil {
		t.Fatalf("%+v, %v", n, err)
	}
}

// A session whose database is dropped has none, also when one of the same name is created.
func TestADatabaseThatWasDroppedAndCreated(t *testing.T) {
	db := emptyOn(metadatatest.ServerURL(t, "TEST_MYSQL_URL"))(t)
	s, err := metadata.Open(db.URL, tlsfiles.Files{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if err := s.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	var sessions errgroup.Group
	for range 50 {
		sessions.Go(func() error {
			_, err := s.EnsureDevices(t.Context(), []iot.Identity{{ID: 1}}, iot.Admission{})
			return err
		})
	}
	if err := sessions.Wait(); err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(db.URL)
	if err != nil {
		t.Fatal(err)
	}
	name := u.Path[1:]
	for _, statement := range []string{"DROP DATABASE " + name, "CREATE DATABASE " + name} {
		if _, err := db.SQL.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Check(t.Context()); err == nil {
		t.Error("Check is nil")
	}
	if err := s.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 50 {
		sessions.Go(func() error {
			_, err := s.EnsureDevices(t.Context(), []iot.Identity{{ID: 1}}, iot.Admission{})
			return err
		})
	}
	if err := sessions.Wait(); err != nil {
		t.Fatal(err)
	}
}

// emptyOn returns a function that creates an empty database beside the one that server names.
func emptyOn(server string) func(testing.TB) metadatatest.Database {
	return func(t testing.TB) metadatatest.Database {
		t.Helper()
		u, err := url.Parse(server)
		if err != nil {
			t.Fatal(err)
		}
		cfg := mysql.NewConfig()
		cfg.Net, cfg.Addr, cfg.User = "tcp", u.Host, u.User.Username()
		cfg.Passwd, _ = u.User.Password()
		name := "telltale_test_" + strconv.FormatUint(rand.Uint64(), 36)
		admin := open(t, cfg)
		if _, err := admin.Exec("CREATE DATABASE " + name); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if _, err := admin.Exec("DROP DATABASE " + name); err != nil {
				t.Error(err)
			}
		})
		cfg.DBName, u.Path = name, "/"+name
		return metadatatest.Database{
			URL: u.String(), SQL: open(t, cfg), Versions: goose.DialectMySQL,
			DropUsers: []string{"SET foreign_key_checks = 0", "DROP TABLE users", "SET foreign_key_checks = 1"},
			Waiting: "SELECT COUNT(*) FROM performance_schema.data_lock_waits w JOIN performance_schema.threads t " +
				"ON t.THREAD_ID = w.BLOCKING_THREAD_ID WHERE t.PROCESSLIST_ID = CONNECTION_ID()",
		}
	}
}

func open(t testing.TB, cfg *mysql.Config) *sql.DB {
	t.Helper()
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	t.Cleanup(func() { db.Close() })
	return db
}
