package mongo_test

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/mongodb/mongodbtest"
	"github.com/telltale-iot/telltale/pkg/readings"
	mongoreadings "github.com/telltale-iot/telltale/pkg/readings/mongo"
	"github.com/telltale-iot/telltale/pkg/readings/readingstest"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
)

// openURI opens the store at uri and closes it when t ends.
func openURI(t testing.TB, uri string) readings.Store {
	t.Helper()
	store, err := readings.Open(uri, tlsfiles.Files{})
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

func open(t testing.TB) readings.Store {
	t.Helper()
	_, uri := mongodbtest.Database(t)
	store := openURI(t, uri)
	if err := store.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	return store
}

func TestStore(t *testing.T) { readingstest.Run(t, open) }

func TestHistory(t *testing.T) {
	readingstest.RunHistory(t, func(t testing.TB) readingstest.Database {
		_, uri := mongodbtest.Database(t)
		return readingstest.Database{
			Open: func(t testing.TB) readings.Store {
				t.Helper()
				store, err := readings.Open(uri, tlsfiles.Files{})
				if err != nil {
					t.Fatal(err)
				}
				store.(*mongoreadings.Store).ForgetProgress()
				if err := store.Prepare(t.Context()); err != nil {
					t.Fatal(err)
				}
				return store
			},
			Maintain: func(t testing.TB, store readings.Store) { maintain(t, store.(*mongoreadings.Store)) },
		}
	})
}

func BenchmarkStore(b *testing.B) { readingstest.Benchmark(b, open) }

func reading(device iot.DeviceID, second int, temperature float64) iot.Reading {
	at := time.Date(2026, 3, 1, 12, 0, second, 0, time.UTC)
	return iot.Reading{
		Device:   device,
		At:       at,
		Received: at.Add(7 * time.Millisecond),
		Stamped:  iot.StampDevice,
		Metrics:  []iot.Metric{{Name: iot.Humidity, Value: 40.5}, {Name: iot.Temperature, Value: temperature}},
	}
}

func wantInserted(t *testing.T, store readings.Store, batch []iot.Reading, want iot.Inserted) {
	t.Helper()
	got, err := store.InsertReadings(t.Context(), batch)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("outcome of the insert (-want +got):\n%s", diff)
	}
}

