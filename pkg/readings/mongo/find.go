package mongo

import (
	"context"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/readings/internal/walk"
)

// FindReadings implements iot.ReadingReader.
func (s *Store) FindReadings(ctx context.Context, q iot.ReadingQuery) (iot.Page, error) {
	span, err := walk.RangeOf(q)
	if err != nil {
		return iot.Page{}, fmt.Errorf("find readings: %w", err)
	}
	page := walk.PageOf(q)
	err = s.find(ctx, s.collection, filterOf(q.Device, span), page.Add, options.Find().
		SetSort(bson.D{{Key: fieldAt, Value: -1}, {Key: fieldDevice, Value: -1}}).
		SetLimit(int64(page.Rows())).
		SetBatchSize(int32(page.Rows()))) // all in one answer
	if err != nil {
		return iot.Page{}, fmt.Errorf("find readings: %w", err)
	}
	return page.Page, nil
}

// filterOf returns the filter for what is in span, of device alone where it is not 0.
func filterOf(device iot.DeviceID, span walk.Range) bson.D {
	from := bson.E{Key: "$gte", Value: bson.DateTime(span.From)}
	if device != 0 {
		end := bson.E{Key: "$lt", Value: bson.DateTime(span.EndFor(device))}
		return bson.D{{Key: fieldDevice, Value: int64(device)}, {Key: fieldAt, Value: bson.D{from, end}}}
	}
	anyDevice := bson.E{Key: fieldDevice, Value: bson.D{{Key: "$gte", Value: int64(1)}}}
	end := bson.DateTime(span.End)
	if span.EndDevice == 0 {
		return bson.D{{Key: fieldAt, Value: bson.D{from, {Key: "$lt", Value: end}}}, anyDevice}
	}
	return bson.D{
		{Key: fieldAt, Value: bson.D{from, {Key: "$lte", Value: end}}},
		anyDevice,
		{Key: "$or", Value: bson.A{
			bson.D{{Key: fieldAt, Value: bson.D{{Key: "$lt", Value: end}}}},
			bson.D{{Key: fieldDevice, Value: bson.D{{Key: "$lt", Value: int64(span.EndDevice)}}}},
		}},
	}
}

// find calls take for the readings in c that filter selects, until it wants no more. A document that is no
// reading is passed over.
func (s *Store) find(
	ctx context.Context, c *mongo.Collection, filter bson.D, take func(iot.Reading) (more bool), opts ...options.Lister[options.FindOptions],
) error {
	// With a timeout here the driver does not make one for each step of the cursor.
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	cursor, err := c.Find(ctx, filter, opts...)
	if err != nil {
		return err
	}
	for more := true; more && cursor.Next(ctx); {
		if r, ok := readDocument(cursor.Current); ok {
			more = take(r)
		}
	}
	return errors.Join(cursor.Err(), cursor.Close(ctx))
}

// CountReadings implements iot.ReadingReader.
func (s *Store) CountReadings(ctx context.Context) ([]iot.DeviceCount, error) {
	ctx, cancel := context.WithTimeout(ctx, countTimeout)
	defer cancel()
	var rows []struct {
		Device int64 `bson:"_id"`
		Count  int64 `bson:"n"`
	}
	cursor, err := s.collection.Aggregate(ctx, mongo.Pipeline{
		// Device ids are numbers. Naming them lets the server count in the index alone.
		{{Key: "$match", Value: bson.D{{Key: fieldDevice, Value: bson.D{{Key: "$gte", Value: int64(1)}}}}}},
		{{Key: "$group", Value: bson.D{
			{Key: "_id", Value: "$" + fieldDevice},
			{Key: "n", Value: bson.D{{Key: "$sum", Value: int64(1)}}},
		}}},
		{{Key: "$sort", Value: bson.D{{Key: "_id", Value: 1}}}},
	})
	if err == nil {
		err = cursor.All(ctx, &rows)
	}
	if err != nil {
		return nil, fmt.Errorf("count readings: %w", err)
	}
	counts := make([]iot.DeviceCount, len(rows))
	for i, row := range rows {
		counts[i] = iot.DeviceCount{Device: iot.DeviceID(row.Device), Count: row.Count}
	}
	return counts, nil
}
