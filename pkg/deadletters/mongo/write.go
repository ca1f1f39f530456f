package mongo

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/telltale-iot/telltale/pkg/iot"
)

const codeDuplicateKey = 11000

// InsertDeadLetters implements iot.DeadLetterWriter.
func (s *Store) InsertDeadLetters(ctx context.Context, batch []iot.DeadLetter) (stored int, err error) {
	if len(batch) == 0 {
		return 0, nil
	}
	collection, err := s.Driver(ctx)
	if err != nil {
		return 0, fmt.Errorf("insert dead letters: %w", err)
	}
	now := time.Now()
	documents := make([]document, len(batch))
	for i, d := range batch {
		documents[i] = documentOf(d, now)
	}
	_, err = collection.InsertMany(ctx, documents, options.InsertMany().SetOrdered(false)) // one that is refused keeps back no other
	there, err := duplicates(err)
	if err != nil {
		return 0, fmt.Errorf("insert dead letters: %w", err)
	}
	return len(batch) - there, nil
}

// TrimDeadLetters implements iot.DeadLetterWriter. It counts the documents as they are without compression, and not their
// indexes. Several that run at once delete the same ones.
func (s *Store) TrimDeadLetters(ctx context.Context) (removed int, err error) {
	n, err := s.excess(ctx)
	if n == 0 || err != nil {
		return 0, err
	}
	collection, err := s.Driver(ctx)
	if err != nil {
		return 0, fmt.Errorf("trim dead letters: %w", err)
	}
	ours := bson.D{{Key: fieldStored, Value: bson.D{{Key: "$gt", Value: time.Time{}}}}} // other programs' documents have no such time
	oldest := options.Find().SetSort(bson.D{{Key: fieldStored, Value: 1}}).SetLimit(n).SetProjection(bson.D{{Key: fieldID, Value: 1}})
	var ids []struct {
		ID bson.RawValue `bson:"_id"`
	}
	found, err := collection.Find(ctx, ours, oldest)
	if err == nil {
		err = found.All(ctx, &ids)
	}
	if err != nil {
		return 0, fmt.Errorf("find the oldest dead letters: %w", err)
	}
	first := make(bson.A, len(ids))
	for i := range ids {
		first[i] = ids[i].ID
	}
	result, err := collection.DeleteMany(ctx, bson.D{{Key: fieldID, Value: bson.D{{Key: "$in", Value: first}}}})
	if err != nil {
		return 0, fmt.Errorf("trim dead letters: %w", err)
	}
	return int(result.DeletedCount), nil
}

// stats are MongoDB's, of the documents as they are without compression.
type stats struct {
	Size  int64 `bson:"size"`
	Count int64 `bson:"count"`
}

func (s *Store) stats(ctx context.Context) (stats stats, err error) {
	database, err := s.DB.Database(ctx)
	if err == nil {
		err = database.RunCommand(ctx, bson.D{{Key: "collStats", Value: s.Name}}).Decode(&stats)
	}
	if err != nil {
		return stats, fmt.Errorf("look at the size of the dead letters: %w", err)
	}
	return stats, nil
}

// DeadLetterBytes implements iot.DeadLetterWriter.
func (s *Store) DeadLetterBytes(ctx context.Context) (int64, error) {
	stats, err := s.stats(ctx)
	return stats.Size, err
}

// excess returns how many dead letters are too many, by what one takes on average, iot.MaxDeadLettersTrimmed at most.
func (s *Store) excess(ctx context.Context) (int64, error) {
	stats, err := s.stats(ctx)
	if err != nil || stats.Size <= s.Capacity {
		return 0, err
	}
	excess := float64(stats.Size-s.Capacity) / float64(stats.Size) * float64(stats.Count)
	return int64(min(math.Ceil(excess), iot.MaxDeadLettersTrimmed)), nil
}

// duplicates returns how many documents were refused since they are stored already, and err if it says
// anything else too.
func duplicates(err error) (n int, _ error) {
	var refused mongo.BulkWriteException
	if !errors.As(err, &refused) {
		return 0, err
	}
	if refused.WriteConcernError != nil { // they are not durable yet
		return 0, err
	}
	for _, e := range refused.WriteErrors {
		if e.Code != codeDuplicateKey {
			return 0, err
		}
	}
	return len(refused.WriteErrors), nil
}

// MarkReplayed implements iot.DeadLetterStore.
func (s *Store) MarkReplayed(ctx context.Context, replays map[iot.DeadLetterID]iot.Replay) error {
	if len(replays) == 0 {
		return nil
	}
	collection, err := s.Driver(ctx)
	if err != nil {
		return fmt.Errorf("mark dead letters: %w", err)
	}
	var updates []mongo.WriteModel
	for id, r := range replays {
		updates = append(updates, mongo.NewUpdateOneModel().
			SetFilter(bson.D{{Key: fieldID, Value: id.String()}}).
			SetUpdate(bson.D{{Key: "$set", Value: bson.D{
				{Key: fieldReplayed, Value: r.At}, {Key: fieldReadings, Value: r.Readings},
			}}}))
	}
	if _, err := collection.BulkWrite(ctx, updates, options.BulkWrite().SetOrdered(false)); err != nil {
		return fmt.Errorf("mark dead letters: %w", err)
	}
	return nil
}

// DeleteDeadLetter implements iot.DeadLetterStore.
func (s *Store) DeleteDeadLetter(ctx context.Context, id iot.DeadLetterID) error {
	collection, err := s.Driver(ctx)
	if err != nil {
		return fmt.Errorf("delete dead letter: %w", err)
	}
	result, err := collection.DeleteOne(ctx, bson.D{{Key: fieldID, Value: id.String()}})
	if err != nil {
		return fmt.Errorf("delete dead letter: %w", err)
	}
	if result.DeletedCount == 0 {
		return iot.ErrNotFound
	}
	return nil
}

// DeleteDeadLetters implements iot.DeadLetterStore.
func (s *Store) DeleteDeadLetters(ctx context.Context, q iot.DeadLetterQuery) (deleted int, err error) {
	collection, err := s.Driver(ctx)
	if err != nil {
		return 0, fmt.Errorf("delete dead letters: %w", err)
	}
	result, err := collection.DeleteMany(ctx, filterOf(q))
	if err != nil {
		return 0, fmt.Errorf("delete dead letters: %w", err)
	}
	return int(result.DeletedCount), nil
}
