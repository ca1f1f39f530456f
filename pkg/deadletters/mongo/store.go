// Package mongo keeps dead letters in a MongoDB collection, dead_letters, beside the readings: a document per
// dead letter, whose _id is its id.
//
// A dead letter counts as stored when a majority of the replica set has it in its journal. MongoDB removes it by
// itself when its time is over. While the server is away calls fail as package mongodb says, and may be
// repeated.
package mongo

import (
	"context"
	"sync/atomic"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/mongodb"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
)

// Store is a deadletters.Store.
type Store struct {
	*mongodb.DB
	indexes  mongodb.Indexes
	prepared atomic.Bool
}

const collectionName = "dead_letters"

// Open returns the store in the database that uri, as MongoDB defines connection strings, names in its
// path. With tls=true the connections are secured by files. Open does not wait for the server.
func Open(uri string, files tlsfiles.Files) (*Store, error) {
	db, err := mongodb.Open(uri, files)
	if err != nil {
		return nil, err
	}
	newest := bson.D{{Key: fieldReceived, Value: -1}, {Key: fieldID, Value: -1}}
	return &Store{DB: db, indexes: mongodb.Indexes{DB: db, Collection: collectionName, Want: []mongodb.Index{
		{Keys: newest},
		{Keys: append(bson.D{{Key: fieldReason, Value: 1}}, newest...)},
		{Keys: append(bson.D{{Key: fieldDevice, Value: 1}}, newest...)},
		{Keys: bson.D{{Key: fieldStored, Value: 1}}, Expires: iot.DeadLetterRetention},
	}}}, nil
}

func (s *Store) collection(ctx context.Context) (*mongo.Collection, error) {
	database, err := s.Database(ctx)
	if err != nil {
		return nil, err
	}
	journal := true
	concern := &writeconcern.WriteConcern{W: writeconcern.WCMajority, Journal: &journal}
	return database.Collection(collectionName, options.Collection().SetWriteConcern(concern)), nil
}

// Prepare creates the indexes that are missing.
func (s *Store) Prepare(ctx context.Context) error {
	s.prepared.Store(true)
	return s.indexes.Make(ctx)
}

// Check is nil when the server answers and, of a replica set, there is a primary; of a prepared store, when all
// indexes are there, too.
func (s *Store) Check(ctx context.Context) error {
	if !s.prepared.Load() {
		return s.DB.Check(ctx)
	}
	return s.indexes.Check(ctx)
}
