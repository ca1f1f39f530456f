package mongo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/mongodb"
)

const (
	repairTimeout = 24 * time.Hour // for the whole collection
	repairBatch   = 1000           // documents that are removed at once
	logEvery      = 5 * time.Second
)

// Repaired is what Repair has done.
type Repaired struct {
	Documents  int // looked at
	Duplicates int // removed: another one of the same device and time stays, with the same content
	Moved      int // stamped by a server, and now at the next free millisecond, as InsertReadings would have put them
	Rejected   int // removed, and given to reject: another one of the same device and time stays, with other content
}

func (r Repaired) String() string {
	return fmt.Sprintf("%d documents looked at: %d duplicates removed, %d readings moved to the next free millisecond, %d rejected",
		r.Documents, r.Duplicates, r.Moved, r.Rejected)
}

// Surplus is a document that is removed, since another one of its device and time stays.
type Surplus struct {
	ID      string      // its _id, as extended JSON
	JSON    []byte      // all of it, as extended JSON
	Reading iot.Reading // what it is; of device 0 where it is no reading
}

// Repair is for a collection that was without its unique indexes for a while, and holds readings of the same device
// and time more than once: one of each stays, and then the indexes are created. It may run while everything does, since
// InsertReadings inserts nothing without them, and as often as one likes; after an error it goes on where it was. reject
// makes durable what is about to be removed, and may be called with it again.
func (s *Store) Repair(ctx context.Context, log *slog.Logger, reject func(context.Context, []Surplus) error) (Repaired, error) {
	ctx, cancel := context.WithTimeout(ctx, repairTimeout)
	defer cancel()
	collection, err := s.durable(ctx)
	if err != nil {
		return Repaired{}, err
	}
	r := &repairer{Store: s, collection: collection, log: log, loggedAt: time.Now(), reject: reject}
	for _, step := range []func(context.Context) error{
		r.only(newest).Prepare, r.repairMoved, r.only(moved).Prepare, // what the next step needs
		r.repairPlaces, s.beginAnew, s.Prepare,
	} {
		if err := step(ctx); err != nil {
			return r.Repaired, fmt.Errorf("repair readings: %w", err)
		}
	}
	return r.Repaired, nil
}

type repairer struct {
	*Store
	Repaired
	collection *mongo.Collection
	log        *slog.Logger
	loggedAt   time.Time
	reject     func(context.Context, []Surplus) error
}

func (r *repairer) only(index mongodb.Index) *mongodb.Collection {
	return &mongodb.Collection{DB: r.DB, Name: collectionName, Indexes: []mongodb.Index{index}}
}

// repairMoved removes readings that were moved, and are there more than once.
func (r *repairer) repairMoved(ctx context.Context) error {
	return r.repeated(ctx, bson.D{{Key: fieldMoved, Value: bson.D{{Key: "$exists", Value: true}}}}, moved, nil, func(again bson.Raw) error {
		where := bson.D{{Key: fieldMoved, Value: again.Lookup(fieldMoved)}}
		var kept bson.Raw
		return r.each(ctx, where, func(document bson.Raw) (fate, error) {
			if kept == nil {
				kept = document
				return stays, nil
			}
			return isDuplicate, nil
		})
	})
}

// repairPlaces leaves one document of each device and time.
func (r *repairer) repairPlaces(ctx context.Context) error {
	r.Documents = 0 // those that were moved are looked at once more
	return r.repeated(ctx, bson.D{}, newest, newest.Keys, func(again bson.Raw) error {
		place := bson.D{{Key: fieldDevice, Value: valueOf(again, fieldDevice)}, {Key: fieldAt, Value: valueOf(again, fieldAt)}}
		kept, err := r.kept(ctx, place)
		if err != nil {
			return err
		}
		return r.each(ctx, place, func(document bson.Raw) (fate, error) {
			if document.Lookup("_id").Equal(kept.Lookup("_id")) {
				return stays, nil
			}
			return r.decide(ctx, kept, document)
		})
	})
}

// repeated calls repair once for each value of an index that several documents have.
func (r *repairer) repeated(ctx context.Context, filter bson.D, index mongodb.Index, hint any, repair func(again bson.Raw) error) error {
	projection := bson.D{{Key: "_id", Value: 0}} // the index alone answers, where there is one
	for _, key := range index.Keys {
		projection = append(projection, bson.E{Key: key.Key, Value: 1})
	}
	search := options.Find().SetProjection(projection).SetSort(index.Keys).SetBatchSize(10 * repairBatch).SetAllowDiskUse(true)
	if hint != nil {
		search.SetHint(hint)
	}
	cursor, err := r.collection.Find(ctx, filter, search)
	if err != nil {
		return err
	}
	defer func() { _ = cursor.Close(ctx) }()
	var last bson.Raw
	repaired := false
	for cursor.Next(ctx) {
		r.Documents++
		r.logProgress()
		same := last != nil && !slices.ContainsFunc(index.Keys, func(key bson.E) bool {
			return !sameValue(last.Lookup(key.Key), cursor.Current.Lookup(key.Key))
		})
		if same && !repaired {
			if err := repair(last); err != nil {
				return err
			}
		}
		repaired = same
		last = append(last[:0], cursor.Current...)
	}
	return cursor.Err()
}

