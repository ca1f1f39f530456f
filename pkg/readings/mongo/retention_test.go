package mongo_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"
	driver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/mongodb"
	"github.com/telltale-iot/telltale/pkg/mongodb/mongodbtest"
	"github.com/telltale-iot/telltale/pkg/readings/mongo"
)

const daily = 24 * time.Hour

// expiry returns the names of the indexes that have readings removed, and after how many hours.
func expiry(t *testing.T, db *driver.Database) map[string]int {
	t.Helper()
	cursor, err := db.Collection("readings").Indexes().List(t.Context())
	var all []struct {
		Name    string `bson:"name"`
		Seconds int    `bson:"expireAfterSeconds"`
	}
	if err == nil {
		err = cursor.All(t.Context(), &all)
	}
	if err != nil {
		t.Fatal(err)
	}
	hours := map[string]int{}
	for _, index := range all {
		if index.Seconds != 0 {
			hours[index.Name] = index.Seconds / 3600
		}
	}
	return hours
}

func TestRetention(t *testing.T) {
	db, uri := mongodbtest.Database(t)
	now := time.Now().UTC().Truncate(time.Millisecond)
	of := func(ago time.Duration) iot.Reading {
		r := reading(1, 0, 20)
		r.At = now.Add(-ago)
		return r
	}
	forEver := openStore(t, uri, mongo.Options{})
	if err := forEver.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	old, older, recent := of(40*daily), of(100*daily), of(10*daily)
	insertAll(t, forEver, []iot.Reading{older, old, recent})

	store := openStore(t, uri, mongo.Options{Retention: iot.Retention{Readings: 30 * daily}})
	m, err := store.NewMaintainer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Run("nothing is removed before it is rolled up", func(t *testing.T) {
		if err := m.Retain(t.Context()); err != nil || len(expiry(t, db)) > 0 {
			t.Errorf("%v, %v", expiry(t, db), err)
		}
	})
	maintain(t, store) // rolls up
	maintain(t, store) // moves the horizon
	maintain(t, store)
	t.Run("then the server removes it", func(t *testing.T) {
		if diff := cmp.Diff(map[string]int{"telltale_retention": 30*24 + 3}, expiry(t, db)); diff != "" {
			t.Errorf("expiry (-want +got):\n%s", diff)
		}
		// As it does some time.
		if _, err := db.Collection("readings").DeleteMany(t.Context(), bson.D{{Key: "timestamp", Value: bson.D{{Key: "$lt", Value: now.Add(-30*daily - 3*time.Hour)}}}}); err != nil {
			t.Fatal(err)
		}
	})
	days := func() (days int64) {
		t.Helper()
		err := store.ReadBuckets(t.Context(), iot.BucketQuery{Width: iot.Day, SampleQuery: iot.SampleQuery{Metrics: []string{iot.Temperature}}}, func(b iot.Buckets) error {
			days += int64(len(b.Buckets))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return days
	}
	counted := func() int64 {
		t.Helper()
		counts, err := store.CountReadings(t.Context())
		if err != nil || len(counts) != 1 {
			t.Fatal(counts, err)
		}
		return counts[0].Count
	}
	t.Run("charts have it still, and counts do not", func(t *testing.T) {
		if days() != 3 || counted() != 1 {
			t.Errorf("%d days in a chart, %d readings counted; want 3, 1", days(), counted())
		}
	})
	t.Run("what comes late is too old, and its neighbours are not", func(t *testing.T) {
		other := recent
		other.Metrics = []iot.Metric{{Name: iot.Temperature, Value: 21}}
		wantInserted(t, store, []iot.Reading{old, recent, older, of(daily), other}, iot.Inserted{New: 1, Duplicates: 1, TooOld: []int{0, 2}, Conflicts: []int{4}})
		maintain(t, store)
		if days() != 4 || counted() != 2 {
			t.Errorf("%d days in a chart, %d readings counted; want 4, 2", days(), counted())
		}
	})
	t.Run("a mark of what is gone costs no rollup", func(t *testing.T) {
		mark := bson.D{{Key: "d", Value: int64(1)}, {Key: "hour", Value: old.At.Truncate(time.Hour)}}
		if _, err := db.Collection("readings_dirty").InsertOne(t.Context(), bson.D{{Key: "_id", Value: mark}, {Key: "v", Value: bson.NewObjectID()}}); err != nil {
			t.Fatal(err)
		}
		maintain(t, store)
		if _, err := store.RebuildRollups(t.Context(), discard); err != nil || days() != 4 {
			t.Errorf("%d days in a chart, want 4; %v", days(), err)
		}
		wantChecked(t, store, 2)
	})
	t.Run("a longer one changes the index, and takes nothing again that may be gone", func(t *testing.T) {
		longer := openStore(t, uri, mongo.Options{Retention: iot.Retention{Readings: 90 * daily, Rollups: 95 * daily}})
		maintain(t, longer)
		if diff := cmp.Diff(map[string]int{"telltale_retention": 90*24 + 3}, expiry(t, db)); diff != "" {
			t.Errorf("expiry (-want +got):\n%s", diff)
		}
		wantInserted(t, longer, []iot.Reading{old}, iot.Inserted{TooOld: []int{0}})
		if days() != 3 {
			t.Errorf("%d days in a chart, want 3: rollups are kept for 95 days", days())
		}
	})
	t.Run("none removes it", func(t *testing.T) {
		maintain(t, forEver)
		if got := expiry(t, db); len(got) > 0 || days() != 3 {
			t.Errorf("expiry %v, %d days in a chart", got, days())
		}
	})
	t.Run("an index that somebody else has made stays, and is heeded", func(t *testing.T) {
		gone := of(25 * daily)
		insertAll(t, forEver, []iot.Reading{gone})
		maintain(t, forEver)
		if _, err := db.Collection("readings").Indexes().CreateOne(t.Context(), driver.IndexModel{
			Keys: bson.D{{Key: "timestamp", Value: 1}}, Options: options.Index().SetName("own").SetExpireAfterSeconds(20 * 24 * 3600),
		}); err != nil {
			t.Fatal(err)
		}
		maintain(t, forEver)
		if _, err := db.Collection("readings").DeleteOne(t.Context(), bson.D{{Key: "timestamp", Value: gone.At}}); err != nil {
			t.Fatal(err)
		}
		if _, err := forEver.RebuildRollups(t.Context(), discard); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(map[string]int{"own": 20 * 24}, expiry(t, db)); diff != "" || days() != 4 {
			t.Errorf("expiry (-want +got):\n%s%d days in a chart, want 4", diff, days())
		}
	})
}

// TestInsertsWithoutRetention: ingest-writer replay has none, and neither has a service whose RETENTION_READINGS was unset.
func TestInsertsWithoutRetention(t *testing.T) {
	store, uri := newStore(t, mongo.Options{Retention: iot.Retention{Readings: 30 * daily}})
	maintain(t, store)
	maintain(t, store)
	old := reading(1, 0, 20)
	old.At = time.Now().Add(-40 * daily).UTC().Truncate(time.Millisecond)
	forEver := openStore(t, uri, mongo.Options{})
	wantInserted(t, forEver, []iot.Reading{old}, iot.Inserted{TooOld: []int{0}})
	maintain(t, forEver)
	if _, err := forEver.RebuildRollups(t.Context(), discard); err != nil {
		t.Fatal(err)
	}
	wantExact(t, forEver)
}

// chartCount returns how many readings the buckets of a device have.
func chartCount(t *testing.T, store *mongo.Store, device iot.DeviceID) (n int64) {
	t.Helper()
	q := iot.BucketQuery{Width: iot.Quarter, SampleQuery: iot.SampleQuery{Devices: []iot.DeviceID{device}, Metrics: []string{iot.Temperature}}}
	err := store.ReadBuckets(t.Context(), q, func(b iot.Buckets) error {
		for _, b := range b.Buckets {
			n += b.Count
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestRebuildAtTheHorizon: what the server removes while a rebuild is at work is not missing in charts after it, whether or
// not somebody notes the horizon meanwhile.
func TestRebuildAtTheHorizon(t *testing.T) {
	for name, noted := range map[string]bool{"noted": true, "while ingest-writer is away": false} {
		t.Run(name, func(t *testing.T) {
			db, uri := mongodbtest.Database(t)
			now := time.Now().UTC().Truncate(time.Hour).Add(59 * time.Minute) // the server itself removes nothing yet
			clock := func() time.Time { return now }
			forEver := openStore(t, uri, mongo.Options{})
			store := openStore(t, uri, mongo.Options{Retention: iot.Retention{Readings: 30 * daily}})
			forEver.SetClock(clock)
			store.SetClock(clock)
			if err := forEver.Prepare(t.Context()); err != nil {
				t.Fatal(err)
			}
			horizon := now.Add(-30 * daily)
			edge, recent := reading(1, 0, 20), reading(1, 0, 20)
			edge.At = horizon.Truncate(time.Hour).Add(-time.Hour + time.Second)
			recent.At = now.Add(-5 * daily)
			insertAll(t, forEver, []iot.Reading{edge, recent})
			maintain(t, forEver)
			for range 3 { // as in TestRetention
				maintain(t, store)
			}
			if n := chartCount(t, store, 1); n != 2 {
				t.Fatal(n)
			}
			if _, err := store.RebuildAfter(t.Context(), func() {
				now = now.Add(2 * time.Hour) // and the server does what its TTL index says
				gone := bson.D{{Key: "timestamp", Value: bson.D{{Key: "$lt", Value: now.Add(-30*daily - 3*time.Hour)}}}}
				if _, err := db.Collection("readings").DeleteMany(t.Context(), gone); err != nil {
					t.Fatal(err)
				}
				if noted {
					maintain(t, store)
				}
			}); err != nil {
				t.Fatal(err)
			}
			if left, err := db.Collection("readings").CountDocuments(t.Context(), bson.D{}); err != nil || left != 1 {
				t.Fatal(left, err)
			}
			if n := chartCount(t, store, 1); n != 2 {
				t.Errorf("%d readings in the chart, want 2", n)
			}
			if checked, err := store.CheckRollups(t.Context(), discard); err != nil || len(checked.Differ) > 0 {
				t.Errorf("%+v, %v", checked, err)
			}
		})
	}
}

// TestCountsAtTheHorizon: of the day that the horizon is in, counts are made of rollups as far as nothing is removed.
func TestCountsAtTheHorizon(t *testing.T) {
	db, uri := mongodbtest.Database(t)
	now := time.Now().UTC().Truncate(daily).Add(daily / 2)
	clock := func() time.Time { return now }
	store := openStore(t, uri, mongo.Options{Retention: iot.Retention{Readings: 30 * daily}})
	store.SetClock(clock)
	if err := store.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := reading(1, 0, 20)
	r.At = now.Add(-30*daily + 2*time.Hour)
	insertAll(t, store, []iot.Reading{r})
	maintain(t, store)
	maintain(t, store)
	if _, err := db.Collection("readings").DeleteMany(t.Context(), bson.D{}); err != nil { // unseen by rollups
		t.Fatal(err)
	}
	if counts, err := store.CountReadings(t.Context()); err != nil || len(counts) != 1 || counts[0].Count != 1 {
		t.Errorf("%v are counted, %v; want what is rolled up", counts, err)
	}
}

// TestMarksBeforeTheFirstHorizon: what was imported before RETENTION_READINGS was set, and is marked still, has its charts.
func TestMarksBeforeTheFirstHorizon(t *testing.T) {
	forEver, uri := newStore(t, mongo.Options{})
	maintain(t, forEver)
	maintain(t, forEver)
	for _, retention := range []time.Duration{80 * daily, 30 * daily} { // the first one, and a shorter one
		old := reading(1, 0, 20)
		old.At = time.Now().Add(-retention - 10*daily).UTC().Truncate(time.Millisecond)
		insertAll(t, forEver, []iot.Reading{old})
		before := chartCount(t, forEver, 1)
		store := openStore(t, uri, mongo.Options{Retention: iot.Retention{Readings: retention}})
		maintain(t, store)
		if n := chartCount(t, store, 1); n != before {
			t.Errorf("%d readings in the chart, want %d: nothing is to be removed before it is rolled up", n, before)
		}
	}
}

// TestChangeExpiry is how the index changes where the server has the command for it.
func TestChangeExpiry(t *testing.T) {
	byTime := func(name string, options ...bson.E) bson.D {
		return indexes(append(bson.D{{Key: "key", Value: bson.D{{Key: "timestamp", Value: 1}}}, {Key: "name", Value: name}}, options...))
	}
	after100 := bson.E{Key: "expireAfterSeconds", Value: 100}
	for _, c := range []struct {
		promise string
		there   bson.D
		after   time.Duration
		sent    string
		foreign bool
	}{
		{"it is not changed to what it is", byTime("telltale_retention", after100), 100 * time.Second, "", false},
		{"it is changed", byTime("telltale_retention", after100), time.Hour, `{"name": "telltale_retention","expireAfterSeconds": {"$numberLong":"3600"}}`, false},
		{"it is dropped", byTime("telltale_retention", after100), 0, `"telltale_retention"`, false},
		{"a plain one of somebody else is not made to remove readings", byTime("own"), time.Hour, "", true},
		{"nor is that dropped", byTime("own"), 0, "", false},
		{"one of somebody else that removes them is not changed", byTime("own", after100), time.Hour, "", true},
		{"one of somebody else that removes them just so does", byTime("own", after100), 100 * time.Second, "", false},
		{"nor is it dropped", byTime("own", after100), 0, "", false},
	} {
		t.Run(c.promise, func(t *testing.T) {
			ok := bson.D{{Key: "ok", Value: 1}}
			opened, writes := answers{"listIndexes": c.there, "collMod": ok, "dropIndexes": ok, "createIndexes": ok}.start(t)
			err := opened.(*mongo.Store).ExpireAfter(t.Context(), "timestamp", c.after)
			if errors.Is(err, mongodb.ErrForeignIndex) != c.foreign || err != nil && !c.foreign {
				t.Errorf("%v; want an error: %v", err, c.foreign)
			}
			var sent string
			if len(writes) > 0 {
				sent = (<-writes).Lookup("index").String()
			}
			if sent != c.sent {
				t.Errorf("%s was sent, want %s", sent, c.sent)
			}
		})
	}
}

// TestInsertsMarkNothing: while readings are of this hour an insert is one command, and a look at the progress a minute.
func TestInsertsMarkNothing(t *testing.T) {
	store, writes := answers{"insert": {{Key: "ok", Value: 1}, {Key: "n", Value: 1}}}.start(t)
	for i := range 10 {
		wantInserted(t, store, []iot.Reading{reading(1, i, 20)}, iot.Inserted{New: 1})
	}
	if n := len(writes); n != 10 {
		t.Errorf("%d commands were sent for 10 batches", n)
	}
}

func TestUsage(t *testing.T) {
	ok := bson.E{Key: "ok", Value: 1}
	rolledUp := bson.D{{Key: "since", Value: bson.DateTime(0)}, {Key: "until", Value: time.Now()}, {Key: "device_id", Value: 1}, {Key: "timestamp", Value: bson.DateTime(7000)}}
	cursor := func(documents ...any) bson.D {
		return bson.D{ok, {Key: "cursor", Value: bson.D{{Key: "id", Value: int64(0)}, {Key: "ns", Value: "iot.x"}, {Key: "firstBatch", Value: bson.A(documents)}}}}
	}
	store, _ := answers{
		"collStats": {ok, {Key: "totalSize", Value: 10_000}, {Key: "count", Value: 100}},
		"dbStats":   {ok, {Key: "fsUsedSize", Value: 3e9}, {Key: "fsTotalSize", Value: 5e9}},
		"find":      cursor(rolledUp),
		"aggregate": cursor(bson.D{{Key: "_id", Value: 1}, {Key: "n", Value: 5}}, bson.D{{Key: "_id", Value: 2}, {Key: "n", Value: 2}}),
	}.start(t)
	got, err := store.Usage(t.Context())
	want := iot.Usage{Readings: 10_000, Rollups: 10_000, Free: 2e9, PerDay: 700, Oldest: time.UnixMilli(7000).UTC()}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("usage (-want +got):\n%s%v", diff, err)
	}
}
