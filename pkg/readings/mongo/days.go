package mongo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/mongodb"
	"github.com/telltale-iot/telltale/pkg/rollup"
)

// dayDocument is what is rolled up of a device and a day of UTC.
type dayDocument struct {
	ID       dayID         `bson:"_id"`
	Version  bson.ObjectID `bson:"v"`     // a new one with each change
	Readings int64         `bson:"n"`     // the sum of Hours
	Hours    []int64       `bson:"hours"` // readings in each hour
	Data     []byte        `bson:"data"`  // package rollup's Day
}

type dayID struct {
	Device int64         `bson:"d"`
	Day    bson.DateTime `bson:"day"`
}

const (
	fieldVersion  = "v"    // of a mark and of a day
	fieldOpen     = "open" // of a mark, while an insert may be under way
	fieldReadings = "n"
	fieldHours    = "hours"
	fieldData     = "data"
)

func (d *dayDocument) device() iot.DeviceID { return iot.DeviceID(d.ID.Device) }

// in returns the part of the day that is in i.
func (d *dayDocument) in(i interval) interval {
	start := int64(d.ID.Day)
	return interval{max(i.from, start), min(i.to, start+day)}
}

// readings returns the number of readings in the hour at.
func (d *dayDocument) readings(at int64) int64 {
	if n := (at - int64(d.ID.Day)) / hour; n < int64(len(d.Hours)) {
		return d.Hours[n]
	}
	return 0
}

// prepareDays makes the indexes of the marks and the days. Where that of the days is missing they are new, or were dropped:
// all are to be computed.
func (s *Store) prepareDays(ctx context.Context) error {
	if err := s.dirty.Prepare(ctx); err != nil {
		return err
	}
	err := s.days.CheckIndexes(ctx)
	if !errors.Is(err, mongodb.ErrNoIndex) {
		return err
	}
	if err := s.beginAnew(ctx); err != nil {
		return err
	}
	return s.days.Prepare(ctx)
}

// eachDay calls take with the days that have a part in a span, with the fields that projection names; of all devices by
// day and device, where there are none.
func (s *Store) eachDay(ctx context.Context, devices []iot.DeviceID, in interval, projection bson.D, take func(*dayDocument) error) error {
	collection, err := s.collection(ctx, daysName)
	if err != nil {
		return err
	}
	filter, sort := bson.D{{Key: "_id.day", Value: between(dayOf(in.from), in.to)}}, byDay.Keys[:2]
	if len(devices) > 1 {
		filter = append(filter, bson.E{Key: "_id.d", Value: bson.D{{Key: "$in", Value: devices}}})
	}
	if len(devices) == 1 {
		device := int64(devices[0])
		filter = idsBetween(dayID{device, bson.DateTime(dayOf(in.from))}, dayID{device, bson.DateTime(in.to)})
		sort = bson.D{{Key: "_id", Value: 1}}
	}
	cursor, err := collection.Find(ctx, filter, options.Find().SetSort(sort).SetProjection(projection).SetBatchSize(scanBatch))
	if err != nil {
		return err
	}
	defer cursor.Close(context.WithoutCancel(ctx)) //nolint:errcheck // the server closes it too, later
	for cursor.Next(ctx) {
		var d dayDocument
		if err := cursor.Decode(&d); err != nil {
			return err
		}
		if err := take(&d); err != nil {
			return err
		}
	}
	return cursor.Err()
}

var errContended = errors.New("others compute the same days all the time")

// recompute puts what the readings of devices come to in an interval, of hours of one day, in place of what their days
// have of it. What the days were like is read before the readings are, and they are replaced if they still are: so
// that of two who do it at the same time, the one that has read older readings begins again. Hours of which readings may
// have been removed meanwhile stay as they are.
func (s *Store) recompute(ctx context.Context, devices []iot.DeviceID, in interval) error {
	for range maxRounds {
		if len(devices) == 0 {
			return nil
		}
		days, err := s.findDays(ctx, devices, dayOf(in.from))
		if err != nil {
			return fmt.Errorf("read days: %w", err)
		}
		changed, failed, err := s.computed(ctx, devices, days, in)
		if err != nil {
			return fmt.Errorf("compute days: %w", err)
		}
		gone, err := s.goneNow(ctx) // behind the readings
		if err != nil {
			return fmt.Errorf("compute days: %w", err)
		}
		if in.from < gone {
			if in.from = gone; in.from >= in.to {
				return nil
			}
			continue
		}
		for device, cause := range failed {
			if whole := wholeDay(in); in != whole && whole.from >= gone && !errors.Is(cause, errDayTooLarge) {
				err = s.recompute(ctx, []iot.DeviceID{device}, whole) // nothing of what is damaged is needed
			} else {
				err = s.setAside(ctx, device, in, cause)
			}
			if err != nil {
				return err
			}
		}
		if devices, err = s.replaceDays(ctx, changed); err != nil {
			return fmt.Errorf("write days: %w", err)
		}
	}
	return errContended
}

// findDays returns what there is of a day of devices.
func (s *Store) findDays(ctx context.Context, devices []iot.DeviceID, at int64) (map[iot.DeviceID]*dayDocument, error) {
	collection, err := s.collection(ctx, daysName)
	if err != nil {
		return nil, err
	}
	ids := make([]dayID, len(devices))
	for i, device := range devices {
		ids[i] = dayID{int64(device), bson.DateTime(at)}
	}
	ctx, cancel := context.WithTimeout(ctx, s.DB.Timeout)
	defer cancel()
	cursor, err := collection.Find(ctx, bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: ids}}}})
	if err != nil {
		return nil, err
	}
	var found []*dayDocument
	if err := cursor.All(ctx, &found); err != nil {
		return nil, err
	}
	days := make(map[iot.DeviceID]*dayDocument, len(found))
	for _, d := range found {
		days[d.device()] = d
	}
	return days, nil
}

