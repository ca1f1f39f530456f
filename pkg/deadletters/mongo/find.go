package mongo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/mongodb"
)

func millis(t time.Time) bson.DateTime { return bson.DateTime(iot.CeilMillis(t).UnixMilli()) }

// DeadLetter implements iot.DeadLetterStore.
func (s *Store) DeadLetter(ctx context.Context, id iot.DeadLetterID) (iot.DeadLetter, error) {
	collection, err := s.Driver(ctx)
	if err != nil {
		return iot.DeadLetter{}, fmt.Errorf("find dead letter: %w", err)
	}
	var doc document
	err = collection.FindOne(ctx, bson.D{{Key: fieldID, Value: id.String()}}).Decode(&doc)
	if errors.Is(err, mongo.ErrNoDocuments) {
		return iot.DeadLetter{}, iot.ErrNotFound
	}
	if err != nil {
		return iot.DeadLetter{}, fmt.Errorf("find dead letter: %w", err)
	}
	return doc.deadLetter()
}

// FindDeadLetters implements iot.DeadLetterStore.
func (s *Store) FindDeadLetters(ctx context.Context, q iot.DeadLetterQuery) (iot.DeadLetterPage, error) {
	p, err := mongodb.FindPage(ctx, s.Collection, mongodb.Listing{
		Filter: filterOf(q), Sort: newest, Limit: q.Limit, MaxBytes: iot.MaxDeadLetterPageBytes,
	}, func(raw bson.Raw) (iot.DeadLetter, bool) {
		var doc document
		if err := bson.Unmarshal(raw, &doc); err != nil {
			return iot.DeadLetter{}, false
		}
		d, err := doc.deadLetter()
		return d, err == nil
	})
	if err != nil {
		return iot.DeadLetterPage{}, fmt.Errorf("find dead letters: %w", err)
	}
	return iot.DeadLetterPage{DeadLetters: p.Items, Next: p.Next}, nil
}

// CountDeadLetters implements iot.DeadLetterStore.
func (s *Store) CountDeadLetters(ctx context.Context, q iot.DeadLetterQuery) ([]iot.ReasonCount, error) {
	type row struct {
		Reason   string `bson:"_id"`
		Count    int64  `bson:"n"`
		Replayed int64  `bson:"replayed"`
	}
	rows, err := mongodb.Aggregate[row](ctx, s.Collection, s.DB.Timeout, mongo.Pipeline{
		{{Key: "$match", Value: filterOf(q)}},
		{{Key: "$group", Value: bson.D{
			{Key: "_id", Value: "$" + fieldReason},
			{Key: "n", Value: bson.D{{Key: "$sum", Value: int64(1)}}},
			{Key: "replayed", Value: countReplayed},
		}}},
		{{Key: "$sort", Value: bson.D{{Key: "_id", Value: 1}}}},
	})
	if err != nil {
		return nil, fmt.Errorf("count dead letters: %w", err)
	}
	counts := make([]iot.ReasonCount, len(rows))
	for i, row := range rows {
		counts[i] = iot.ReasonCount{Reason: iot.Reason(row.Reason), Count: row.Count, Replayed: row.Replayed}
	}
	return counts, nil
}

// countReplayed counts, of a group, those that were replayed. A date is greater than null, which stands for one that is
// not there.
var countReplayed = bson.D{{Key: "$sum", Value: bson.D{{Key: "$cond", Value: bson.A{
	bson.D{{Key: "$gt", Value: bson.A{"$" + fieldReplayed, nil}}}, int64(1), int64(0),
}}}}}

// CountDeadLetterSources implements iot.DeadLetterStore.
func (s *Store) CountDeadLetterSources(ctx context.Context, q iot.DeadLetterQuery) ([]iot.SourceCount, error) {
	type row struct {
		Source   string `bson:"_id"`
		Count    int64  `bson:"n"`
		Replayed int64  `bson:"replayed"`
		Newest   string `bson:"newest"`
	}
	rows, err := mongodb.Aggregate[row](ctx, s.Collection, s.DB.Timeout, mongo.Pipeline{
		{{Key: "$match", Value: filterOf(q)}},
		{{Key: "$sort", Value: newest}},
		{{Key: "$limit", Value: int64(iot.MaxDeadLettersBySource)}},
		{{Key: "$project", Value: bson.D{
			{Key: fieldSource, Value: bson.D{{Key: "$substrCP", Value: bson.A{text(fieldSource), 0, iot.MaxSourceLength}}}},
			{Key: fieldReplayed, Value: 1},
		}}},
		{{Key: "$group", Value: bson.D{
			{Key: "_id", Value: "$" + fieldSource},
			{Key: "n", Value: bson.D{{Key: "$sum", Value: int64(1)}}},
			{Key: "replayed", Value: countReplayed},
			{Key: "newest", Value: bson.D{{Key: "$first", Value: text(fieldID)}}},
		}}},
		{{Key: "$sort", Value: bson.D{{Key: "n", Value: -1}, {Key: "_id", Value: 1}}}},
	})
	if err != nil {
		return nil, fmt.Errorf("count the sources of dead letters: %w", err)
	}
	var counts []iot.SourceCount
	for _, row := range rows {
		if id, err := iot.ParseDeadLetterID(row.Newest); err == nil { // else somebody else wrote it
			counts = append(counts, iot.SourceCount{Source: row.Source, Count: row.Count, Replayed: row.Replayed, Newest: id})
		}
	}
	return counts, nil
}

// text is a field as a text, which that of a document that somebody else wrote may not be.
func text(field string) bson.D {
	return bson.D{{Key: "$convert", Value: bson.D{
		{Key: "input", Value: "$" + field}, {Key: "to", Value: "string"}, {Key: "onError", Value: ""}, {Key: "onNull", Value: ""},
	}}}
}
