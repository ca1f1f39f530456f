package mongo

import (
	"context"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/readings/internal/samples"
)

// markedHours are runs of marked hours, and the devices that have each of them.
type markedHours map[interval][]iot.DeviceID

// add adds those hours of a device in a span that are marked.
func (m markedHours) add(device iot.DeviceID, in interval, marked []int64) {
	for run, isMarked := range in.runs(marked) {
		if isMarked {
			m[run] = append(m[run], device)
		}
	}
}

// filter selects the readings of all of them.
func (m markedHours) filter() bson.D {
	conditions := bson.A{}
	for run, devices := range m {
		conditions = append(conditions, filterOf(devices, run.times()))
	}
	if len(conditions) == 1 {
		return conditions[0].(bson.D)
	}
	return bson.D{{Key: "$or", Value: conditions}}
}

// anyIn reports whether one of hours, which ascend, is in a span.
func anyIn(hours []int64, in interval) bool {
	n, _ := slices.BinarySearch(hours, hourOf(in.from))
	return n < len(hours) && hours[n] < in.to
}

// lateReadings are the readings of marked hours, by device and time.
type lateReadings struct {
	collector
	cursor *mongo.Cursor
	device iot.DeviceID // of the next one
	at     int64
	ended  bool
}

// readLate returns the readings of hours, of some metrics. They are to be closed.
func (s *Store) readLate(ctx context.Context, hours markedHours, metrics []string, take func(iot.Samples) error) (*lateReadings, error) {
	l := &lateReadings{collector: collector{samples.NewBuffer(take), wantedOf(metrics)}}
	collection, err := s.durable(ctx)
	if err != nil {
		return nil, err
	}
	l.cursor, err = collection.Find(ctx, hours.filter(), options.Find().SetSort(unique.Keys).SetProjection(l.wanted.projection))
	if err != nil {
		return nil, err
	}
	l.next(ctx)
	return l, nil
}

func (l *lateReadings) next(ctx context.Context) {
	for l.cursor.Next(ctx) {
		var ok bool
		if l.device, l.at, ok = placeOf(l.cursor.Current); ok {
			return
		}
	}
	l.ended = true
}

// handOut hands out those of a run of hours of a device. Whoever asks does so in their order.
func (l *lateReadings) handOut(ctx context.Context, device iot.DeviceID, run interval) error {
	for ; !l.ended && l.device == device && l.at < run.to; l.next(ctx) {
		l.add(l.cursor.Current)
		if err := l.FlushFull(ctx); err != nil {
			return err
		}
	}
	if err := l.cursor.Err(); err != nil {
		return err
	}
	return l.Flush(ctx)
}

func (l *lateReadings) close(ctx context.Context) {
	_ = l.cursor.Close(context.WithoutCancel(ctx)) // the server closes it too, later
}
