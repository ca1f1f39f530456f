// Package mongo keeps readings in a MongoDB collection, readings, which other programs may read too: one
// document per reading, with the fields that Telltale's contract lists.
//
// A reading counts as stored when a majority of the replica set has it in its journal. While the server is
// away or does not answer a call fails after 5 s, or what timeoutMS in the URI says, and may be repeated: the
// unique index on device and time keeps readings from being stored twice. The driver reconnects by itself.
package mongo

import (
	"context"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/mongodb"
	"github.com/telltale-iot/telltale/pkg/readings/internal/taken"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
)

// Store is a readings.Store.
type Store struct {
	*mongodb.DB // Check and Close are its own
	taken       taken.Stretches
}

var (
	_ iot.ReadingWriter = (*Store)(nil)
	_ iot.ReadingReader = (*Store)(nil)
)

const (
	collectionName = "readings"
	indexTimeout   = time.Hour   // building an index takes long where there is a lot of data
	countTimeout   = time.Minute // so does counting
)

// Open returns the store in the database that uri, as MongoDB defines connection strings, names in its
// path. With tls=true the connections are secured by files. Open does not wait for the server.
func Open(uri string, files tlsfiles.Files) (*Store, error) {
	db, err := mongodb.Open(uri, files)
	if err != nil {
		return nil, err
	}
	return &Store{DB: db}, nil
}

// Prepare creates the indexes that are missing. That fails where readings of the same device and time are
// stored already.
func (s *Store) Prepare(ctx context.Context) error {
	if err := s.Check(ctx); err != nil { // at once, while what follows may take long
		return err
	}
	collection, err := s.collection(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, indexTimeout)
	defer cancel()
	// The unique index serves the readings of one device, newest first, the other one those of all.
	// Left to itself, the driver gives them the names that every driver would.
	unique := mongo.IndexModel{
		Keys:    bson.D{{Key: fieldDevice, Value: 1}, {Key: fieldAt, Value: 1}},
		Options: options.Index().SetUnique(true),
	}
	// That a reading which was moved is not stored twice; there are few of them.
	moved := mongo.IndexModel{
		Keys:    bson.D{{Key: fieldMoved, Value: 1}},
		Options: options.Index().SetUnique(true).SetSparse(true),
	}
	newest := mongo.IndexModel{Keys: bson.D{{Key: fieldAt, Value: -1}, {Key: fieldDevice, Value: -1}}}
	if _, err := collection.Indexes().CreateOne(ctx, unique); err != nil {
		return fmt.Errorf("create unique index (%s, %s) of %s: %w", fieldDevice, fieldAt, s.name(), err)
	}
	if _, err := collection.Indexes().CreateOne(ctx, moved); err != nil {
		return fmt.Errorf("create unique index (%s) of %s: %w", fieldMoved, s.name(), err)
	}
	if _, err := collection.Indexes().CreateOne(ctx, newest); err != nil {
		return fmt.Errorf("create index (%s, %s) of %s: %w", fieldAt, fieldDevice, s.name(), err)
	}
	return nil
}

// name returns the full name of the collection.
func (s *Store) name() string { return s.Name + "." + collectionName }

func (s *Store) collection(ctx context.Context) (*mongo.Collection, error) {
	database, err := s.Database(ctx)
	if err != nil {
		return nil, err
	}
	return database.Collection(collectionName), nil
}
