package mongodb

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/telltale-iot/telltale/pkg/timeouts"
)

const (
	codeCommandNotFound = 59                          // the server's word for a command that it does not know
	maxExpiry           = math.MaxInt32 * time.Second // as the server has it
)

// expiryIndex is the name of the index of ExpireAfter. One by another name is somebody else's.
const expiryIndex = "telltale_retention"

// ErrForeignIndex is that somebody else has made the only index by a field that there can be.
var ErrForeignIndex = errors.New("somebody else has made an index of the same field")

// ExpireAfter has the server remove documents that long after the time in a field; 0: not any more. An index that
// somebody else has made is never changed: where it keeps them from being removed as is wanted, that is ErrForeignIndex, since
// the server has no second one of the same field.
func (c *Collection) ExpireAfter(ctx context.Context, field string, after time.Duration) error {
	want := int64(min(after, maxExpiry) / time.Second)
	name, is, err := c.expiry(ctx, field)
	if err != nil {
		return err
	}
	collection, err := c.Driver(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, prepareTimeout)
	defer cancel()
	create := func() error {
		_, err := collection.Indexes().CreateOne(ctx, mongo.IndexModel{
			Keys:    bson.D{{Key: field, Value: 1}},
			Options: options.Index().SetName(expiryIndex).SetExpireAfterSeconds(int32(want)),
		})
		return err
	}
	switch {
	case is == want, want == 0 && name != expiryIndex:
	case name == "":
		err = create()
	case name != expiryIndex:
		err = fmt.Errorf("%w: %s", ErrForeignIndex, name)
	case want == 0:
		err = collection.Indexes().DropOne(ctx, name)
	default:
		err = collection.Database().RunCommand(ctx, bson.D{{Key: "collMod", Value: c.Name}, {Key: "index", Value: bson.D{
			{Key: "name", Value: name}, {Key: "expireAfterSeconds", Value: want},
		}}}).Err()
		if IsCommandNotFound(err) { // servers that are like MongoDB do not all have it
			if err = collection.Indexes().DropOne(ctx, name); err == nil {
				err = create()
			}
		}
	}
	if err != nil {
		return fmt.Errorf("have documents of %s.%s removed after %v: %w", c.DB.Name, c.Name, after, err)
	}
	return nil
}

// Expiry returns how long after the time in a field the server removes documents; 0: it does not.
func (c *Collection) Expiry(ctx context.Context, field string) (time.Duration, error) {
	_, seconds, err := c.expiry(ctx, field)
	return time.Duration(seconds) * time.Second, err
}

// expiry returns the name of the index by a field alone, and after how many seconds it has documents removed.
func (c *Collection) expiry(ctx context.Context, field string) (name string, seconds int64, err error) {
	listed, err := c.list(ctx, timeouts.MongoCheck)
	for _, value := range listed {
		l, _ := value.DocumentOK()
		if (Index{Keys: bson.D{{Key: field, Value: 1}}}).hasKeys(l) {
			name, _ = l.Lookup("name").StringValueOK()
			seconds, _ = l.Lookup("expireAfterSeconds").AsInt64OK()
		}
	}
	return name, seconds, err
}

// IsCommandNotFound reports whether err is a server's that does not know a command.
func IsCommandNotFound(err error) bool {
	var refused mongo.CommandError
	return errors.As(err, &refused) && refused.Code == codeCommandNotFound
}
