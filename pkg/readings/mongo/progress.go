package mongo

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/mongodb"
	"github.com/telltale-iot/telltale/pkg/readings/internal/timerange"
	"github.com/telltale-iot/telltale/pkg/rollup"
)

const (
	hour = int64(time.Hour / time.Millisecond)
	day  = 24 * hour
)

// hourOf and dayOf return the start of the hour and of the day, of UTC, that at lies in.
func hourOf(at int64) int64 { return rollup.Floor(at, hour) }
func dayOf(at int64) int64  { return rollup.DayOf(at) }

// interval is a span of time: from <= at < to, in ms.
type interval struct{ from, to int64 }

// beginning and end are before and behind all readings, and whole days.
var (
	beginning = timerange.Of(iot.ScanQuery{}).From
	end       = timerange.Of(iot.ScanQuery{}).End
)

func (i interval) times() timerange.Range { return timerange.Range{From: i.from, End: i.to} }

// runs returns i in pieces, of which each is marked as a whole, or not at all. marked are hours, ascending.
func (i interval) runs(marked []int64) iter.Seq2[interval, bool] {
	return func(yield func(run interval, marked bool) bool) {
		for from := i.from; from < i.to; {
			n, found := slices.BinarySearch(marked, hourOf(from))
			run := interval{from, i.to}
			if found {
				run.to = hourOf(from) + hour
				for n++; n < len(marked) && marked[n] == run.to; n++ {
					run.to += hour
				}
			} else if n < len(marked) {
				run.to = marked[n]
			}
			run.to = min(run.to, i.to)
			if !yield(run, found) {
				return
			}
			from = run.to
		}
	}
}

// between is the condition that a time is in a span.
func between(from, to int64) bson.D {
	return bson.D{{Key: "$gte", Value: bson.DateTime(from)}, {Key: "$lt", Value: bson.DateTime(to)}}
}

// idsBetween is the filter for the documents of a device in a span: from and to are those ids of it.
func idsBetween(from, to any) bson.D {
	return bson.D{{Key: "_id", Value: bson.D{{Key: "$gte", Value: from}, {Key: "$lt", Value: to}}}}
}

// progress is the document in the collection of marks that says which hours are rolled up.
type progress struct {
	Generation bson.ObjectID `bson:"generation"` // zero: none is; another one: what is rolled up was begun anew
	Closing    bson.DateTime `bson:"closing"`    // inserts mark the hours before it
	Since      bson.DateTime `bson:"since"`      // the hours from Since
	Until      bson.DateTime `bson:"until"`      // to Until are rolled up
	Horizon    bson.DateTime `bson:"horizon"`    // the latest that has been: readings before it are not taken any more
}

const progressID = "rollups"

// gone is the time before which readings may be removed already. What is rolled up of it stays as it is. The zero
// progress has none.
func (p progress) gone() int64 {
	if p.Horizon == 0 {
		return beginning
	}
	return hourOf(int64(p.Horizon)) - computeGrace
}

// parts returns i in pieces, and whether they are rolled up: if so, what is stored of their hours is exact unless they are
// marked.
func (p progress) parts(i interval) iter.Seq2[interval, bool] {
	gone := p.gone()
	since, until := max(int64(p.Since), gone), max(int64(p.Until), gone)
	return func(yield func(part interval, rolledUp bool) bool) {
		from := i.from
		for n, to := range [...]int64{gone, since, until, end} {
			if to = min(to, i.to); from < to {
				if !yield(interval{from, to}, n%2 == 0) {
					return
				}
				from = to
			}
		}
	}
}

// progress reads what is rolled up.
func (s *Store) progress(ctx context.Context) (p progress, err error) {
	collection, err := s.collection(ctx, dirtyName)
	if err != nil {
		return p, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.DB.Timeout)
	defer cancel()
	err = collection.FindOne(ctx, bson.D{{Key: "_id", Value: progressID}}).Decode(&p)
	if errors.Is(err, mongo.ErrNoDocuments) {
		return progress{}, nil
	}
	if err != nil {
		return p, fmt.Errorf("look what is rolled up: %w", err)
	}
	return p, nil
}

// advance changes the progress that is like one which was read, and reports whether it was there. What else there is to
// do with it depends on what has become of others.
func (s *Store) advance(ctx context.Context, like, change bson.D) (changed bool, err error) {
	collection, err := s.collection(ctx, dirtyName)
	if err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.DB.Timeout)
	defer cancel()
	result, err := collection.UpdateOne(ctx, append(bson.D{{Key: "_id", Value: progressID}}, like...), change)
	if err != nil {
		return false, fmt.Errorf("say what is rolled up: %w", err)
	}
	return result.MatchedCount > 0, nil
}

// begin makes a progress in which nothing is rolled up but inserts mark the hours before closing, where there is none.
func (s *Store) begin(ctx context.Context, closing int64) error {
	collection, err := s.collection(ctx, dirtyName)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s.DB.Timeout)
	defer cancel()
	at := bson.DateTime(closing)
	_, err = collection.UpdateOne(ctx,
		bson.D{{Key: "_id", Value: progressID}, {Key: "generation", Value: bson.D{{Key: "$exists", Value: false}}}},
		bson.D{{Key: "$set", Value: bson.D{
			{Key: "generation", Value: bson.NewObjectID()}, {Key: "closing", Value: at}, {Key: "since", Value: at}, {Key: "until", Value: at},
		}}}, options.UpdateOne().SetUpsert(true))
	if err != nil && !mongo.IsDuplicateKeyError(err) { // another one has begun
		return fmt.Errorf("begin to roll up: %w", err)
	}
	return nil
}

// beginAnew has all be rolled up once more: meanwhile answers are made of the readings.
func (s *Store) beginAnew(ctx context.Context) error {
	_, err := s.advance(ctx, nil, bson.D{{Key: "$unset", Value: bson.D{
		{Key: "generation", Value: ""}, {Key: "closing", Value: ""}, {Key: "since", Value: ""}, {Key: "until", Value: ""},
	}}})
	return err
}

// collection returns one of the database, read from the primary and written to a majority, without what may be rolled
// back, whatever the URI says.
func (s *Store) collection(ctx context.Context, name string) (*mongo.Collection, error) {
	collection, err := (&mongodb.Collection{DB: s.DB, Name: name}).Driver(ctx)
	if err != nil {
		return nil, err
	}
	return collection.Clone(options.Collection().SetReadConcern(readconcern.Majority()).SetReadPreference(readpref.Primary())), nil
}
