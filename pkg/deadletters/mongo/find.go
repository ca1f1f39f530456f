package mongo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/telltale-iot/telltale/pkg/deadletters/internal/page"
	"github.com/telltale-iot/telltale/pkg/iot"
)

func millis(t time.Time) bson.DateTime { return bson.DateTime(iot.CeilMillis(t).UnixMilli()) }

// DeadLetter implements iot.DeadLetterStore.
func (s *Store) DeadLetter(ctx context.Context, id iot.DeadLetterID) (iot.DeadLetter, error) {
	collection, err := s.collection(ctx)
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
	rows := int64(q.Limit) + 1 // one more tells whether the walk goes on
	found, foreign, err := s.page(ctx, q, rows)
	if err == nil && foreign > 0 && found.Next.IsZero() {
		found, _, err = s.page(ctx, q, noLimit) // they took the places of dead letters
	}
	if err != nil {
		return iot.DeadLetterPage{}, fmt.Errorf("find dead letters: %w", err)
	}
	return found, nil
}

const noLimit = 0 // of the documents that the server returns

// page returns the page for q out of the first documents, at most limit, that it selects, and how many of these
// were no dead letters.
func (s *Store) page(ctx context.Context, q iot.DeadLetterQuery, limit int64) (_ iot.DeadLetterPage, foreign int, err error) {
	p, err := page.Of(q)
	if err != nil {
		return iot.DeadLetterPage{}, 0, err
	}
	collection, err := s.collection(ctx)
	if err != nil {
		return iot.DeadLetterPage{}, 0, err
	}
	// With a timeout here the driver does not make one for each step of the cursor.
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	cursor, err := collection.Find(ctx, filterOf(q), options.Find().
		SetSort(bson.D{{Key: fieldReceived, Value: -1}, {Key: fieldID, Value: -1}}).
		SetLimit(limit))
	if err != nil {
		return iot.DeadLetterPage{}, 0, err
	}
	for more := true; more && cursor.Next(ctx); {
		var doc document
		err := cursor.Decode(&doc)
		var d iot.DeadLetter
		if err == nil {
			d, err = doc.deadLetter()
		}
		if err != nil {
			foreign++
			continue
		}
		more = p.Add(d)
	}
	return p.DeadLetterPage, foreign, errors.Join(cursor.Err(), cursor.Close(ctx))
}

// CountDeadLetters implements iot.DeadLetterStore.
func (s *Store) CountDeadLetters(ctx context.Context, q iot.DeadLetterQuery) ([]iot.ReasonCount, error) {
	collection, err := s.collection(ctx)
	if err != nil {
		return nil, fmt.Errorf("count dead letters: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	var rows []struct {
		Reason   string `bson:"_id"`
		Count    int64  `bson:"n"`
		Replayed int64  `bson:"replayed"`
	}
	cursor, err := collection.Aggregate(ctx, mongo.Pipeline{
		{{Key: "$match", Value: filterOf(q)}},
		{{Key: "$group", Value: bson.D{
			{Key: "_id", Value: "$" + fieldReason},
			{Key: "n", Value: bson.D{{Key: "$sum", Value: int64(1)}}},
			// A date is greater than null, which stands for one that is not there.
			{Key: "replayed", Value: bson.D{{Key: "$sum", Value: bson.D{{Key: "$cond", Value: bson.A{
				bson.D{{Key: "$gt", Value: bson.A{"$" + fieldReplayed, nil}}}, int64(1), int64(0),
			}}}}}},
		}}},
		{{Key: "$sort", Value: bson.D{{Key: "_id", Value: 1}}}},
	})
	if err == nil {
		err = cursor.All(ctx, &rows)
	}
	if err != nil {
		return nil, fmt.Errorf("count dead letters: %w", err)
	}
	counts := make([]iot.ReasonCount, len(rows))
	for i, row := range rows {
		counts[i] = iot.ReasonCount{Reason: iot.Reason(row.Reason), Count: row.Count, Replayed: row.Replayed}
	}
	return counts, nil
}
