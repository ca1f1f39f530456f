package mongo

import (
	"context"
	"fmt"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// maxProgressAge is how old may be what an insert knows of the progress when it has ended: much less than closeGrace.
const maxProgressAge = time.Minute

// knownProgress is the progress as an insert knows it.
type knownProgress struct {
	progress
	asked time.Time // before the server was
	now   time.Time // the server's, then; zero without a retention
}

// lately returns the progress of a moment ago, and the server's time now.
func (s *Store) lately(ctx context.Context) (known knownProgress, err error) {
	if last := s.known.Load(); last != nil && time.Since(last.asked) < s.maxProgressAge {
		known = *last
		known.now = known.now.Add(time.Since(known.asked))
		return known, nil
	}
	known.asked = time.Now()
	if known.progress, err = s.progress(ctx); err == nil && s.retention.Readings > 0 {
		known.now, err = s.serverTime(ctx)
	}
	if err == nil {
		stored := known
		s.known.Store(&stored)
	}
	return known, err
}

// open marks the closed hours of batch before it is inserted. Such a mark is not removed before the insert has ended:
// else what is seen of it in an answer, which reads the hour, could be missing in the next, which does not.
func (s *Store) open(ctx context.Context, batch []iot.Reading) error {
	hours, err := s.closedHours(ctx, batch, nil)
	if err != nil {
		return err
	}
	return s.markHours(ctx, hours, bson.D{{Key: "$set", Value: bson.D{{Key: fieldVersion, Value: bson.NewObjectID()}, {Key: fieldOpen, Value: true}}}})
}

// mark marks the closed ones of the hours in which an insert has, or may have, changed something: those of batch, and
// of the places elsewhere. It comes after the insert, which it asks nothing of. A mark has a version that is new each
// time: who has read one, and computed, removes that one alone.
func (s *Store) mark(ctx context.Context, batch []iot.Reading, elsewhere []key) error {
	hours, err := s.closedHours(ctx, batch, elsewhere)
	if err != nil {
		return err
	}
	return s.markHours(ctx, hours, bson.D{
		{Key: "$set", Value: bson.D{{Key: fieldVersion, Value: bson.NewObjectID()}}}, {Key: "$unset", Value: bson.D{{Key: fieldOpen, Value: ""}}},
	})
}

// closedHours returns those of the hours of batch and elsewhere that are to be marked.
func (s *Store) closedHours(ctx context.Context, batch []iot.Reading, elsewhere []key) (map[key]struct{}, error) {
	p, err := s.lately(ctx)
	if err != nil {
		return nil, err
	}
	var marked map[key]struct{}
	add := func(k key) {
		if k.at >= int64(p.Closing) {
			return
		}
		if marked == nil {
			marked = map[key]struct{}{}
		}
		marked[key{k.device, hourOf(k.at)}] = struct{}{}
	}
	for i := range batch {
		add(keyOf(&batch[i]))
	}
	for _, k := range elsewhere {
		add(k)
	}
	return marked, nil
}

// markHours changes the marks of hours of devices, or makes them.
func (s *Store) markHours(ctx context.Context, hours map[key]struct{}, change bson.D) error {
	if len(hours) == 0 {
		return nil
	}
	var models []mongo.WriteModel
	for k := range hours {
		id := markID{int64(k.device), bson.DateTime(k.at)}
		models = append(models, mongo.NewUpdateOneModel().SetFilter(bson.D{{Key: "_id", Value: id}}).SetUpdate(change).SetUpsert(true))
	}
	var err error
	for range maxRounds {
		_, err = s.write(ctx, dirtyName, models)
		if !mongo.IsDuplicateKeyError(err) { // of two that make one mark at the same time the server may refuse one
			break
		}
	}
	if err != nil {
		return fmt.Errorf("mark hours: %w", err)
	}
	return nil
}

// write writes to a collection, durably and in any order.
func (s *Store) write(ctx context.Context, name string, models []mongo.WriteModel) (*mongo.BulkWriteResult, error) {
	collection, err := s.collection(ctx, name)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.DB.Timeout)
	defer cancel()
	return collection.BulkWrite(ctx, models, options.BulkWrite().SetOrdered(false))
}

// markID is the _id of a mark.
type markID struct {
	Device int64         `bson:"d"`
	Hour   bson.DateTime `bson:"hour"`
}

// marksIn returns the hours in a span that are marked, of each device ascending; of all devices, where there are none.
func (s *Store) marksIn(ctx context.Context, devices []iot.DeviceID, from, to int64) (map[iot.DeviceID][]int64, error) {
	collection, err := s.collection(ctx, dirtyName)
	if err != nil {
		return nil, err
	}
	filter := bson.D{{Key: "_id.hour", Value: between(from, to)}}
	if devices != nil && len(devices) <= maxCursors {
		ranges := bson.A{}
		for _, device := range devices {
			ranges = append(ranges, idsBetween(markID{int64(device), bson.DateTime(from)}, markID{int64(device), bson.DateTime(to)}))
		}
		filter = bson.D{{Key: "$or", Value: ranges}}
	}
	marks := map[iot.DeviceID][]int64{}
	err = s.DB.Find(ctx, collection, filter, func(document bson.Raw) (more bool) {
		device, _ := document.Lookup("_id", "d").AsInt64OK()
		at, _ := document.Lookup("_id", "hour").DateTimeOK()
		marks[iot.DeviceID(device)] = append(marks[iot.DeviceID(device)], at)
		return true
	})
	if err != nil {
		return nil, fmt.Errorf("read marks: %w", err)
	}
	for _, hours := range marks {
		slices.Sort(hours)
	}
	return marks, nil
}
