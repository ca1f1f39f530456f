package mongo_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/mongodb"
	"github.com/telltale-iot/telltale/pkg/mongodb/mongodbtest"
)

// TestLostIndexes takes the indexes away from a store that is in use.
func TestLostIndexes(t *testing.T) {
	for name, lose := range map[string]func(*testing.T, *mongo.Collection) error{
		"the collection is dropped": func(t *testing.T, c *mongo.Collection) error { return c.Drop(t.Context()) },
		"the database is dropped":   func(t *testing.T, c *mongo.Collection) error { return c.Database().Drop(t.Context()) },
		"its unique index is dropped": func(t *testing.T, c *mongo.Collection) error {
			return c.Indexes().DropOne(t.Context(), "device_id_1_timestamp_1")
		},
		"its index of what was moved is dropped": func(t *testing.T, c *mongo.Collection) error {
			return c.Indexes().DropOne(t.Context(), "moved_1")
		},
		"it comes back without its indexes, and with readings": func(t *testing.T, c *mongo.Collection) error {
			_, err := c.InsertOne(t.Context(), bson.D{{Key: "device_id", Value: 99}})
			return errors.Join(c.Drop(t.Context()), err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			db, uri := mongodbtest.Database(t)
			store := openURI(t, uri)
			if err := store.Prepare(t.Context()); err != nil {
				t.Fatal(err)
			}
			wantInserted(t, store, []iot.Reading{reading(1, 0, 20)}, iot.Inserted{New: 1})
			if err := lose(t, db.Collection("readings")); err != nil {
				t.Fatal(err)
			}

			lost, second := time.Now(), 0
			var refused error
			for ; refused == nil; second++ {
				if _, refused = store.InsertReadings(t.Context(), []iot.Reading{reading(1, 1+second, 20)}); time.Since(lost) > time.Second && refused == nil {
					t.Fatal("readings are inserted without the index for a second")
				}
			}
			if !errors.Is(refused, mongodb.ErrNoIndex) {
				t.Errorf("an insert without the index: %v", refused)
			}
			err := store.Check(t.Context())
			if !errors.Is(err, mongodb.ErrNoIndex) || !strings.Contains(err.Error(), "unique index") || !strings.Contains(err.Error(), db.Name()+".readings") {
				t.Errorf("Check: %v", err)
			}
			if err := store.Prepare(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := store.Check(t.Context()); err != nil {
				t.Error(err)
			}
			wantInserted(t, store, []iot.Reading{reading(1, second, 20)}, iot.Inserted{New: 1})
			wantInserted(t, store, []iot.Reading{reading(1, second, 20)}, iot.Inserted{Duplicates: 1})
		})
	}

	t.Run("its index for newest first is dropped, which inserts do without", func(t *testing.T) {
		db, uri := mongodbtest.Database(t)
		store := openURI(t, uri)
		if err := store.Prepare(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := db.Collection("readings").Indexes().DropOne(t.Context(), "timestamp_-1_device_id_-1"); err != nil {
			t.Fatal(err)
		}
		wantInserted(t, store, []iot.Reading{reading(1, 0, 20)}, iot.Inserted{New: 1})
		if err := store.Check(t.Context()); !errors.Is(err, mongodb.ErrNoIndex) {
			t.Errorf("Check: %v", err)
		}
		if err := errors.Join(store.Prepare(t.Context()), store.Check(t.Context())); err != nil {
			t.Error(err)
		}
	})

	t.Run("a store that only reads does not ask for them", func(t *testing.T) {
		_, uri := mongodbtest.Database(t)
		if err := openURI(t, uri).Check(t.Context()); err != nil {
			t.Error(err)
		}
	})

	unique := bson.D{{Key: "key", Value: bson.D{{Key: "device_id", Value: 1}, {Key: "timestamp", Value: 1}}}, {Key: "unique", Value: true}}
	moved := bson.D{{Key: "key", Value: bson.D{{Key: "moved", Value: 1}}}, {Key: "unique", Value: true}, {Key: "sparse", Value: true}}
	t.Run("the one of what was moved need not be unique, as in a sharded collection", func(t *testing.T) {
		store, _ := answers{"listIndexes": indexes(unique, moved[:1]), "insert": {{Key: "ok", Value: 1}, {Key: "n", Value: 1}}}.start(t)
		wantInserted(t, store, []iot.Reading{reading(1, 0, 20)}, iot.Inserted{New: 1})
	})
	for name, listed := range map[string]bson.D{
		"one that is being built": indexes(bson.D{{Key: "spec", Value: unique}, {Key: "buildUUID", Value: bson.Binary{Subtype: 4, Data: make([]byte, 16)}}}, moved),
		"one that is not unique":  indexes(unique[:1], moved),
		"one of some documents":   indexes(append(unique[:2:2], bson.E{Key: "partialFilterExpression", Value: bson.D{}}), moved),
		"one the other way round": indexes(bson.D{{Key: "key", Value: bson.D{{Key: "timestamp", Value: 1}, {Key: "device_id", Value: 1}}}, unique[1]}, moved),
		"one with more fields":    indexes(bson.D{{Key: "key", Value: append(unique[0].Value.(bson.D)[:2:2], bson.E{Key: "x", Value: 1})}, unique[1]}, moved),
	} {
		t.Run("no unique index is "+name, func(t *testing.T) {
			store, inserts := answers{"listIndexes": listed, "insert": {{Key: "ok", Value: 1}, {Key: "n", Value: 1}}}.start(t)
			if _, err := store.InsertReadings(t.Context(), []iot.Reading{reading(1, 0, 20)}); !errors.Is(err, mongodb.ErrNoIndex) {
				t.Errorf("insert: %v", err)
			}
			if len(inserts) > 0 {
				t.Error("something was inserted")
			}
		})
	}
}
