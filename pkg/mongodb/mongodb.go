// Package mongodb opens MongoDB databases, and collections with their indexes, the same way for every store that is
// kept in one, and finds pages of what is in them.
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
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/connstring"
	"golang.org/x/sync/singleflight"

	"github.com/telltale-iot/telltale/pkg/settings"
	"github.com/telltale-iot/telltale/pkg/timeouts"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
)

// DB is an open database. It is safe for concurrent use.
type DB struct {
	Name    string
	Timeout time.Duration // of a call

	uri        string
	files      tlsfiles.Files
	connecting singleflight.Group
	database   atomic.Pointer[mongo.Database] // nil until DNS has said where mongodb+srv:// is
}

var errNoDatabase = errors.New("the URI names no database: mongodb://host:port/database")

// Open opens the database that uri, as MongoDB defines connection strings, names in its path. With tls=true the
// connections are secured by files. Open does not wait for the server, nor for DNS, which names the servers of
// mongodb+srv://: while that is away, so is the database.
func Open(uri string, files tlsfiles.Files) (*DB, error) {
	db := &DB{uri: uri, files: files}
	parsed, err := connstring.ParseAndValidate(uri)
	if errors.As(err, new(*net.DNSError)) {
		if err := db.readURI(); err != nil {
			return nil, err
		}
		return db, nil
	}
	if err != nil {
		return nil, settings.HideURL(err, uri)
	}
	if parsed.Database == "" {
		return nil, errNoDatabase
	}
	db.Name, db.Timeout = parsed.Database, cmp.Or(parsed.Timeout, timeouts.MongoCall) // 0 would be no limit
	if err := db.connect(); err != nil && !errors.As(err, new(*net.DNSError)) {
		return nil, settings.HideURL(err, uri)
	}
	return db, nil
}

// readURI reads what the driver does not while DNS is away.
func (db *DB) readURI() error {
	u, err := url.Parse(db.uri)
	if err != nil || len(u.Path) < 2 {
		return errNoDatabase // not err: what it quotes may be part of a password
	}
	millis, _ := strconv.Atoi(u.Query().Get("timeoutMS"))
	db.Name, db.Timeout = u.Path[1:], cmp.Or(time.Duration(max(millis, 0))*time.Millisecond, timeouts.MongoCall)
	return nil
}

// connect makes the client. Only for mongodb+srv:// does it ask anybody, which is DNS.
func (db *DB) connect() error {
	opts := options.Client().ApplyURI(db.uri).
		SetTimeout(db.Timeout).SetServerSelectionTimeout(db.Timeout).SetConnectTimeout(db.Timeout)
	if err := opts.Validate(); err != nil {
		return err
	}
	if db.files.Set() {
		if opts.TLSConfig == nil {
			return errors.New("files for TLS are given, but the URI does not ask for it with tls=true")
		}
		// The driver would keep what it is given for ever.
		opts.SetTLSConfig(nil).SetDialer(&dialer{files: db.files, timeout: db.Timeout})
	}
	client, err := mongo.Connect(opts)
	if err != nil {
		return fmt.Errorf("connect to mongodb: %w", err)
	}
	db.database.Store(client.Database(db.Name))
	return nil
}

// Database returns the driver's database. It fails where DNS has not said yet where that is.
func (db *DB) Database(ctx context.Context) (*mongo.Database, error) {
	if database := db.database.Load(); database != nil {
		return database, nil
	}
	ctx, cancel := context.WithTimeout(ctx, db.Timeout)
	defer cancel()
	connected := db.connecting.DoChan("", func() (any, error) { // it cannot be cancelled
		if db.database.Load() != nil {
			return nil, nil
		}
		return nil, db.connect()
	})
	select {
	case result := <-connected:
		return db.database.Load(), result.Err
	case <-ctx.Done():
		return nil, fmt.Errorf("look for the servers of mongodb: %w", ctx.Err())
	}
}

// InOrder returns a context for calls of one goroutine, of which each sees what those before it have seen and written, with a
// primary that has just taken over too: what is read from a majority waits until that has caught up. done ends it.
func (db *DB) InOrder(ctx context.Context) (_ context.Context, done func(), err error) {
	database, err := db.Database(ctx)
	if err != nil {
		return nil, nil, err
	}
	session, err := database.Client().StartSession() // it is causally consistent
	if err != nil {
		return nil, nil, fmt.Errorf("begin a session of mongodb: %w", err)
	}
	return mongo.NewSessionContext(ctx, session), func() { session.EndSession(context.WithoutCancel(ctx)) }, nil
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
	ctx, cancel := context.WithTimeout(ctx, min(db.Timeout, timeouts.MongoCheck))
	defer cancel()
	database, err := db.Database(ctx)
	if err == nil {
		err = database.Client().Ping(ctx, readpref.Primary())
	}
	if err != nil {
		return fmt.Errorf("ping mongodb: %w", err)
	}
	return nil
}

// Close closes the connections to the server. It waits timeouts.CloseClient for the calls that use one, and for the server to take
// leave.
func (db *DB) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), timeouts.CloseClient)
	defer cancel()
	select {
	case <-db.connecting.DoChan("", func() (any, error) { return nil, nil }): // no lookup is under way
	case <-ctx.Done():
	}
	database := db.database.Load()
	if database == nil {
		return nil
	}
	return database.Client().Disconnect(ctx)
}
