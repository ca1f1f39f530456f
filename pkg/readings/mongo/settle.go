package mongo

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// What is done where readings of a device meet at a millisecond, and why a crash in the middle, a repetition
// and a second writer do no harm:
//
// A reading with an origin goes to the next free millisecond, as one that was moved. It is stored once, since
// its own millisecond stays taken, and the index on origins is unique among those that were moved. So it is
// there if it is at its own millisecond, or among those.
//
// A reading that its device stamped takes the place of one with an origin, in one step, and holds that one
// until it is stored elsewhere. After a crash in between, the repetition finds it there and goes on.

// replacement gives the place of a stored reading to another one.
type replacement struct {
	reading pending
	old     bson.Raw
}

// maxStoredBytes is how much of what is stored a round holds in memory: this and one document.
const maxStoredBytes = 16 << 20

// plan looks up what is where rest should go, and says how to go on with each. Duplicates and conflicts are
// counted in result.
func (s *Store) plan(ctx context.Context, rest []pending, result *iot.Inserted) (p plan, err error) {
	stored, last, err := s.stored(ctx, rest)
	if err != nil {
		return p, err
	}
	moved, err := s.moved(ctx, rest, stored)
	if err != nil {
		return p, err
	}
	p.ordered = true
	planned := map[key]identity{}      // of what is in p.insert
	latest := map[iot.DeviceID]int64{} // where the latest one that is moved goes
	duplicate := func(reading pending) {
		if reading.index == gaveWay {
			p.settled = append(p.settled, reading.place)
		} else {
			result.Duplicates++
		}
	}
	insert := func(reading pending, at int64) {
		reading.at = at
		planned[key{reading.Device, at}] = identify(reading.Reading)
		p.insert = append(p.insert, reading)
	}
	for _, reading := range rest {
		r, k := reading.Reading, keyOf(reading.Reading)
		if k.compare(last) > 0 {
			p.later = append(p.later, reading)
			continue
		}
		document, isStored := stored[k]
		inPlan, isPlanned := planned[k]
		there := original(document)
		switch {
		case !isStored && !isPlanned:
			insert(reading, k.at)
		case r.Origin != 0 && (isPlanned && inPlan == identify(r) || isStored && isSame(&there, r) || moved[identify(r)]):
			duplicate(reading)
		case r.Origin != 0:
			at := max(k.at, latest[r.Device]) + 1
			for isPlanned = true; isPlanned; {
				if at, err = s.occupied.NextFree(r.Device, at, s.lister(ctx, r.Device)); err != nil {
					return p, err
				}
				if _, isPlanned = planned[key{r.Device, at}]; isPlanned {
					at++
				}
			}
			latest[r.Device] = at
			insert(reading, at)
		case isPlanned:
			p.later = append(p.later, reading)
		case there.Origin != 0:
			p.replace = append(p.replace, replacement{reading, document})
		case there.SameContent(*r):
			if held, ok := document.Lookup(fieldDisplaced).DocumentOK(); ok {
				p.later = append(p.later, displacedBy(k, held))
			}
			duplicate(reading)
		default:
			result.Conflicts = append(result.Conflicts, reading.index)
		}
	}
	return p, nil
}

// isSame reports whether there and r, readings of a device with the times that they were stamped with, are one.
// Readings of earlier versions have no origin.
func isSame(there, r *iot.Reading) bool {
	return there.At.Equal(r.At) &&
		(there.Origin == r.Origin || there.Origin == 0 && there.Stamped != iot.StampDevice && there.SameContent(*r))
}

// identity is that of a reading which a server stamped. The time is a part of it: where a topic is made anew, the
// origins of its legacy records begin again.
type identity struct {
	device iot.DeviceID
	origin uint64
	at     int64 // ms, the time that it was stamped with
}

func identify(r *iot.Reading) identity { return identity{r.Device, r.Origin, r.At.UnixMilli()} }

// original returns the reading in document with the time that it was stamped with, wherever it was moved to.
func original(document bson.Raw) iot.Reading {
	r, _ := readDocument(document)
	if stamped, ok := document.Lookup(fieldMoved, fieldMovedFrom).DateTimeOK(); ok {
		r.At = time.UnixMilli(stamped).UTC()
	}
	return r
}

// lastKey is behind all others.
var lastKey = key{math.MaxInt64, math.MaxInt64}

// stored returns the documents that are where readings should go, up to the key last: lastKey, or where there are more
// than maxStoredBytes of them, an earlier one.
func (s *Store) stored(ctx context.Context, readings []pending) (documents map[key]bson.Raw, last key, err error) {
	times := map[iot.DeviceID]bson.A{}
	for _, r := range readings {
		times[r.Device] = append(times[r.Device], bson.DateTime(r.At.UnixMilli()))
	}
	collection, err := s.durable(ctx)
	if err != nil {
		return nil, last, err
	}
	documents = make(map[key]bson.Raw, len(readings))
	total := 0
	for _, device := range slices.Sorted(maps.Keys(times)) {
		err := s.DB.Find(ctx, collection, bson.D{
			{Key: fieldDevice, Value: int64(device)},
			{Key: fieldAt, Value: bson.D{{Key: "$in", Value: times[device]}}},
		}, func(document bson.Raw) (more bool) {
			if r, ok := readDocument(document); ok {
				last = keyOf(&r)
				documents[last] = slices.Clone(document)
				total += len(document)
			}
			return total < s.maxBytes
		}, options.Find().SetSort(bson.D{{Key: fieldAt, Value: 1}}))
		if err != nil || total >= s.maxBytes {
			return documents, last, err
		}
	}
	return documents, lastKey, nil
}

