package mongo

import (
	"context"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// Usage implements readings.Store.
func (s *Store) Usage(ctx context.Context) (iot.Usage, error) {
	u, err := s.usage(ctx)
	if err != nil {
		return u, fmt.Errorf("size of the readings: %w", err)
	}
	return u, nil
}

func (s *Store) usage(ctx context.Context) (u iot.Usage, err error) {
	var readings, days struct {
		Size  int64 `bson:"totalSize"` // with the indexes
		Count int64 `bson:"count"`
	}
	if err := s.ask(ctx, bson.D{{Key: "collStats", Value: collectionName}}, &readings); err != nil {
		return u, err
	}
	if err := s.ask(ctx, bson.D{{Key: "collStats", Value: daysName}}, &days); err != nil {
		return u, err
	}
	u.Readings, u.Rollups = readings.Size, days.Size
	yesterday, err := s.yesterday(ctx)
	if err != nil {
		return u, err
	}
	if u.PerDay = -1; yesterday >= 0 && readings.Count > 0 {
		u.PerDay = int64(float64(readings.Size) / float64(readings.Count) * float64(yesterday))
	}
	var disk struct {
		Used  int64 `bson:"fsUsedSize"`
		Total int64 `bson:"fsTotalSize"`
	}
	if err := s.ask(ctx, bson.D{{Key: "dbStats", Value: 1}}, &disk); err != nil {
		return u, err
	}
	u.Free = -1
	if disk.Total > 0 {
		u.Free = disk.Total - disk.Used
	}
	collection, err := s.Driver(ctx)
	if err != nil {
		return u, err
	}
	return u, s.DB.Find(ctx, collection, filterOf(nil, interval{beginning, end}.times()), func(document bson.Raw) (more bool) {
		_, at, _ := placeOf(document)
		u.Oldest = time.UnixMilli(at).UTC()
		return false
	}, options.Find().SetSort(oldest).SetLimit(1).SetProjection(wantedOf([]string{}).projection))
}

// yesterday returns how many readings have the time of the last whole day, without as many as the retention removes in a day;
// -1 where that is not rolled up.
func (s *Store) yesterday(ctx context.Context) (n int64, err error) {
	p, err := s.progress(ctx)
	if err != nil {
		return -1, err
	}
	now, err := s.serverTime(ctx)
	today := dayOf(now.UnixMilli())
	if err != nil || int64(p.Since) > today-day || int64(p.Until) < today {
		return -1, err
	}
	counts, err := s.countDays(ctx, today-day, today, nil)
	for _, c := range counts {
		n += c.Count
	}
	if err != nil || p.Horizon == 0 {
		return n, err
	}
	next := dayOf(p.gone())
	removed, err := s.countDays(ctx, next, next+day, nil)
	for _, c := range removed {
		n -= c.Count
	}
	return max(n, 0), err
}
