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
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// Conflict resolution: what is done where readings of one device meet at one millisecond, which the unique index
// refuses. Package iot says what becomes of them (ReadingWriter). This is how, in rounds, each of which looks at what
// is stored, and a crash in the middle, a repetition and a second writer do no harm.
//
// A reading with an origin, which a server stamped, is stored at the next free millisecond: it is a moved reading, and
// notes in the field moved from where. It is stored once, since the millisecond that it was stamped with stays
// occupied, and the index on moved is unique. So it is there if it is at its own millisecond, or among the moved ones.
//
// A reading without an origin, which its device stamped, takes the place of one with an origin, in one command, and
// holds a copy of it in the field displaced until the displaced reading is stored elsewhere. With another one without
// an origin it is merged, in an update that does nothing unless the document has the members that were read.
//
// An example. Of device 7 there are
//
//	{timestamp: 1000, origin: A}
//	{timestamp: 1001, origin: B}
//	{timestamp: 1010, temperature: 20}
//
// and a batch has, of device 7,
//
//	0: 1000, origin A    Kafka delivers it again
//	1: 1000, origin C    another bridge gave it the same stamp
//	2: 1001, no origin   the device has a clock
//	3: 1010, humidity 40, no origin     and sends each value in a message of its own
//	4: 1010, voltage 3.3, no origin
//
// Round 1 looks at nothing, and inserts 0, 2, and 3 and 4 together, at their own milliseconds; 1 has to wait, since the
// one of 0 is its own. The server refuses all.
//
// Round 2 reads what is at 1000, 1001 and 1010, and whether C is among the moved readings. 0 is what is stored there,
// and a duplicate. 2 takes the place of B, which leaves
//
//	{timestamp: 1001, displaced: {timestamp: 1001, origin: B}}
//
// 3 and 4 are merged into what has the temperature 20, and neither humidity nor voltage:
//
//	{timestamp: 1010, temperature: 20, humidity: 40, metrics: {voltage: 3.3}}
//
// and 1 is inserted at the next free millisecond:
//
//	{timestamp: 1002, origin: C, moved: {device_id: 7, origin: C, from: 1000}}
//
// Round 3 inserts the displaced reading likewise, and then removes the copy:
//
//	{timestamp: 1003, origin: B, moved: {device_id: 7, origin: B, from: 1001}}
//	{timestamp: 1001}
//
// The outcome is two new readings, two that were merged, and a duplicate. After a crash in round 3 the batch comes again.
// 2, 3 and 4 are then duplicates of what is stored, and as that at 1001 holds a copy of B, round 3 is made up for.

// maxStoredBytes is how much of what is stored a round holds in memory: this and one document.
const maxStoredBytes = 16 << 20

// resolve looks up what is stored where rest should go, and returns the round that goes on with it. Duplicates and
// conflicts are counted in result.
func (s *Store) resolve(ctx context.Context, rest []insertion, result *iot.Inserted) (next round, err error) {
	stored, last, err := s.findStored(ctx, rest)
	if err != nil {
		return next, err
	}
	moved, err := s.findMoved(ctx, rest, stored)
	if err != nil {
		return next, err
	}
	next.ordered = true
	for identity, at := range moved {
		next.elsewhere = append(next.elsewhere, key{identity.device, at})
	}
	inserted := map[key]identity{} // by next
	moments := map[key]*moment{}   // of next.merge
	runs := map[iot.DeviceID]run{} // of the latest moved reading
	duplicate := func(p insertion) {
		if p.displaced() {
			next.release = append(next.release, p.from)
			next.elsewhere = append(next.elsewhere, keyOf(p.Reading))
		} else {
			result.Duplicates++
		}
	}
	insert := func(p insertion, at int64) {
		p.at = at
		next.elsewhere = append(next.elsewhere, key{p.Device, at})
		inserted[key{p.Device, at}] = identify(p.Reading)
		next.insert = append(next.insert, p)
	}
	for _, p := range rest {
		r, k := p.Reading, keyOf(p.Reading)
		if k.compare(last) > 0 {
			next.later = append(next.later, p)
			continue
		}
		if m := moments[k]; m != nil && r.Origin == 0 {
			m.readings = append(m.readings, p)
			continue
		}
		document, isStored := stored[k]
		there := asStamped(document)
		identity, isInserted := inserted[k]
		_, isElsewhere := moved[identify(r)]
		switch {
		case !isStored && !isInserted:
			insert(p, k.at)
		case r.Origin != 0 && (isInserted && identity == identify(r) || isStored && (sameReading(&there, r) || r.Restores(there)) || isElsewhere):
			duplicate(p)
		case r.Origin != 0:
			from, last := k.at, k.at
			if there := runs[r.Device]; there.from <= k.at && k.at <= there.last {
				from, last = there.from, there.last
			}
			at, err := s.nextFree(ctx, r.Device, last+1, inserted)
			if err != nil {
				return next, err
			}
			runs[r.Device] = run{from, at}
			insert(p, at)
		case isInserted:
			next.later = append(next.later, p)
		case there.Origin != 0:
			next.replace = append(next.replace, replacement{p, document})
		default:
			moments[k] = &moment{document: document, readings: []insertion{p}}
			next.merge = append(next.merge, moments[k])
			if copied, ok := document.Lookup(fieldDisplaced).DocumentOK(); ok {
				next.later = append(next.later, displacedFrom(k, copied))
			}
		}
	}
	return next, nil
}