// moved returns the identities of those of readings that are stored elsewhere than at their own time, since that
// is taken.
func (s *Store) moved(ctx context.Context, readings []pending, stored map[key]bson.Raw) (map[identity]bool, error) {
	moved := map[identity]bool{}
	var identities bson.A
	for _, r := range readings {
		if document, ok := stored[keyOf(r.Reading)]; ok && r.Origin != 0 {
			if there := original(document); !isSame(&there, r.Reading) {
				identities = append(identities, bson.Raw(identityOf(r.Reading)))
			}
		}
	}
	if len(identities) == 0 {
		return moved, nil
	}
	collection, err := s.durable(ctx)
	if err != nil {
		return nil, err
	}
	return moved, s.DB.Find(ctx, collection, bson.D{{Key: fieldMoved, Value: bson.D{{Key: "$in", Value: identities}}}},
		func(document bson.Raw) (more bool) {
			r := original(document)
			moved[identify(&r)] = true
			return true
		})
}

// lister returns what occupied.Ranges asks for of device. The index alone answers.
func (s *Store) lister(ctx context.Context, device iot.DeviceID) func(from int64, limit int) ([]int64, error) {
	return func(from int64, limit int) ([]int64, error) {
		collection, err := s.durable(ctx)
		if err != nil {
			return nil, err
		}
		times := make([]int64, 0, limit)
		err = s.DB.Find(ctx, collection, bson.D{
			{Key: fieldDevice, Value: int64(device)},
			{Key: fieldAt, Value: bson.D{{Key: "$gte", Value: bson.DateTime(from)}}},
		}, func(document bson.Raw) (more bool) {
			at, ok := document.Lookup(fieldAt).DateTimeOK()
			if ok {
				times = append(times, at)
			}
			return true
		}, options.Find().
			SetProjection(bson.D{{Key: "_id", Value: 0}, {Key: fieldAt, Value: 1}}).
			SetSort(bson.D{{Key: fieldAt, Value: 1}}).
			SetLimit(int64(limit)))
		return times, err
	}
}

// replace gives the place of a stored reading to another one, and returns the stored one, which is to be
// stored elsewhere. Where it is not there any more, the other one is still to be stored.
func (s *Store) replace(ctx context.Context, r replacement) (pending, error) {
	place := keyOf(r.reading.Reading)
	document, err := appendDocument(nil, r.reading.Reading, place.at)
	if err != nil {
		return pending{}, err
	}
	document = bsoncore.AppendDocumentElement(document[:len(document)-1], fieldDisplaced, r.old)
	if document, err = bsoncore.AppendDocumentEnd(document, 0); err != nil {
		return pending{}, err
	}
	collection, err := s.durable(ctx)
	if err != nil {
		return pending{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.DB.Timeout)
	defer cancel()
	result, err := collection.ReplaceOne(ctx, bson.D{
		{Key: fieldDevice, Value: int64(place.device)},
		{Key: fieldAt, Value: bson.DateTime(place.at)},
		{Key: fieldOrigin, Value: r.old.Lookup(fieldOrigin)},
		{Key: fieldMoved, Value: valueOf(r.old, fieldMoved)},
	}, bson.Raw(document))
	if err != nil {
		return pending{}, fmt.Errorf("take the place of another reading: %w", err)
	}
	if result.MatchedCount == 0 {
		return r.reading, nil
	}
	return displacedBy(place, r.old), nil
}

// displacedBy returns the reading that was at place, as it is to be stored elsewhere.
func displacedBy(place key, document bson.Raw) pending {
	r := original(document)
	return pending{Reading: &r, index: gaveWay, place: place}
}

// forgetDisplaced is for when the reading that was at place before is stored elsewhere.
func (s *Store) forgetDisplaced(ctx context.Context, place key) error {
	collection, err := s.durable(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s.DB.Timeout)
	defer cancel()
	_, err = collection.UpdateOne(ctx, bson.D{
		{Key: fieldDevice, Value: int64(place.device)},
		{Key: fieldAt, Value: bson.DateTime(place.at)},
	}, bson.D{{Key: "$unset", Value: bson.D{{Key: fieldDisplaced, Value: ""}}}})
	return err
}

// durable is the collection without what may be rolled back, read from the primary and written to a majority,
// whatever the URI says.
func (s *Store) durable(ctx context.Context) (*mongo.Collection, error) {
	collection, err := s.Driver(ctx)
	if err != nil {
		return nil, err
	}
	return collection.Clone(options.Collection().SetReadConcern(readconcern.Majority()).SetReadPreference(readpref.Primary())), nil
}
