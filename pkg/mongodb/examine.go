package mongodb

import (
	"context"
	"errors"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/topology"

	"github.com/telltale-iot/telltale/pkg/doctor"
	"github.com/telltale-iot/telltale/pkg/timeouts"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
)

// leastVersion is the oldest version whose driver's protocol and commands are in use here.
const leastVersion = "4.4"

// Examine looks at the server that uri, the value of variable, names.
func Examine(variable, uri string, files tlsfiles.Files) doctor.Check {
	return doctor.Check{Part: variable, Look: func(ctx context.Context) []doctor.Finding {
		db, err := Open(uri, files)
		if err != nil {
			return doctor.Fail(err.Error(), "correct "+variable)
		}
		defer func() { _ = db.Close() }()
		return doctor.AskServer(ctx, variable, doctor.Place(uri), leastVersion, func(ctx context.Context) (doctor.Server, error) {
			server, err := db.server(ctx)
			return server, lastError(err)
		})
	}}
}

// lastError is why no server was found, where that is what err says, at length.
func lastError(err error) error {
	var selection topology.ServerSelectionError
	if !errors.As(err, &selection) {
		return err
	}
	for _, s := range selection.Desc.Servers {
		if s.LastError != nil {
			return s.LastError
		}
	}
	return err
}

func (db *DB) server(ctx context.Context) (server doctor.Server, err error) {
	ctx, cancel := context.WithTimeout(ctx, min(db.Timeout, timeouts.MongoCheck))
	defer cancel()
	database, err := db.Database(ctx)
	if err != nil {
		return server, err
	}
	var build struct{ Version string }
	if err := run(ctx, database, bson.D{{Key: "buildInfo", Value: 1}}, &build); err != nil {
		return server, err
	}
	// What logs in with nothing is let in, and may ask for the two others: this one is refused then.
	if _, err := database.ListCollectionNames(ctx, bson.D{}); err != nil {
		return server, err
	}
	var hello struct{ LocalTime time.Time }
	err = run(ctx, database, bson.D{{Key: "hello", Value: 1}}, &hello)
	return doctor.Server{Version: build.Version, Clock: hello.LocalTime}, err
}

// run runs a command on the primary.
func run(ctx context.Context, database *mongo.Database, command bson.D, answer any) error {
	return database.RunCommand(ctx, command, options.RunCmd().SetReadPreference(readpref.Primary())).Decode(answer)
}