// run is a range of milliseconds that are all occupied, with those of the round: who comes there goes behind it. Without
// it, each of many that meet at one millisecond would look at all before it.
type run struct{ from, last int64 }

// nextFree returns the first millisecond from at on at which device has no reading, neither stored nor among inserted.
func (s *Store) nextFree(ctx context.Context, device iot.DeviceID, at int64, inserted map[key]identity) (int64, error) {
	for {
		free, err := s.occupied.NextFree(device, at, s.occupiedTimes(ctx, device))
		if err != nil {
			return 0, err
		}
		if _, isInserted := inserted[key{device, free}]; !isInserted {
			return free, nil
		}
		at = free + 1
	}
}

// sameReading reports whether there and r, readings of a device with the times that they were stamped with, are one.
// Readings of earlier versions have no origin.
func sameReading(there, r *iot.Reading) bool {
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

// asStamped returns the reading in document with the time that it was stamped with, wherever it was moved to.
func asStamped(document bson.Raw) iot.Reading {
	r, _ := readDocument(document)
	if stamped, ok := document.Lookup(fieldMoved, fieldMovedFrom).DateTimeOK(); ok {
		r.At = time.UnixMilli(stamped).UTC()
	}
	return r
}

// lastKey is behind all others.
var lastKey = key{math.MaxInt64, math.MaxInt64}

// findStored returns the documents that are where readings should go, up to the key last: lastKey, or where there are more
// than maxStoredBytes of them, an earlier one.
func (s *Store) findStored(ctx context.Context, readings []insertion) (documents map[key]bson.Raw, last key, err error) {
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

// findMoved returns those of readings that are stored elsewhere than at their own time, since that is occupied, and
// where.
func (s *Store) findMoved(ctx context.Context, readings []insertion, stored map[key]bson.Raw) (map[identity]int64, error) {
	moved := map[identity]int64{}
	var identities bson.A
	for _, r := range readings {
		if document, ok := stored[keyOf(r.Reading)]; ok && r.Origin != 0 {
			if there := asStamped(document); !sameReading(&there, r.Reading) {
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
			_, at, _ := placeOf(document)
			r := asStamped(document)
			moved[identify(&r)] = at
			return true
		})
}

// occupiedTimes returns what occupied.Ranges asks for of device. The index alone answers.
func (s *Store) occupiedTimes(ctx context.Context, device iot.DeviceID) func(from int64, limit int) ([]int64, error) {
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

// replacement is that of a stored reading, which has an origin, by one without.
type replacement struct {
	by  insertion
	old bson.Raw
}

// replace carries r out, and returns the displaced reading, which is to be stored elsewhere. Where that is not there
// any more nothing is done, and the other one is returned.
func (s *Store) replace(ctx context.Context, r replacement) (insertion, error) {
	k := keyOf(r.by.Reading)
	document, err := appendDocument(nil, r.by.Reading, k.at)
	if err != nil {
		return insertion{}, err
	}
	document = bsoncore.AppendDocumentElement(document[:len(document)-1], fieldDisplaced, r.old)
	if document, err = bsoncore.AppendDocumentEnd(document, 0); err != nil {
		return insertion{}, err
	}
	collection, err := s.durable(ctx)
	if err != nil {
		return insertion{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.DB.Timeout)
	defer cancel()
	result, err := collection.ReplaceOne(ctx, bson.D{
		{Key: fieldDevice, Value: int64(k.device)},
		{Key: fieldAt, Value: bson.DateTime(k.at)},
		{Key: fieldOrigin, Value: r.old.Lookup(fieldOrigin)},
		{Key: fieldMoved, Value: valueOf(r.old, fieldMoved)},
	}, bson.Raw(document))
	if err != nil {
		return insertion{}, fmt.Errorf("take the place of another reading: %w", err)
	}
	if result.MatchedCount == 0 {
		return r.by, nil
	}
	return displacedFrom(k, r.old), nil
}

// displacedFrom returns the reading in document, which was at k, as it is to be stored elsewhere.
func displacedFrom(k key, document bson.Raw) insertion {
	r := asStamped(document)
	return insertion{Reading: &r, index: isDisplaced, from: k}
}

// unsetDisplaced removes the copy of a displaced reading from the document at k.
func (s *Store) unsetDisplaced(ctx context.Context, k key) error {
	collection, err := s.durable(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s.DB.Timeout)
	defer cancel()
	_, err = collection.UpdateOne(ctx, bson.D{
		{Key: fieldDevice, Value: int64(k.device)},
		{Key: fieldAt, Value: bson.DateTime(k.at)},
	}, bson.D{{Key: "$unset", Value: bson.D{{Key: fieldDisplaced, Value: ""}}}})
	return err
}

// durable is the collection of the readings, as collection says.
func (s *Store) durable(ctx context.Context) (*mongo.Collection, error) {
	return s.collection(ctx, collectionName)
}
