// Package mongo keeps dead letters in a MongoDB collection, dead_letters, beside the readings: a document per
// dead letter, whose _id is its id.
//
// A dead letter counts as stored when a majority of the replica set has it in its journal. MongoDB removes it by
// itself when its time is over. While the server is away calls fail as package mongodb says, and may be
// repeated.
package mongo

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/mongodb"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
)

// Store is a deadletters.Store.
type Store struct {
	*mongodb.Collection
	Capacity int64 // iot.DeadLetterCapacity, but in tests
}

// Open returns the store in the database that uri, as MongoDB defines connection strings, names in its
// path. With tls=true the connections are secured by files. Open does not wait for the server.
func Open(uri string, files tlsfiles.Files) (*Store, error) {
	db, err := mongodb.Open(uri, files)
	if err != nil {
		return nil, err
	}
	return &Store{Capacity: iot.DeadLetterCapacity, Collection: &mongodb.Collection{DB: db, Name: "dead_letters", Indexes: []mongodb.Index{
		{Keys: newest},
		{Keys: append(bson.D{{Key: fieldReason, Value: 1}}, newest...)},
		{Keys: append(bson.D{{Key: fieldDevice, Value: 1}}, newest...)},
		{Keys: bson.D{{Key: fieldStored, Value: 1}}, Expires: iot.DeadLetterRetention},
	}}}, nil
}

var newest = bson.D{{Key: fieldReceived, Value: -1}, {Key: fieldID, Value: -1}}
