package api

import (
	"context"
	"database/sql"
	"math/rand/v2"
	"net/url"
	"strconv"
	"testing"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/redis/rueidis"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/telltale-iot/telltale/pkg/metadata/metadatatest"
)

// onServers opens new, empty stores on real servers, with metadata at what database returns.
func onServers(database func(testing.TB) string) func(testing.TB) stores {
	return func(t testing.TB) stores {
		t.Helper()
		s := urls{database(t), mongoDatabase(t), redisDatabase(t)}.open(t)
		s.prepare(t)
		return s
	}
}

func freshName() string { return "telltale_test_" + strconv.FormatUint(rand.Uint64(), 36) }

func parseURL(t testing.TB, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// mysqlDatabase creates a database that is dropped when t ends.
func mysqlDatabase(t testing.TB) string {
	t.Helper()
	u := parseURL(t, metadatatest.ServerURL(t, "TEST_MYSQL_URL"))
	name := freshName()
	password, _ := u.User.Password()
	execute(t, "mysql", u.User.Username()+":"+password+"@tcp("+u.Host+")/", "CREATE DATABASE "+name, "DROP DATABASE "+name)
	u.Path = "/" + name
	return u.String()
}

// postgresSchema creates a schema that is dropped when t ends.
func postgresSchema(t testing.TB) string {
	t.Helper()
	u := parseURL(t, metadatatest.ServerURL(t, "TEST_POSTGRES_URL"))
	name := freshName()
	execute(t, "pgx", u.String(), "CREATE SCHEMA "+name, "DROP SCHEMA "+name+" CASCADE")
	query := u.Query()
	query.Set("search_path", name)
	u.RawQuery = query.Encode()
	return u.String()
}

// execute runs one statement now and the other when t ends.
func execute(t testing.TB, driver, source, now, finally string) {
	t.Helper()
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(now); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := db.Exec(finally); err != nil {
			t.Error(err)
		}
		_ = db.Close()
	})
}

// mongoDatabase names a database that is dropped when t ends.
func mongoDatabase(t testing.TB) string {
	t.Helper()
	u := parseURL(t, metadatatest.ServerURL(t, "TEST_MONGODB_URI"))
	client, err := mongo.Connect(options.Client().ApplyURI(u.String()))
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + freshName()
	t.Cleanup(func() {
		if err := client.Database(u.Path[1:]).Drop(context.Background()); err != nil {
			t.Error(err)
		}
		_ = client.Disconnect(context.Background())
	})
	return u.String()
}

// redisDatabase names a database that is emptied, beside those that other packages' tests use.
func redisDatabase(t testing.TB) string {
	t.Helper()
	u := parseURL(t, metadatatest.ServerURL(t, "TEST_REDIS_URL"))
	u.Path = "/13"
	client, err := rueidis.NewClient(rueidis.MustParseURL(u.String()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.Do(t.Context(), client.B().Flushdb().Build()).Error(); err != nil {
		t.Fatal(err)
	}
	return u.String()
}
