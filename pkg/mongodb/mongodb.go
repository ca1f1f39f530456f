// Package mongodb opens MongoDB databases, the same way for every store that is kept in one.
//
// While the server is away or does not answer a call fails after 5 s, or what timeoutMS in the URI says. The
// driver reconnects by itself.
package mongodb

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/connstring"

	"github.com/telltale-iot/telltale/pkg/tlsfiles"
)

// DB is an open database. It is safe for concurrent use.
type DB struct {
	*mongo.Database
	Timeout time.Duration // of a call
}

const (
	callTimeout  = 5 * time.Second // unless the URI has timeoutMS
	checkTimeout = 2 * time.Second
)

// Open opens the database that uri, as MongoDB defines connection strings, names in its path. With tls=true the
// connections are secured by files. Open does not wait for the server.
func Open(uri string, files tlsfiles.Files) (*DB, error) {
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
	return &DB{Database: client.Database(parsed.Database), Timeout: timeout}, nil
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

// Check is nil when the server answers and, of a replica set, there is a primary. While there is none, the
// driver goes on looking for as long as it may, and only then says why: Check gives it less time than those
// who call it have.
func (db *DB) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, min(db.Timeout, checkTimeout))
	defer cancel()
	if err := db.Client().Ping(ctx, readpref.Primary()); err != nil {
		return fmt.Errorf("ping mongodb: %w", err)
	}
	return nil
}

// Close closes the connections to the server. It waits for the calls that use one, as long as for any call.
func (db *DB) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), db.Timeout)
	defer cancel()
	return db.Client().Disconnect(ctx)
}
