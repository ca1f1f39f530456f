package mongo

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/timeouts"
)

// countDevices is of how many devices what is marked is counted at once.
const countDevices = 1000

// CountReadings implements iot.ReadingReader. What is rolled up it counts by the day, of which the index alone has what
// it needs: that is O(devices × days). The rest it counts one by one, in an index too.
func (s *Store) CountReadings(ctx context.Context) ([]iot.DeviceCount, error) {
	counts, err := s.countReadings(ctx)
	if err != nil {
		return nil, fmt.Errorf("count readings: %w", err)
	}
	return counts, nil
}

func (s *Store) countReadings(ctx context.Context) ([]iot.DeviceCount, error) {
	ctx, done, err := s.DB.InOrder(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	p, err := s.progress(ctx)
	if err != nil {
		return nil, err
	}
	from, until := max(int64(p.Since), p.gone()), int64(p.Until)
	if p.Generation.IsZero() || from >= until {
		return s.count(ctx, bson.D{{Key: fieldDevice, Value: bson.D{{Key: "$gte", Value: int64(1)}}}})
	}
	total := map[iot.DeviceID]int64{}
	add := func(counts []iot.DeviceCount, err error) error {
		for _, c := range counts {
			total[c.Device] += c.Count
		}
		return err
	}
	marks, err := s.marksIn(ctx, nil, from, until) // before the days: what is marked later is in them
	if err != nil {
		return nil, err
	}
	marked := slices.Sorted(maps.Keys(marks))
	// Of the days at the ends some hours may be counted otherwise.
	first, last := dayOf(from), dayOf(until)
	if from != first {
		first += day
	}
	if err := add(s.countDays(ctx, first, last, marked)); err != nil {
		return nil, err
	}
	edges := []interval{{from, min(first, until)}, {max(first, last), until}}
	for _, edge := range edges {
		if err := add(s.countHours(ctx, nil, edge, marks)); err != nil {
			return nil, err
		}
	}
	for devices := range slices.Chunk(marked, countDevices) {
		if err := add(s.countHours(ctx, devices, interval{first, last}, marks)); err != nil {
			return nil, err
		}
		hours := markedHours{}
		for _, device := range devices {
			hours.add(device, interval{from, until}, marks[device])
		}
		if err := add(s.count(ctx, hours.filter())); err != nil {
			return nil, err
		}
	}
	for _, rest := range []interval{{beginning, from}, {until, end}} {
		if err := add(s.count(ctx, filterOf(nil, rest.times()))); err != nil {
			return nil, err
		}
	}
	counts := make([]iot.DeviceCount, 0, len(total))
	for _, device := range slices.Sorted(maps.Keys(total)) {
		if total[device] > 0 {
			counts = append(counts, iot.DeviceCount{Device: device, Count: total[device]})
		}
	}
	return counts, nil
}

// count counts the readings that filter selects one by one.
func (s *Store) count(ctx context.Context, filter bson.D) ([]iot.DeviceCount, error) {
	return s.sum(ctx, collectionName, filter, "$"+fieldDevice, int64(1))
}

// countDays sums up the readings in whole days, of all devices but some.
func (s *Store) countDays(ctx context.Context, from, to int64, but []iot.DeviceID) ([]iot.DeviceCount, error) {
	if from >= to {
		return nil, nil
	}
	filter := bson.D{{Key: "_id.day", Value: between(from, to)}}
	if len(but) > 0 {
		filter = append(filter, bson.E{Key: "_id.d", Value: bson.D{{Key: "$nin", Value: but}}})
	}
	return s.sum(ctx, daysName, filter, "$_id.d", "$"+fieldReadings)
}

// sum sums something up for each device.
func (s *Store) sum(ctx context.Context, name string, filter bson.D, device string, of any) ([]iot.DeviceCount, error) {
	collection, err := s.collection(ctx, name)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, timeouts.MongoCount)
	defer cancel()
	var rows []struct {
		Device int64 `bson:"_id"`
		Count  int64 `bson:"n"`
	}
	cursor, err := collection.Aggregate(ctx, mongo.Pipeline{
		{{Key: "$match", Value: filter}},
		{{Key: "$group", Value: bson.D{{Key: "_id", Value: device}, {Key: "n", Value: bson.D{{Key: "$sum", Value: of}}}}}},
		{{Key: "$sort", Value: bson.D{{Key: "_id", Value: 1}}}},
	})
	if err == nil {
		err = cursor.All(ctx, &rows)
	}
	counts := make([]iot.DeviceCount, len(rows))
	for i, row := range rows {
		counts[i] = iot.DeviceCount{Device: iot.DeviceID(row.Device), Count: row.Count}
	}
	return counts, err
}

// countHours sums up the readings in those hours of a span that are not marked; of all devices, where there are none.
func (s *Store) countHours(ctx context.Context, devices []iot.DeviceID, in interval, marks map[iot.DeviceID][]int64) ([]iot.DeviceCount, error) {
	if in.from >= in.to {
		return nil, nil
	}
	var counts []iot.DeviceCount
	err := s.eachDay(ctx, devices, in, bson.D{{Key: fieldHours, Value: 1}}, func(d *dayDocument) error {
		count := iot.DeviceCount{Device: d.device()}
		for hours, isMarked := range d.in(in).runs(marks[count.Device]) {
			for at := hours.from; at < hours.to && !isMarked; at += hour {
				count.Count += d.readings(at)
			}
		}
		counts = append(counts, count)
		return nil
	})
	return counts, err
}
