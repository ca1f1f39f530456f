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
	filter := filterOf(q.Device, span)
	page, foreign, err := s.page(ctx, q, filter, int64(q.Limit)+1) // one more tells whether the walk goes on
	if err == nil && foreign > 0 && page.Next.IsZero() {
		page, _, err = s.page(ctx, q, filter, noLimit) // they took the places of readings
	}
	if err != nil {
		return iot.Page{}, fmt.Errorf("find readings: %w", err)
	}
	return page, nil
}

const noLimit = 0 // of the documents that the server returns

// page returns the page for q out of the first documents, at most limit, that filter selects, and how many of
// these were no readings.
func (s *Store) page(ctx context.Context, q iot.ReadingQuery, filter bson.D, limit int64) (iot.Page, int, error) {
	collection, err := s.collection(ctx)
	if err != nil {
		return iot.Page{}, 0, err
	}
	p := walk.PageOf(q)
	foreign := 0
	err = s.find(ctx, collection, filter, func(document bson.Raw) (more bool) {
		r, ok := readDocument(document)
		if !ok {
			foreign++
			return true
		}
		return p.Add(r)
	}, options.Find().
		SetSort(bson.D{{Key: fieldAt, Value: -1}, {Key: fieldDevice, Value: -1}}).
		SetLimit(limit).
		SetBatchSize(int32(q.Limit)+1)) // all in one answer
	return p.Page, foreign, err
}

// filterOf returns the filter for what is in span, of device alone where it is not 0.
func filterOf(device iot.DeviceID, span walk.Range) bson.D {
	from := bson.E{Key: "$gte", Value: bson.DateTime(span.From)}
	if device != 0 {
		end := bson.E{Key: "$lt", Value: bson.DateTime(span.EndFor(device))}
		return bson.D{{Key: fieldDevice, Value: int64(device)}, {Key: fieldAt, Value: bson.D{from, end}}}
	}
	anyDevice := bson.E{Key: fieldDevice, Value: bson.D{{Key: "$gte", Value: int64(1)}, {Key: "$lte", Value: int64(iot.MaxDeviceID)}}}
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

// find calls take for the documents in c that filter selects, until it wants no more. They are not kept.
func (s *Store) find(
	ctx context.Context, c *mongo.Collection, filter bson.D, take func(bson.Raw) (more bool), opts ...options.Lister[options.FindOptions],
) error {
	// With a timeout here the driver does not make one for each step of the cursor.
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	cursor, err := c.Find(ctx, filter, opts...)
	if err != nil {
		return err
	}
	for more := true; more && cursor.Next(ctx); {
		more = take(cursor.Current)
	}
	return errors.Join(cursor.Err(), cursor.Close(ctx))
}

// CountReadings implements iot.ReadingReader.
func (s *Store) CountReadings(ctx context.Context) ([]iot.DeviceCount, error) {
	collection, err := s.collection(ctx)
	if err != nil {
		return nil, fmt.Errorf("count readings: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, countTimeout)
	defer cancel()
	var rows []struct {
		Device int64 `bson:"_id"`
		Count  int64 `bson:"n"`
	}
	cursor, err := collection.Aggregate(ctx, mongo.Pipeline{
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
