package mongodb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"

	"github.com/telltale-iot/telltale/pkg/timeouts"
)

const (
	prepareTimeout        = time.Hour // making an index takes long where there is a lot of data
	codeNamespaceNotFound = 26        // the server's word for a collection that is not there
)

// ErrNoIndex is that a collection lacks an index, as one does that was dropped, lost with the server's disk, or
// restored without.
var ErrNoIndex = errors.New("it is missing")

// Index is one that a collection must have.
type Index struct {
	Keys    bson.D // fields, ascending (1) or descending (-1)
	Unique  bool
	Relaxed bool          // Unique, but one that an operator has made without is taken too: a sharded collection has no other
	Sparse  bool          // it leaves out documents without the fields
	Expires time.Duration // a document is removed that long after the time in its field; 0: never
}

// Collection is a collection of a database, and the indexes that it must have.
type Collection struct {
	DB      *DB
	Name    string
	Indexes []Index

	prepared atomic.Bool
}

// Driver returns the driver's collection. What is written through it is in the journals of a majority of the replica
// set, or it is an error, whatever the URI says.
func (c *Collection) Driver(ctx context.Context) (*mongo.Collection, error) {
	database, err := c.DB.Database(ctx)
	if err != nil {
		return nil, err
	}
	journal := true
	concern := &writeconcern.WriteConcern{W: writeconcern.WCMajority, Journal: &journal}
	return database.Collection(c.Name, options.Collection().SetWriteConcern(concern)), nil
}

// Prepare makes the indexes that are missing.
func (c *Collection) Prepare(ctx context.Context) error {
	c.prepared.Store(true)
	missing, err := c.missing(ctx, timeouts.MongoCheck) // an outage shows at once, while what follows may take long
	if err != nil {
		return err
	}
	collection, err := c.Driver(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, prepareTimeout)
	defer cancel()
	for _, index := range missing {
		// Left to itself, the driver gives it the name that every driver would.
		if _, err := collection.Indexes().CreateOne(ctx, index.model()); err != nil {
			return fmt.Errorf("create %s: %w", c.describe(index), err)
		}
	}
	return nil
}

// Check is nil when the server answers and, of a replica set, there is a primary. Once Prepare was called, all
// indexes must be there, too: ErrNoIndex says which is not. One that is still being built is missing: it refuses
// nothing yet.
func (c *Collection) Check(ctx context.Context) error {
	if !c.prepared.Load() {
		return c.DB.Check(ctx)
	}
	return c.CheckIndexes(ctx)
}

// CheckIndexes is nil when all indexes are there, and else ErrNoIndex.
func (c *Collection) CheckIndexes(ctx context.Context) error {
	return c.checkIndexes(ctx, timeouts.MongoCheck, func(Index) bool { return true })
}

// CheckUnique is nil when the indexes are there that keep documents from being stored twice, and else ErrNoIndex.
func (c *Collection) CheckUnique(ctx context.Context) error {
	return c.checkIndexes(ctx, c.DB.Timeout, func(i Index) bool { return i.Unique })
}

func (c *Collection) checkIndexes(ctx context.Context, within time.Duration, needed func(Index) bool) error {
	missing, err := c.missing(ctx, within)
	if err != nil {
		return err
	}
	if n := slices.IndexFunc(missing, needed); n >= 0 {
		return fmt.Errorf("%s: %w", c.describe(missing[n]), ErrNoIndex)
	}
	return nil
}

// missing asks the primary for the indexes, and returns those that are not there.
func (c *Collection) missing(ctx context.Context, within time.Duration) ([]Index, error) {
	listed, err := c.list(ctx, within)
	if err != nil {
		return nil, err
	}
	var missing []Index
	for _, index := range c.Indexes {
		if !index.among(listed) {
			missing = append(missing, index)
		}
	}
	return missing, nil
}

// list returns the indexes that the primary has; none where there is no collection.
func (c *Collection) list(ctx context.Context, within time.Duration) ([]bson.RawValue, error) {
	ctx, cancel := context.WithTimeout(ctx, min(c.DB.Timeout, within))
	defer cancel()
	database, err := c.DB.Database(ctx)
	if err != nil {
		return nil, err
	}
	answer, err := database.RunCommand(ctx, bson.D{
		{Key: "listIndexes", Value: c.Name},
		{Key: "includeBuildUUIDs", Value: true}, // else one that is being built looks like any other
	}).Raw()
	var refused mongo.CommandError
	if errors.As(err, &refused) && refused.Code == codeNamespaceNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look at the indexes of %s.%s: %w", c.DB.Name, c.Name, err)
	}
	batch, _ := answer.Lookup("cursor", "firstBatch").ArrayOK() // all of them: a collection has 64 at most
	listed, _ := batch.Values()
	return listed, nil
}

// Close closes the database.
func (c *Collection) Close() error { return c.DB.Close() }

func (c *Collection) describe(index Index) string {
	var fields []string
	for _, key := range index.Keys {
		fields = append(fields, key.Key)
	}
	kind := "index"
	if index.Unique {
		kind = "unique index"
	}
	return fmt.Sprintf("%s (%s) of %s.%s", kind, strings.Join(fields, ", "), c.DB.Name, c.Name)
}

func (i Index) model() mongo.IndexModel {
	settings := options.Index()
	if i.Unique {
		settings.SetUnique(true)
	}
	if i.Sparse {
		settings.SetSparse(true)
	}
	if i.Expires > 0 {
		settings.SetExpireAfterSeconds(int32(i.Expires / time.Second))
	}
	return mongo.IndexModel{Keys: i.Keys, Options: settings}
}

// among reports whether one of the server's indexes does what i is for, whatever its name.
func (i Index) among(listed []bson.RawValue) bool {
	for _, value := range listed {
		l, _ := value.DocumentOK()
		unique, _ := l.Lookup("unique").BooleanOK()
		_, partial := l.Lookup("partialFilterExpression").DocumentOK()
		expires, _ := l.Lookup("expireAfterSeconds").AsInt64OK()
		if i.hasKeys(l) && (unique == i.Unique || i.Relaxed) && !partial && expires == int64(i.Expires/time.Second) {
			return true
		}
	}
	return false
}

func (i Index) hasKeys(listed bson.Raw) bool {
	key, _ := listed.Lookup("key").DocumentOK() // none in one that is being built, which is wrapped
	fields, err := key.Elements()
	if err != nil || len(fields) != len(i.Keys) {
		return false
	}
	for n, field := range fields {
		direction, _ := field.Value().AsInt64OK() // 1 of any type
		if field.Key() != i.Keys[n].Key || i.Keys[n].Value != int(direction) {
			return false
		}
	}
	return true
}
