package mongo

import (
	"context"
	"errors"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/telltale-iot/telltale/pkg/iot"
)

const (
	// maxDayBytes and maxDayMetrics are what the rollups of a device and a day have at most: the server takes documents of
	// 16 MiB, and 100 of them are in memory at once. A device that puts a counter into its metrics' names has more.
	maxDayBytes   = 8 << 20
	maxDayMetrics = 50_000
	// retryAside is how long a day is left that could not be rolled up.
	retryAside = time.Hour
)

var errDayTooLarge = errors.New("the device has too many metrics to be rolled up")

// setAside marks hours of a device that cannot be rolled up, so that they are read from the readings, and the other
// devices go on.
func (s *Store) setAside(ctx context.Context, device iot.DeviceID, in interval, cause error) error {
	hours := map[key]struct{}{}
	for at := in.from; at < in.to; at += hour {
		hours[key{device, at}] = struct{}{}
	}
	if err := s.markHours(ctx, hours, bson.D{{Key: "$set", Value: bson.D{{Key: fieldVersion, Value: bson.NewObjectID()}}}}); err != nil {
		return err
	}
	id := dayID{int64(device), bson.DateTime(dayOf(in.from))}
	if _, again := s.aside.Swap(id, time.Now()); !again {
		s.setAsides.Inc()
		s.log.Warn("a day of a device cannot be rolled up: its charts are made of its readings, and take longer",
			"device", device, "day", id.Day.Time().UTC().Format(time.DateOnly), "error", cause)
	}
	return nil
}

// isAside reports whether a mark is of a day that was set aside a while ago.
func (s *Store) isAside(m mark) bool {
	since, found := s.aside.Load(dayID{m.ID.Device, bson.DateTime(dayOf(m.key().at))})
	return found && time.Since(since.(time.Time)) < retryAside
}
