package mongo

import (
	"context"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/mongodb"
	"github.com/telltale-iot/telltale/pkg/readings/internal/timerange"
	"github.com/telltale-iot/telltale/pkg/timeouts"
)

// FindReadings implements iot.ReadingReader.
func (s *Store) FindReadings(ctx context.Context, q iot.ReadingQuery) (iot.Page, error) {
	p, err := mongodb.FindPage(ctx, s.Collection, mongodb.Listing{
		Filter: filterOf(q.Device, timerange.Of(q)), Sort: newest.Keys, Limit: q.Limit, MaxBytes: iot.MaxPageBytes,
	}, readDocument)
	if err != nil {
		return iot.Page{}, fmt.Errorf("find readings: %w", err)
	}
	return iot.Page{Readings: p.Items, Next: p.Next}, nil
}

// filterOf returns the filter for what is in times, of device alone where it is not 0.
func filterOf(device iot.DeviceID, times timerange.Range) bson.D {
	from := bson.E{Key: "$gte", Value: bson.DateTime(times.From)}
	if device != 0 {
		end := bson.E{Key: "$lt", Value: bson.DateTime(times.EndFor(device))}
		return bson.D{{Key: fieldDevice, Value: int64(device)}, {Key: fieldAt, Value: bson.D{from, end}}}
	}
	anyDevice := bson.E{Key: fieldDevice, Value: bson.D{{Key: "$gte", Value: int64(1)}, {Key: "$lte", Value: int64(iot.MaxDeviceID)}}}
	end := bson.DateTime(times.End)
	if times.EndDevice == 0 {
		return bson.D{{Key: fieldAt, Value: bson.D{from, {Key: "$lt", Value: end}}}, anyDevice}
	}
	return bson.D{
		{Key: fieldAt, Value: bson.D{from, {Key: "$lte", Value: end}}},
		anyDevice,
		{Key: "$or", Value: bson.A{
			bson.D{{Key: fieldAt, Value: bson.D{{Key: "$lt", Value: end}}}},
			bson.D{{Key: fieldDevice, Value: bson.D{{Key: "$lt", Value: int64(times.EndDevice)}}}},
		}},
	}
}

// CountReadings implements iot.ReadingReader.
func (s *Store) CountReadings(ctx context.Context) ([]iot.DeviceCount, error) {
	type row struct {
		Device int64 `bson:"_id"`
		Count  int64 `bson:"n"`
	}
	rows, err := mongodb.Aggregate[row](ctx, s.Collection, timeouts.MongoCount, mongo.Pipeline{
		// Device ids are numbers. Naming them lets the server count in the index alone.
		{{Key: "$match", Value: bson.D{{Key: fieldDevice, Value: bson.D{{Key: "$gte", Value: int64(1)}}}}}},
		{{Key: "$group", Value: bson.D{
			{Key: "_id", Value: "$" + fieldDevice},
			{Key: "n", Value: bson.D{{Key: "$sum", Value: int64(1)}}},
		}}},
		{{Key: "$sort", Value: bson.D{{Key: "_id", Value: 1}}}},
	})
	if err != nil {
		return nil, fmt.Errorf("count readings: %w", err)
	}
	counts := make([]iot.DeviceCount, len(rows))
	for i, row := range rows {
		counts[i] = iot.DeviceCount{Device: iot.DeviceID(row.Device), Count: row.Count}
	}
	return counts, nil
}
