package mongodb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// makeTimeout is how long making an index may take: long where there is a lot of data.
const makeTimeout = time.Hour

// codeNamespaceNotFound is the server's word for a collection that is not there.
const codeNamespaceNotFound = 26

// ErrNoIndex is that a collection lacks an index, as one does that was dropped, lost with the server's disk, or
// restored without.
var ErrNoIndex = errors.New("it is missing")

// Index is one that a collection must have.
type Index struct {
	Keys    bson.D // fields, ascending (1) or descending (-1)
	Unique  bool
	Sparse  bool          // it leaves out documents without the fields
	Expires time.Duration // a document is removed that long after the time in its field; 0: never
}

// Indexes are those that a collection must have.
type Indexes struct {
	DB         *DB
	Collection string
	Want       []Index
}

// Check is nil when the collection has all of them, and ErrNoIndex where it lacks one. One that is still being
// built is missing: it refuses nothing yet.
func (x *Indexes) Check(ctx context.Context) error {
	return x.check(ctx, checkTimeout, func(Index) bool { return true })
}

// CheckUnique is Check for those that keep documents from being stored twice.
func (x *Indexes) CheckUnique(ctx context.Context) error {
	return x.check(ctx, x.DB.Timeout, func(i Index) bool { return i.Unique })
}

func (x *Indexes) check(ctx context.Context, within time.Duration, needed func(Index) bool) error {
	missing, err := x.missing(ctx, within)
	if err != nil {
		return err
	}
	if n := slices.IndexFunc(missing, needed); n >= 0 {
		return fmt.Errorf("%s: %w", x.describe(missing[n]), ErrNoIndex)
	}
	return nil
}

// Make makes those that are missing.
func (x *Indexes) Make(ctx context.Context) error {
	missing, err := x.missing(ctx, checkTimeout) // an outage shows at once, while what follows may take long
	if err != nil {
		return err
	}
	database, err := x.DB.Database(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, makeTimeout)
	defer cancel()
	for _, index := range missing {
		// Left to itself, the driver gives it the name that every driver would.
		if _, err := database.Collection(x.Collection).Indexes().CreateOne(ctx, index.model()); err != nil {
			return fmt.Errorf("create %s: %w", x.describe(index), err)
		}
	}
	return nil
}

// missing asks the primary for the indexes, and returns those that are not there.
func (x *Indexes) missing(ctx context.Context, within time.Duration) ([]Index, error) {
	ctx, cancel := context.WithTimeout(ctx, min(x.DB.Timeout, within))
	defer cancel()
	database, err := x.DB.Database(ctx)
	if err != nil {
		return nil, err
	}
	answer, err := database.RunCommand(ctx, bson.D{
		{Key: "listIndexes", Value: x.Collection},
		{Key: "includeBuildUUIDs", Value: true}, // else one that is being built looks like any other
	}).Raw()
	var refused mongo.CommandError
	if errors.As(err, &refused) && refused.Code == codeNamespaceNotFound {
		return x.Want, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look at the indexes of %s.%s: %w", x.DB.Name, x.Collection, err)
	}
	batch, _ := answer.Lookup("cursor", "firstBatch").ArrayOK() // all of them: a collection has 64 at most
	listed, _ := batch.Values()
	var missing []Index
	for _, index := range x.Want {
		if !index.among(listed) {
			missing = append(missing, index)
		}
	}
	return missing, nil
}

func (x *Indexes) describe(index Index) string {
	var fields []string
	for _, key := range index.Keys {
		fields = append(fields, key.Key)
	}
	kind := "index"
	if index.Unique {
		kind = "unique index"
	}
	return fmt.Sprintf("%s (%s) of %s.%s", kind, strings.Join(fields, ", "), x.DB.Name, x.Collection)
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
		if i.hasKeys(l) && unique == i.Unique && !partial && expires == int64(i.Expires/time.Second) {
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