// replaceDays writes days that are still as they were read, and returns the devices of those that may not be.
func (s *Store) replaceDays(ctx context.Context, days []*dayDocument) (again []iot.DeviceID, err error) {
	var models []mongo.WriteModel
	var updated, inserted []iot.DeviceID // as in models
	var updates, inserts []mongo.WriteModel
	for _, d := range days {
		before := d.Version
		d.Version = bson.NewObjectID()
		if before.IsZero() {
			inserts, inserted = append(inserts, mongo.NewInsertOneModel().SetDocument(d)), append(inserted, d.device())
			continue
		}
		updates, updated = append(updates, mongo.NewReplaceOneModel().
			SetFilter(bson.D{{Key: "_id", Value: d.ID}, {Key: fieldVersion, Value: before}}).SetReplacement(d)), append(updated, d.device())
	}
	if models = slices.Concat(updates, inserts); len(models) == 0 {
		return nil, nil
	}
	result, err := s.write(ctx, daysName, models)
	var refused mongo.BulkWriteException
	if errors.As(err, &refused) && refused.WriteConcernError == nil {
		for _, e := range refused.WriteErrors {
			if e.Code != codeDuplicateKey || e.Index < len(updates) {
				return nil, err
			}
			again = append(again, inserted[e.Index-len(updates)])
		}
	} else if err != nil {
		return nil, err
	}
	if int(result.MatchedCount) != len(updates) { // the server does not say which
		again = append(again, updated...)
	}
	return again, nil
}

var idOnly = bson.D{{Key: "_id", Value: 1}}

// newestDayBefore returns the last day before a time that is rolled up for any device; where there is none, one before
// all readings.
func (s *Store) newestDayBefore(ctx context.Context, before int64) (at int64, err error) {
	collection, err := s.collection(ctx, daysName)
	if err != nil {
		return 0, err
	}
	at = beginning - day
	err = s.DB.Find(ctx, collection, bson.D{{Key: "_id.day", Value: bson.D{{Key: "$lt", Value: bson.DateTime(before)}}}}, func(document bson.Raw) (more bool) {
		at, _ = document.Lookup("_id", "day").DateTimeOK()
		return false
	}, options.Find().SetSort(bson.D{{Key: "_id.day", Value: -1}}).SetLimit(1).SetProjection(idOnly))
	return at, err
}

// computed returns those of the days of devices that change when what their readings in an interval come to takes the
// place of what they have of it, and the devices of which that cannot be. stored are those that there are.
func (s *Store) computed(
	ctx context.Context, devices []iot.DeviceID, stored map[iot.DeviceID]*dayDocument, in interval,
) (changed []*dayDocument, failed map[iot.DeviceID]error, err error) {
	collection, err := s.durable(ctx)
	if err != nil {
		return nil, nil, err
	}
	cursor, err := collection.Find(ctx, filterOf(devices, in.times()),
		options.Find().SetSort(unique.Keys).SetProjection(wantedOf(nil).projection))
	if err != nil {
		return nil, nil, err
	}
	defer cursor.Close(context.WithoutCancel(ctx)) //nolint:errcheck // the server closes it too, later
	from := scan{cursor: cursor}
	from.next(ctx)
	failed = map[iot.DeviceID]error{}
	for _, device := range slices.Sorted(slices.Values(devices)) {
		var span rollup.Span
		for !from.ended && from.reading.Device <= device {
			if len(span.Metrics) <= s.maxDayMetrics {
				span.Add(&from.reading)
			}
			from.next(ctx)
		}
		before := stored[device]
		if before == nil {
			before = &dayDocument{ID: dayID{int64(device), bson.DateTime(dayOf(in.from))}}
		}
		d, err := before.replaced(in, span.Metrics, s.maxDayMetrics)
		if err != nil {
			failed[device] = err
		} else if !bytes.Equal(d.Data, before.Data) {
			changed = append(changed, d)
		}
	}
	return changed, failed, cursor.Err()
}

// wholeDay returns the day that in is a part of.
func wholeDay(in interval) interval { return interval{dayOf(in.from), dayOf(in.from) + day} }

// replaced returns d with metrics in place of what it has of an interval: at most so many in all.
func (d *dayDocument) replaced(in interval, metrics []rollup.Metric, atMost int) (*dayDocument, error) {
	r := &dayDocument{ID: d.ID, Version: d.Version, Hours: make([]int64, day/hour)}
	all := rollup.Day{Start: int64(d.ID.Day)}
	if len(d.Data) > 0 && in != wholeDay(in) { // a whole day replaces one that is damaged, too
		var err error
		if all, err = rollup.Decode(d.Data); err != nil {
			return nil, err
		}
	}
	all.Replace(in.from, in.to, metrics)
	if len(all.Metrics) > atMost {
		return nil, errDayTooLarge
	}
	for _, q := range all.Quarters(rollup.Readings) {
		r.Hours[(q.Start-all.Start)/hour] += q.Count
		r.Readings += q.Count
	}
	if len(all.Metrics) > 0 {
		r.Data = all.AppendBinary(nil)
	}
	if len(r.Data) > maxDayBytes {
		return nil, errDayTooLarge
	}
	return r, nil
}
