// Package readings opens the store of all readings.
package readings

import (
	"context"
	"fmt"
	"strings"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/readings/mongo"
	"github.com/telltale-iot/telltale/pkg/readings/sqlite"
)

// Store keeps readings. It is safe for concurrent use. While its server is away every call fails and may
// be repeated; the store goes on by itself when the server is back.
type Store interface {
	iot.ReadingWriter
	iot.ReadingReader
	// Prepare creates what the store needs (tables, indexes) where it is missing. The owner of the
	// store calls it before the first insert, and repeats it while it fails.
	Prepare(ctx context.Context) error
	// Check is nil when the store answers.
	Check(ctx context.Context) error
	Close() error
}

// Open returns the store that url names: mongodb:// or mongodb+srv:// (with a database in the path), or
// sqlite:///path/to/file. It fails where the URL makes no sense, and does not wait for a server.
func Open(url string) (Store, error) {
	switch scheme, _, _ := strings.Cut(url, "://"); scheme {
	case "mongodb", "mongodb+srv":
		return opened(mongo.Open(url))
	case "sqlite":
		return opened(sqlite.Open(url))
	default: // without the URL, which may hold a password
		return nil, fmt.Errorf("readings are kept in mongodb://, mongodb+srv:// or sqlite://, not in %.20q", scheme)
	}
}

// opened keeps a nil *mongo.Store from becoming a Store that is not nil.
func opened[S Store](s S, err error) (Store, error) {
	if err != nil {
		return nil, err
	}
	return s, nil
}
