package mongo

import (
	"cmp"
	"context"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/readings/internal/derive"
	"github.com/telltale-iot/telltale/pkg/readings/internal/timerange"
)

// scanBatch is how many documents an answer of the server holds at most, while readings are scanned.
const scanBatch = 1000

// ScanReadings implements iot.HistoryReader.
func (s *Store) ScanReadings(ctx context.Context, q iot.ScanQuery, take func(*iot.Reading) (more bool, err error)) error {
	collection, err := s.Driver(ctx)
	if err != nil {
		return fmt.Errorf("scan readings: %w", err)
	}
	sort := newest.Keys
	if !q.Newest {
		sort = bson.D{{Key: fieldAt, Value: 1}, {Key: fieldDevice, Value: 1}}
	}
	cursor, err := collection.Find(ctx, filterOf(q.Devices, timerange.Of(q)), options.Find().SetSort(sort).SetBatchSize(scanBatch))
	if err != nil {
		return fmt.Errorf("scan readings: %w", err)
	}
	defer cursor.Close(context.WithoutCancel(ctx)) //nolint:errcheck // the server closes it too, later
	for ctx.Err() == nil && cursor.Next(ctx) {
		r, ok := readDocument(cursor.Current)
		if !ok {
			continue
		}
		if more, err := take(&r); err != nil || !more {
			return err
		}
	}
	if err := cmp.Or(ctx.Err(), cursor.Err()); err != nil {
		return fmt.Errorf("scan readings: %w", err)
	}
	return nil
}

// ReadSamples implements iot.HistoryReader.
func (s *Store) ReadSamples(ctx context.Context, q iot.SampleQuery, take func(iot.Samples) error) error {
	return derive.ReadSamples(ctx, s, q, take)
}

// ReadBuckets implements iot.HistoryReader.
func (s *Store) ReadBuckets(ctx context.Context, q iot.BucketQuery, take func(iot.Buckets) error) error {
	return derive.ReadBuckets(ctx, s, q, take)
}

// Maintain implements readings.Store: there is nothing to do.
func (s *Store) Maintain(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// Usage implements readings.Store.
func (s *Store) Usage(ctx context.Context) (iot.Usage, error) {
	collection, err := s.Driver(ctx)
	if err != nil {
		return iot.Usage{}, fmt.Errorf("size of the readings: %w", err)
	}
	var stats struct {
		Size int64 `bson:"totalSize"`
	}
	if err := collection.Database().RunCommand(ctx, bson.D{{Key: "collStats", Value: collectionName}}).Decode(&stats); err != nil {
		return iot.Usage{}, fmt.Errorf("size of the readings: %w", err)
	}
	return iot.Usage{Readings: stats.Size, Free: -1, PerDay: -1}, nil
}
