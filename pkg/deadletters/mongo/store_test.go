package mongo_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/telltale-iot/telltale/pkg/deadletters"
	"github.com/telltale-iot/telltale/pkg/deadletters/deadletterstest"
	"github.com/telltale-iot/telltale/pkg/deadletters/mongo"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/mongodb/mongodbtest"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
)

func openURI(t testing.TB, uri string) deadletters.Store {
	t.Helper()
	store, err := deadletters.Open(uri, tlsfiles.Files{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

func TestStore(t *testing.T) {
	deadletterstest.Run(t, func(t testing.TB) deadletters.Store {
		_, uri := mongodbtest.Database(t)
		store := openURI(t, uri)
		if err := store.Prepare(t.Context()); err != nil {
			t.Fatal(err)
		}
		return store
	})
}

func TestCapacity(t *testing.T) {
	deadletterstest.RunCapacity(t, func(t testing.TB, capacity int64) deadletters.Store {
		db, uri := mongodbtest.Database(t)
		store, err := mongo.Open(uri, tlsfiles.Files{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = store.Close() })
		store.Capacity = capacity
		if err := store.Prepare(t.Context()); err != nil {
			t.Fatal(err)
		}
		foreign := bson.D{{Key: "_id", Value: "of another program"}}
		if _, err := db.Collection("dead_letters").InsertOne(t.Context(), foreign); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := db.Collection("dead_letters").FindOne(context.WithoutCancel(t.Context()), foreign).Err(); err != nil {
				t.Errorf("another program's document: %v", err)
			}
		})
		return store
	})
}

func TestCollection(t *testing.T) {
	db, uri := mongodbtest.Database(t)
	store := openURI(t, uri)
	if err := store.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Run("MongoDB removes a dead letter 30 days after it was stored", func(t *testing.T) {
		specifications, err := db.Collection("dead_letters").Indexes().ListSpecifications(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range specifications {
			if s.Name == "stored_at_1" && s.ExpireAfterSeconds != nil && *s.ExpireAfterSeconds == 30*24*3600 {
				return
			}
		}
		t.Errorf("no index does that: %+v", specifications)
	})
	t.Run("what is no dead letter is passed over", func(t *testing.T) {
		if _, err := db.Collection("dead_letters").InsertOne(t.Context(), bson.D{{Key: "received_at", Value: time.Now()}}); err != nil {
			t.Fatal(err)
		}
		page, err := store.FindDeadLetters(t.Context(), iot.DeadLetterQuery{Limit: 10})
		if err != nil || len(page.DeadLetters) != 0 {
			t.Errorf("%+v, %v", page, err)
		}
	})
}

// TestForeignDocuments: what other programs have put into the collection, and no dead letter is, ends no listing.
func TestForeignDocuments(t *testing.T) {
	db, uri := mongodbtest.Database(t)
	store := openURI(t, uri)
	if err := store.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	at := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range 9 {
		received := at.Add(time.Duration(i) * time.Second)
		deadLetter := iot.DeadLetter{ID: iot.DeadLetterID{byte(i + 1)}, Received: received}
		if _, err := store.InsertDeadLetters(t.Context(), []iot.DeadLetter{deadLetter}); err != nil {
			t.Fatal(err)
		}
		if i%4 < 2 {
			document := bson.D{{Key: "_id", Value: []any{bson.NewObjectID(), "z" + received.String()}[i%2]}, {Key: "received_at", Value: received}}
			if _, err := db.Collection("dead_letters").InsertOne(t.Context(), document); err != nil {
				t.Fatal(err)
			}
		}
	}
	odd := bson.D{{Key: "_id", Value: "odd"}, {Key: "received_at", Value: at}, {Key: "source", Value: bson.A{1}}}
	if _, err := db.Collection("dead_letters").InsertOne(t.Context(), odd); err != nil {
		t.Fatal(err)
	}
	if counts, err := store.CountDeadLetterSources(t.Context(), iot.DeadLetterQuery{To: at.Add(time.Hour)}); err != nil || len(counts) > 1 {
		t.Errorf("sources %+v, %v", counts, err)
	}
	for _, limit := range []int{1, 2, 3, 8, 9} {
		n := 0
		for q := (iot.DeadLetterQuery{Limit: limit}); ; {
			page, err := store.FindDeadLetters(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			n += len(page.DeadLetters)
			if q.After = page.Next; page.Next.IsZero() {
				break
			}
			if len(page.DeadLetters) != limit {
				t.Errorf("limit %d: a page of %d in the middle of a listing", limit, len(page.DeadLetters))
			}
		}
		if n != 9 {
			t.Errorf("limit %d: met %d of 9 dead letters", limit, n)
		}
	}
}

func TestOutage(t *testing.T) {
	t.Run("every call fails in bounded time where nobody answers", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		store := openURI(t, "mongodb://"+l.Addr().String()+"/iot?timeoutMS=300")
		q := iot.DeadLetterQuery{Limit: 1}
		for name, call := range map[string]func(context.Context) error{
			"Prepare": store.Prepare,
			"Check":   store.Check,
			"InsertDeadLetters": func(ctx context.Context) error {
				_, err := store.InsertDeadLetters(ctx, make([]iot.DeadLetter, 1))
				return err
			},
			"DeadLetter":       func(ctx context.Context) error { _, err := store.DeadLetter(ctx, iot.DeadLetterID{}); return err },
			"FindDeadLetters":  func(ctx context.Context) error { _, err := store.FindDeadLetters(ctx, q); return err },
			"CountDeadLetters": func(ctx context.Context) error { _, err := store.CountDeadLetters(ctx, q); return err },
			"MarkReplayed": func(ctx context.Context) error {
				return store.MarkReplayed(ctx, map[iot.DeadLetterID]iot.Replay{{}: {}})
			},
			"DeleteDeadLetter":  func(ctx context.Context) error { return store.DeleteDeadLetter(ctx, iot.DeadLetterID{}) },
			"TrimDeadLetters":   func(ctx context.Context) error { _, err := store.TrimDeadLetters(ctx); return err },
			"DeleteDeadLetters": func(ctx context.Context) error { _, err := store.DeleteDeadLetters(ctx, q); return err },
		} {
			began := time.Now()
			err := call(t.Context())
			if took := time.Since(began); err == nil || took > 3*time.Second {
				t.Errorf("%s: error %v after %v, want one within 3 s", name, err, took)
			}
			if errors.Is(err, iot.ErrConflict) || errors.Is(err, iot.ErrNotFound) || errors.Is(err, iot.ErrInvalid) {
				t.Errorf("%s: %v does not look like an outage", name, err)
			}
		}
	})
}
