package mongo_test

import (
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/mongodb/mongodbtest"
	"github.com/telltale-iot/telltale/pkg/readings/mongo"
)

// TestClockAhead: the clock of a machine, which is ahead of the server's here, makes nothing too old, and closes no hour.
func TestClockAhead(t *testing.T) {
	db, uri := mongodbtest.Database(t)
	store := openStore(t, uri, mongo.Options{Retention: iot.Retention{Readings: 30 * daily}})
	if err := store.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	server := time.Now().Add(-40 * daily).UTC().Truncate(time.Millisecond)
	store.SetClock(func() time.Time { return server })
	maintain(t, store)
	r := reading(1, 0, 20)
	r.At = server
	wantInserted(t, store, []iot.Reading{r}, iot.Inserted{New: 1})
	if marks, err := db.Collection("readings_dirty").CountDocuments(t.Context(), bson.D{}); err != nil || marks != 1 {
		t.Errorf("%d marks, with the progress, want 1: %v", marks, err)
	}
	maintain(t, store)
	maintain(t, store)
	if inserted, err := store.InsertReadings(t.Context(), []iot.Reading{r}); err != nil || len(inserted.TooOld) > 0 {
		t.Errorf("%+v, %v", inserted, err)
	}
}

// TestServerClockWasAhead is the way back where the server's clock was 45 days ahead: everything is too old until somebody sets
// the horizon back, and then new readings are taken, and the charts of what was removed stay.
func TestServerClockWasAhead(t *testing.T) {
	db, uri := mongodbtest.Database(t)
	now := time.Now().UTC().Truncate(time.Millisecond)
	clock := now
	store := openStore(t, uri, mongo.Options{Retention: iot.Retention{Readings: 30 * daily}})
	store.SetClock(func() time.Time { return clock })
	if err := store.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	old := reading(1, 0, 20)
	old.At = now.Add(-10 * daily)
	insertAll(t, store, []iot.Reading{old})
	maintain(t, store)
	clock = now.Add(45 * daily)
	for range 3 { // as in TestRetention
		maintain(t, store)
	}
	if _, err := db.Collection("readings").DeleteMany(t.Context(), bson.D{}); err != nil { // as the server does
		t.Fatal(err)
	}
	clock = now
	maintain(t, store)
	fresh := reading(1, 0, 20)
	fresh.At = now.Add(time.Second)
	wantInserted(t, store, []iot.Reading{fresh}, iot.Inserted{TooOld: []int{0}})

	// db.readings_dirty.updateOne({_id: "rollups"}, {$set: {horizon: new Date()}}), as deploy/README.md says
	if _, err := db.Collection("readings_dirty").UpdateOne(t.Context(), bson.D{{Key: "_id", Value: "rollups"}},
		bson.D{{Key: "$set", Value: bson.D{{Key: "horizon", Value: now}}}}); err != nil {
		t.Fatal(err)
	}
	wantInserted(t, store, []iot.Reading{fresh, old}, iot.Inserted{New: 1, TooOld: []int{1}})
	for range 3 {
		clock = clock.Add(time.Hour)
		maintain(t, store)
		if n := chartCount(t, store, 1); n != 2 {
			t.Errorf("%d readings in the chart, want 2", n)
		}
	}
	clock = now.Add(40 * daily)
	maintain(t, store)
	fresh.At = now.Add(5 * daily)
	wantInserted(t, store, []iot.Reading{fresh}, iot.Inserted{TooOld: []int{0}})
}