// kept returns the document that stays at a place: the first that was stored, of those that their devices
// stamped if there are any, and before that one which holds another reading.
func (r *repairer) kept(ctx context.Context, place bson.D) (bson.Raw, error) {
	for _, preference := range []bson.D{
		{{Key: fieldDisplaced, Value: bson.D{{Key: "$exists", Value: true}}}},
		{{Key: fieldOrigin, Value: bson.D{{Key: "$exists", Value: false}}}},
		{},
	} {
		kept, err := r.collection.FindOne(ctx, slices.Concat(place, preference),
			options.FindOne().SetSort(bson.D{{Key: "_id", Value: 1}})).Raw()
		if !errors.Is(err, mongo.ErrNoDocuments) {
			return kept, err
		}
	}
	return nil, errUnresolved
}

// fate is what becomes of a document.
type fate int

const (
	stays fate = iota
	isMoved
	isDuplicate
	isRejected
)

// decide says what becomes of a document whose place kept keeps. One that a server stamped is moved by then.
func (r *repairer) decide(ctx context.Context, kept, document bson.Raw) (fate, error) {
	_, isReading := readDocument(kept)
	place, ok := readDocument(document)
	there, reading := asStamped(kept), asStamped(document)
	switch {
	case !ok || !isReading:
		if sameDocument(kept, document) {
			return isDuplicate, nil
		}
		return isRejected, nil
	case reading.Origin == 0 && there.SameContent(reading), reading.Origin != 0 && sameReading(&there, &reading):
		return isDuplicate, nil
	case reading.Origin == 0:
		return isRejected, nil
	}
	at, err := r.occupied.NextFree(place.Device, place.At.UnixMilli()+1, r.occupiedTimes(ctx, place.Device))
	if err != nil {
		return stays, err
	}
	_, err = r.collection.UpdateByID(ctx, document.Lookup("_id"), bson.D{{Key: "$set", Value: bson.D{
		{Key: fieldAt, Value: bson.DateTime(at)},
		{Key: fieldMoved, Value: bson.Raw(identityOf(&reading))},
	}}})
	if mongo.IsDuplicateKeyError(err) { // it was moved before
		return isDuplicate, nil
	}
	return isMoved, err
}

// each has decide say what becomes of the documents that filter selects, the first stored first, and removes those
// that are not to stay.
func (r *repairer) each(ctx context.Context, filter bson.D, decide func(bson.Raw) (fate, error)) error {
	cursor, err := r.collection.Find(ctx, filter, options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}))
	if err != nil {
		return err
	}
	defer func() { _ = cursor.Close(ctx) }()
	var surplus []Surplus
	var ids bson.A
	total := 0 // bytes of surplus
	for cursor.Next(ctx) {
		document := slices.Clone(cursor.Current)
		became, err := decide(document)
		if err != nil {
			return err
		}
		switch became {
		case isMoved:
			r.Moved++
		case isDuplicate:
			ids = append(ids, document.Lookup("_id"))
		case isRejected:
			ids = append(ids, document.Lookup("_id"))
			reading, _ := readDocument(document)
			total += len(document)
			surplus = append(surplus, Surplus{ID: document.Lookup("_id").String(), JSON: []byte(document.String()), Reading: reading})
		}
		if len(ids) == repairBatch || total >= r.maxBytes {
			if err := r.remove(ctx, ids, surplus); err != nil {
				return err
			}
			ids, surplus, total = nil, nil, 0
		}
	}
	if err := cursor.Err(); err != nil {
		return err
	}
	return r.remove(ctx, ids, surplus)
}

// remove removes the documents with ids, of which surplus are those that are to be kept elsewhere.
func (r *repairer) remove(ctx context.Context, ids bson.A, surplus []Surplus) error {
	if len(ids) == 0 {
		return nil
	}
	if len(surplus) > 0 {
		if err := r.reject(ctx, surplus); err != nil {
			return err
		}
	}
	result, err := r.collection.DeleteMany(ctx, bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: ids}}}})
	if err != nil {
		return err
	}
	r.Rejected += len(surplus)
	r.Duplicates += int(result.DeletedCount) - len(surplus)
	return nil
}

func (r *repairer) logProgress() {
	if time.Since(r.loggedAt) > logEvery {
		r.loggedAt = time.Now()
		r.log.Info("repairing", "documents", r.Documents, "duplicates", r.Duplicates, "moved", r.Moved, "rejected", r.Rejected)
	}
}

// valueOf returns the value of a field as an index has it: null where there is none.
func valueOf(document bson.Raw, field string) any {
	if value := document.Lookup(field); !value.IsZero() {
		return value
	}
	return nil
}

// sameValue reports whether an index takes a and b for the same: numbers of any type, and null for what is not there.
func sameValue(a, b bson.RawValue) bool {
	if x, ok := a.AsInt64OK(); ok {
		y, ok := b.AsInt64OK()
		f, _ := a.AsFloat64OK()
		g, _ := b.AsFloat64OK()
		return ok && x == y && f == g
	}
	none := func(v bson.RawValue) bool { return v.IsZero() || v.Type == bson.TypeNull }
	return none(a) && none(b) || a.Type == b.Type && bytes.Equal(a.Value, b.Value)
}

// sameDocument reports whether a and b differ in their _id alone.
func sameDocument(a, b bson.Raw) bool {
	content := func(document bson.Raw) []byte {
		var all []byte
		for name, value := range elements(document) {
			if string(name) != "_id" {
				all = append(append(append(all, byte(value.Type)), name...), 0)
				all = append(all, value.Data...)
			}
		}
		return all
	}
	return bytes.Equal(content(a), content(b))
}
