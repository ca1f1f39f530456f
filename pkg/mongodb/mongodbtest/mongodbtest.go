// Package mongodbtest gives tests databases on the server that TEST_MONGODB_URI names.
package mongodbtest

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// Server returns the URI of the server, without a database. Without one t is skipped, or fails where TEST_REQUIRE is 1.
func Server(t testing.TB) string {
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

// Database returns a new, empty database, which is dropped when t ends, and its URI.
func Database(t testing.TB) (db *mongo.Database, uri string) {
	t.Helper()
	server := Server(t)
	client, err := mongo.Connect(options.Client().ApplyURI(server))
	if err != nil {
		t.Fatal(err)
	}
	db = client.Database("telltale_test_" + rand.Text())
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		if err := errors.Join(db.Drop(ctx), client.Disconnect(ctx)); err != nil {
			t.Error(err)
		}
	})
	return db, server + "/" + db.Name()
}
