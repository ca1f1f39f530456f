package mongo_test

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/telltale-iot/telltale/pkg/readings"
	"github.com/telltale-iot/telltale/pkg/readings/readingstest"
)

// server returns the URI of the server for tests, without a database.
func server(t testing.TB) string {
	t.Helper()
	uri := os.Getenv("TEST_MONGODB_URI")
	if uri == "" {
		if os.Getenv("TEST_REQUIRE") == "1" {
			t.Fatal("TEST_MONGODB_URI is not set")
		}
		t.Skip("TEST_MONGODB_URI is not set")
	}
	return strings.TrimSuffix(uri, "/")
}

// database returns a new, empty database, which is dropped when t ends.
func database(t testing.TB) *mongo.Database {
	t.Helper()
	client, err := mongo.Connect(options.Client().ApplyURI(server(t)))
	if err != nil {
		t.Fatal(err)
	}
	db := client.Database("telltale_test_" + rand.Text())
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		if err := errors.Join(db.Drop(ctx), client.Disconnect(ctx)); err != nil {
			t.Error(err)
		}
	})
	return db
}

// openURI opens the store at uri and closes it when t ends.
func openURI(t testing.TB, uri string) readings.Store {
	t.Helper()
	store, err := readings.Open(uri)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

func open(t testing.TB) readings.Store {
	t.Helper()
	store := openURI(t, server(t)+"/"+database(t).Name())
	if err := store.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	return store
}

func TestStore(t *testing.T) { readingstest.Run(t, open) }

func BenchmarkStore(b *testing.B) { readingstest.Benchmark(b, open) }
