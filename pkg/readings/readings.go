// Package readings opens the store of all readings on a server. Package sqlite beside it, which keeps them in
// a file, is no part of that: it is large, and only one program needs it.
package readings

import (
	"context"
	"errors"
	"strings"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/readings/mongo"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
)

// Store keeps readings. It is safe for concurrent use. While its server is away every call fails and may
// be repeated; the store goes on by itself when the server is back.
type Store interface {
	iot.ReadingWriter
	iot.ReadingReader
	iot.HistoryReader
	// Prepare creates what the store needs (tables, indexes) where it is missing. The owner of the
	// store calls it before the first insert, and repeats it while it fails, or Check does.
	Prepare(ctx context.Context) error
	// Check is nil when the store answers and, once Prepare was called, nothing of that is missing.
	Check(ctx context.Context) error
	// Maintain does what is to be done beside inserts (seal, roll up, remove what is too old) until ctx ends. The owner
	// of the store runs it, after Prepare. An outage it waits out.
	Maintain(ctx context.Context) error
	// Usage says what the store takes.
	Usage(ctx context.Context) (iot.Usage, error)
	Close() error
}

// Open returns the store that url names, for those who only read or insert: mongodb:// or mongodb+srv:// (with a database
// in the path). files are for TLS, where url asks for it. It fails where url makes no sense, and does not wait for the
// server.
func Open(url string, files tlsfiles.Files) (Store, error) {
	return OpenOwned(url, files, Options{})
}

// Options are what its owner opens a store with.
type Options = mongo.Options

// OpenOwned opens a store for its owner, who maintains it.
func OpenOwned(url string, files tlsfiles.Files, o Options) (Store, error) {
	switch scheme, _, _ := strings.Cut(url, "://"); scheme {
	case "mongodb", "mongodb+srv":
		store, err := mongo.Open(url, files, o)
		if err != nil {
			return nil, err // not store: a nil pointer in an interface is not nil
		}
		return store, nil
	default: // without the URL, which may hold a password
		return nil, errors.New("must start with mongodb:// or mongodb+srv://")
	}
}
