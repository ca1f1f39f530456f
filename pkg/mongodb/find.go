package mongodb

import (
	"context"
	"errors"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/telltale-iot/telltale/pkg/internal/page"
)

// Find calls take for the documents in collection that filter selects, until it wants no more. They are not kept.
func (db *DB) Find(
	ctx context.Context, collection *mongo.Collection, filter bson.D, take func(bson.Raw) (more bool),
	opts ...options.Lister[options.FindOptions],
) error {
	// With a timeout here the driver does not make one for each step of the cursor.
	ctx, cancel := context.WithTimeout(ctx, db.Timeout)
	defer cancel()
	cursor, err := collection.Find(ctx, filter, opts...)
	if err != nil {
		return err
	}
	for more := true; more && cursor.Next(ctx); {
		more = take(cursor.Current)
	}
	return errors.Join(cursor.Err(), cursor.Close(ctx))
}

// Aggregate returns the rows that a pipeline makes of the documents in c, within timeout.
func Aggregate[Row any](ctx context.Context, c *Collection, timeout time.Duration, pipeline mongo.Pipeline) (rows []Row, err error) {
	collection, err := c.Driver(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	cursor, err := collection.Aggregate(ctx, pipeline)
	if err == nil {
		err = cursor.All(ctx, &rows)
	}
	return rows, err
}

// Listing says what a page lists.
type Listing struct {
	Filter, Sort    bson.D
	Limit, MaxBytes int // of the page
}

// FindPage returns the first page of a listing. Documents that decode does not take, which other programs wrote, are
// left out.
func FindPage[T page.Item[Cursor], Cursor comparable](
	ctx context.Context, c *Collection, l Listing, decode func(bson.Raw) (T, bool),
) (*page.Page[T, Cursor], error) {
	p, foreign, err := firstDocuments(ctx, c, l, int64(l.Limit)+1, decode) // one more shows whether there is a next page
	var end Cursor
	if err == nil && foreign > 0 && p.Next == end {
		p, _, err = firstDocuments(ctx, c, l, noLimit, decode) // they took the places of others
	}
	return p, err
}

const noLimit = 0 // of the documents that the server returns

// firstDocuments returns the page out of the first documents, at most limit, and how many of these decode did not take.
func firstDocuments[T page.Item[Cursor], Cursor comparable](
	ctx context.Context, c *Collection, l Listing, limit int64, decode func(bson.Raw) (T, bool),
) (p *page.Page[T, Cursor], foreign int, err error) {
	if p, err = page.New[T](l.Limit, l.MaxBytes); err != nil {
		return nil, 0, err
	}
	collection, err := c.Driver(ctx)
	if err != nil {
		return nil, 0, err
	}
	err = c.DB.Find(ctx, collection, l.Filter, func(document bson.Raw) (more bool) {
		item, ok := decode(document)
		if !ok {
			foreign++
			return true
		}
		return p.Add(item)
	}, options.Find().SetSort(l.Sort).SetLimit(limit).SetBatchSize(int32(l.Limit)+1)) // all in one answer
	return p, foreign, err
}