// TestLegacy is about what the system before Telltale left in the collection.
func TestLegacy(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	documents := []bson.D{
		{{Key: "device_id", Value: int32(1)}, {Key: "temperature", Value: 21.5}, {Key: "humidity", Value: int32(40)}, {Key: "timestamp", Value: at}},
		{{Key: "device_id", Value: int64(2)}, {Key: "temperature", Value: int64(21)}, {Key: "humidity", Value: nil}, {Key: "timestamp", Value: at}},
		{{Key: "device_id", Value: 3.0}, {Key: "timestamp", Value: at}, {Key: "temperature", Value: math.NaN()}, {Key: "humidity", Value: "wet"}},
		// What is no reading at all.
		{{Key: "device_id", Value: "4"}, {Key: "temperature", Value: 1.0}, {Key: "timestamp", Value: at}},
		{{Key: "device_id", Value: int32(5)}, {Key: "temperature", Value: 1.0}, {Key: "timestamp", Value: "2026-03-01"}},
		{{Key: "device_id", Value: int32(-6)}, {Key: "timestamp", Value: at}},
		{{Key: "temperature", Value: 1.0}},
	}
	stored := []iot.Reading{
		{Device: 3, At: at, Metrics: []iot.Metric{}},
		{Device: 2, At: at, Metrics: []iot.Metric{{Name: iot.Temperature, Value: 21}}},
		{Device: 1, At: at, Metrics: []iot.Metric{{Name: iot.Humidity, Value: 40}, {Name: iot.Temperature, Value: 21.5}}},
	}
	db, uri := mongodbtest.Database(t)
	if _, err := db.Collection("readings").InsertMany(t.Context(), documents); err != nil {
		t.Fatal(err)
	}
	// As its setup made it, in Python.
	if _, err := db.Collection("readings").Indexes().CreateOne(t.Context(), mongo.IndexModel{
		Keys:    bson.D{{Key: "device_id", Value: 1}, {Key: "timestamp", Value: 1}},
		Options: options.Index().SetUnique(true).SetName("device_id_1_timestamp_1"),
	}); err != nil {
		t.Fatal(err)
	}
	store := openURI(t, uri)

	t.Run("its index is taken over", func(t *testing.T) {
		if err := store.Prepare(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("its readings are found, and what is none is passed over", func(t *testing.T) {
		page, err := store.FindReadings(t.Context(), iot.ReadingQuery{Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(stored, page.Readings); diff != "" {
			t.Errorf("readings (-want +got):\n%s", diff)
		}
		page, err = store.FindReadings(t.Context(), iot.ReadingQuery{Devices: []iot.DeviceID{1}, Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(stored[2:], page.Readings); diff != "" {
			t.Errorf("readings of device 1 (-want +got):\n%s", diff)
		}
	})
	t.Run("its readings are counted", func(t *testing.T) {
		counts, err := store.CountReadings(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		want := []iot.DeviceCount{{Device: 1, Count: 1}, {Device: 2, Count: 1}, {Device: 3, Count: 1}, {Device: 5, Count: 1}}
		if diff := cmp.Diff(want, counts); diff != "" {
			t.Errorf("counts (-want +got):\n%s", diff)
		}
	})
	t.Run("its readings are duplicates of the same ones", func(t *testing.T) {
		other := stored[1]
		other.Metrics = []iot.Metric{{Name: iot.Temperature, Value: 22}}
		wantInserted(t, store, []iot.Reading{stored[2], stored[1], other}, iot.Inserted{Duplicates: 2, Conflicts: []int{2}})
	})
}

func TestPrepare(t *testing.T) {
	t.Run("readings that are stored twice already are an error that names the index", func(t *testing.T) {
		db, uri := mongodbtest.Database(t)
		for range 2 {
			document := bson.D{{Key: "device_id", Value: 7}, {Key: "timestamp", Value: time.Unix(1, 0)}}
			if _, err := db.Collection("readings").InsertOne(t.Context(), document); err != nil {
				t.Fatal(err)
			}
		}
		err := openURI(t, uri).Prepare(t.Context())
		if err == nil {
			t.Fatal("Prepare succeeded")
		}
		for _, part := range []string{"unique", "device_id", "timestamp", db.Name() + ".readings", "E11000", "ingest-writer repair"} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%q does not mention %q", err, part)
			}
		}
	})
	t.Run("there are the three indexes", func(t *testing.T) {
		db, uri := mongodbtest.Database(t)
		if err := openURI(t, uri).Prepare(t.Context()); err != nil {
			t.Fatal(err)
		}
		specifications, err := db.Collection("readings").Indexes().ListSpecifications(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]bool{} // name: is it unique?
		for _, s := range specifications {
			got[s.Name] = s.Unique != nil && *s.Unique
		}
		delete(got, "_id_")
		want := map[string]bool{"device_id_1_timestamp_1": true, "moved_1": true, "timestamp_-1_device_id_-1": false}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("indexes (-want +got):\n%s", diff)
		}
	})
}

// TestForeignDocuments: what other programs have put into the collection, and no reading is, ends no listing.
func TestForeignDocuments(t *testing.T) {
	db, uri := mongodbtest.Database(t)
	store := openURI(t, uri+"?authSource=admin")
	if err := store.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	at := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	decimal, err := bson.ParseDecimal128("7")
	if err != nil {
		t.Fatal(err)
	}
	foreign := map[int]any{2: int64(1) << 60, 4: decimal, 5: decimal, 6: bson.A{int64(3), int64(1) << 60}, 9: int64(1) << 54}
	var documents []any
	for i := range 12 {
		var device any = int64(1)
		if id, ok := foreign[i]; ok {
			device = id
		}
		documents = append(documents, bson.D{{Key: "device_id", Value: device}, {Key: "timestamp", Value: at.Add(time.Duration(i) * time.Second)}})
	}
	documents = append(documents, bson.D{{Key: "device_id", Value: int64(1)}, {Key: "timestamp", Value: time.Date(20000, 1, 1, 0, 0, 0, 0, time.UTC)}})
	if _, err := db.Collection("readings").InsertMany(t.Context(), documents); err != nil {
		t.Fatal(err)
	}
	for _, limit := range []int{1, 2, 3, 7, 8} {
		n := 0
		for q := (iot.ReadingQuery{Limit: limit}); ; {
			page, err := store.FindReadings(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			n += len(page.Readings)
			if page.Next.IsZero() {
				break
			}
			if q.After, err = iot.ParseCursor(page.Next.String()); err != nil || len(page.Readings) != limit {
				t.Fatalf("limit %d: a page of %d, next %+v, %v", limit, len(page.Readings), page.Next, err)
			}
		}
		if n != 7 {
			t.Errorf("limit %d: met %d of 7 readings", limit, n)
		}
	}
}

// TestExample is the example of conflicts.go.
func TestExample(t *testing.T) {
	db, uri := mongodbtest.Database(t)
	store := openURI(t, uri)
	if err := store.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	const a, b, c = 1, 2, 3
	at := func(ms int64, origin uint64, metrics ...iot.Metric) iot.Reading {
		r := iot.Reading{Device: 7, At: time.UnixMilli(ms).UTC(), Stamped: iot.StampDevice, Origin: origin, Metrics: metrics}
		if origin != 0 {
			r.Stamped = iot.StampServer
		}
		return r
	}
	temperature, humidity, voltage := iot.Metric{Name: iot.Temperature, Value: 20}, iot.Metric{Name: iot.Humidity, Value: 40}, iot.Metric{Name: "voltage", Value: 3.3}
	wantInserted(t, store, []iot.Reading{at(1000, a, voltage), at(1001, b, voltage), at(1010, 0, temperature)}, iot.Inserted{New: 3})
	batch := []iot.Reading{at(1000, a, voltage), at(1000, c, voltage), at(1001, 0, voltage), at(1010, 0, humidity), at(1010, 0, voltage)}
	wantInserted(t, store, batch, iot.Inserted{New: 2, Merged: 2, Duplicates: 1})
	wantInserted(t, store, batch, iot.Inserted{Duplicates: 5})

	var documents []bson.D
	cursor, err := db.Collection("readings").Find(t.Context(), bson.D{}, options.Find().
		SetSort(bson.D{{Key: "timestamp", Value: 1}}).
		SetProjection(bson.D{{Key: "_id", Value: 0}, {Key: "device_id", Value: 0}, {Key: "attributes", Value: 0}, {Key: "timestamp_source", Value: 0}, {Key: "received_at", Value: 0}}))
	if err == nil {
		err = cursor.All(t.Context(), &documents)
	}
	if err != nil {
		t.Fatal(err)
	}
	want := func(ms int64, temperature, humidity any, more ...bson.E) bson.D {
		return append(bson.D{
			{Key: "timestamp", Value: bson.DateTime(ms)}, {Key: "temperature", Value: temperature}, {Key: "humidity", Value: humidity},
			{Key: "metrics", Value: bson.D{{Key: "voltage", Value: 3.3}}},
		}, more...)
	}
	origin := func(origin int64) bson.E { return bson.E{Key: "origin", Value: origin} }
	moved := func(origin, from int64) bson.E {
		return bson.E{Key: "moved", Value: bson.D{{Key: "device_id", Value: int64(7)}, {Key: "origin", Value: origin}, {Key: "from", Value: bson.DateTime(from)}}}
	}
	if diff := cmp.Diff([]bson.D{
		want(1000, nil, nil, origin(a)),
		want(1001, nil, nil),
		want(1002, nil, nil, origin(c), moved(c, 1000)),
		want(1003, nil, nil, origin(b), moved(b, 1001)),
		want(1010, 20.0, 40.0),
	}, documents); diff != "" {
		t.Errorf("documents (-want +got):\n%s", diff)
	}
}

// TestStoredBytes: of what a batch meets, no more than a bound is in memory at a time.
func TestStoredBytes(t *testing.T) {
	const documentBytes, most = 1000, 4000
	store := open(t).(*mongoreadings.Store)
	store.SetMaxStoredBytes(most)
	var batch []iot.Reading
	for i := range 20 {
		r := reading(1+iot.DeviceID(i%3), i, 20)
		r.Attributes = []iot.Attribute{{Name: "text", Value: strings.Repeat("x", documentBytes*3/4)}}
		batch = append(batch, r)
	}
	wantInserted(t, store, batch, iot.Inserted{New: len(batch)})
	if n, err := store.StoredBytes(t.Context(), batch); err != nil || n < most/2 || n > most+documentBytes {
		t.Errorf("%d bytes are in memory, %v; want %d and one document at most", n, err, most)
	}
	slices.Reverse(batch)
	wantInserted(t, store, batch, iot.Inserted{Duplicates: len(batch)})
	t.Run("and every conflict is resolved all the same", func(t *testing.T) {
		readingstest.RunConflicts(t, func(t testing.TB) readings.Store {
			store := open(t).(*mongoreadings.Store)
			store.SetMaxStoredBytes(10_000) // some fifty documents
			return store
		})
	})
}
