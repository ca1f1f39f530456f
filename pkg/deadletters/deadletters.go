// Package deadletters opens the store of dead letters on a server: what was rejected, with the reason, for
// people to look at and to replay. The topic of dead letters is how they get here; package event reads it.
// Package sqlite beside it, which keeps them in a file, is no part of that.
//
// ingest-writer owns the store: it prepares it and inserts. query-api shows, replays and deletes what is in it.
// A dead letter is kept for 30 days (iot.DeadLetterRetention) unless somebody deletes it, or all together take more than 1 GiB
// (iot.DeadLetterCapacity): then the oldest go.
package deadletters

import (
	"context"
	"errors"
	"strings"

	"github.com/telltale-iot/telltale/pkg/deadletters/mongo"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
)

// Store keeps dead letters. It is safe for concurrent use. While its server is away every call fails and may
// be repeated; the store goes on by itself when the server is back.
type Store interface {
	iot.DeadLetterWriter
	iot.DeadLetterStore
	// Prepare creates what the store needs (tables, indexes) where it is missing. The owner of the
	// store calls it before the first insert, and repeats it while it fails, or Check does.
	Prepare(ctx context.Context) error
	// Check is nil when the store answers and, once Prepare was called, nothing of that is missing.
	Check(ctx context.Context) error
	Close() error
}

// Open returns the store that url names, as readings.Open does: dead letters are kept beside the readings.
func Open(url string, files tlsfiles.Files) (Store, error) {
	switch scheme, _, _ := strings.Cut(url, "://"); scheme {
	case "mongodb", "mongodb+srv":
		store, err := mongo.Open(url, files)
		if err != nil {
			return nil, err // not store: a nil pointer in an interface is not nil
		}
		return store, nil
	default: // without the URL, which may hold a password
		return nil, errors.New("must start with mongodb:// or mongodb+srv://")
	}
}
