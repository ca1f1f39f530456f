// Package mongo keeps readings in a MongoDB collection, readings, which other programs may read too: one
// document per reading, with the fields that Telltale's contract lists.
//
// A reading counts as stored when a majority of the replica set has it in its journal. While the server is
// away or does not answer a call fails after 5 s, or what timeoutMS in the URI says, and may be repeated: the
// unique index on device and time keeps readings from being stored twice. The driver reconnects by itself.
package mongo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/connstring"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
)

// Store is a readings.Store.
type Store struct {
	client     *mongo.Client
	collection *mongo.Collection
	timeout    time.Duration // of a call
}

var (
	_ iot.ReadingWriter = (*Store)(nil)
	_ iot.ReadingReader = (*Store)(nil)
)

const (
	collectionName = "readings"
	callTimeout    = 5 * time.Second // unless the URI has timeoutMS
	indexTimeout   = time.Hour       // building an index takes long where there is a lot of data
	countTimeout   = time.Minute     // so does counting
	checkTimeout   = 2 * time.Second
)

// Open returns the store in the database that uri, as MongoDB defines connection strings, names in its
// path. With tls=true the connections are secured by files. Open does not wait for the server.
func Open(uri string, files tlsfiles.Files) (*Store, error) {
	parsed, err := connstring.ParseAndValidate(uri)
	if err != nil {
		return nil, err
	}
	if parsed.Database == "" {
		return nil, errors.New("the URI names no database: mongodb://host:port/database")
	}
	timeout := cmp.Or(parsed.Timeout, callTimeout) // 0 would be no limit
	settings := options.Client().ApplyURI(uri).
		SetTimeout(timeout).SetServerSelectionTimeout(timeout).SetConnectTimeout(timeout)
	if files.Set() {
		if settings.TLSConfig == nil {
			return nil, errors.New("files for TLS are given, but the URI does not ask for it with tls=true")
		}
		// The driver would keep what it is given for ever.
		settings.SetTLSConfig(nil).SetDialer(&dialer{files: files, timeout: timeout})
	}
	client, err := mongo.Connect(settings)
	if err != nil {
		return nil, fmt.Errorf("connect to mongodb: %w", err)
	}
	collection := client.Database(parsed.Database).Collection(collectionName)
	return &Store{client: client, collection: collection, timeout: timeout}, nil
}

// dialer opens connections with TLS.
type dialer struct {
	files   tlsfiles.Files
	timeout time.Duration
}

func (d *dialer) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return d.files.Handshake(ctx, conn, addr)
}

// Prepare creates the indexes that are missing. That fails where readings of the same device and time are
// stored already.
func (s *Store) Prepare(ctx context.Context) error {
	if err := s.Check(ctx); err != nil { // at once, while what follows may take long
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
	newest := mongo.IndexModel{Keys: bson.D{{Key: fieldAt, Value: -1}, {Key: fieldDevice, Value: -1}}}
	if _, err := s.collection.Indexes().CreateOne(ctx, unique); err != nil {
		return fmt.Errorf("create unique index (%s, %s) of %s: %w", fieldDevice, fieldAt, s.name(), err)
	}
	if _, err := s.collection.Indexes().CreateOne(ctx, newest); err != nil {
		return fmt.Errorf("create index (%s, %s) of %s: %w", fieldAt, fieldDevice, s.name(), err)
	}
	return nil
}

// name returns the full name of the collection.
func (s *Store) name() string { return s.collection.Database().Name() + "." + s.collection.Name() }

// Check is nil when the server answers and, of a replica set, there is a primary. While there is none, the
// driver goes on looking for as long as it may, and only then says why: Check gives it less time than those
// who call it have.
func (s *Store) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, min(s.timeout, checkTimeout))
	defer cancel()
	if err := s.client.Ping(ctx, readpref.Primary()); err != nil {
		return fmt.Errorf("ping mongodb: %w", err)
	}
	return nil
}

// Close closes the connections to the server. It waits for the calls that use one, as long as for any call.
func (s *Store) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), s.timeout)
	defer cancel()
	return s.client.Disconnect(ctx)
}
