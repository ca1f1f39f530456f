package mongo_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"
	driver "go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/mongodb/mongodbtest"
	"github.com/telltale-iot/telltale/pkg/readings/mongo"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
)

var discard = slog.New(slog.DiscardHandler)

// stored returns a document of a device and a second, with further fields.
func stored(device any, second int, temperature float64, fields ...bson.E) bson.D {
	at := reading(1, second, 0).At
	return append(bson.D{{Key: "device_id", Value: device}, {Key: "timestamp", Value: at}, {Key: "temperature", Value: temperature}}, fields...)
}

// byServer are the fields of a reading that a server stamped.
func byServer(origin int64) []bson.E {
	return []bson.E{{Key: "timestamp_source", Value: "server"}, {Key: "origin", Value: origin}}
}

// movedFrom is the field of a reading that a server stamped with a second, and that was moved.
func movedFrom(device, origin int64, second int) bson.E {
	return bson.E{Key: "moved", Value: bson.D{
		{Key: "device_id", Value: device}, {Key: "origin", Value: origin}, {Key: "from", Value: reading(1, second, 0).At},
	}}
}

// twice is a collection without indexes, and what is to become of it.
var twice = []bson.D{
	stored(int64(1), 0, 20), stored(int64(1), 0, 20), stored(int64(1), 0, 20), // two duplicates
	stored(int64(1), 1, 20), stored(int64(1), 1, 21), stored(int64(1), 1, 20), stored(int64(1), 1, 22), // a duplicate, and two that are rejected
	stored(int32(2), 0, 20), stored(int64(2), 0, 20), stored(2.0, 0, 20), // two duplicates, as the system before wrote them
	stored(int64(3), 0, 20, byServer(11)...), stored(int64(3), 0, 21, byServer(12)...), stored(int64(3), 0, 20, byServer(11)...), // one is moved, one a duplicate
	stored(int64(4), 0, 20, byServer(13)...), stored(int64(4), 0, 20, bson.E{Key: "timestamp_source", Value: "device"}), // what its device stamped stays, and the other one is moved
	stored(int64(7), 2, 20, append(byServer(14), movedFrom(7, 14, 0))...), stored(int64(7), 2, 21, byServer(14)...), // one is moved: the other one has its origin, and another time
	stored(int64(5), 0, 20), stored(int64(5), 1, 21), stored(int64(6), 0, 20), // nothing
	{{Key: "foreign", Value: 1}}, {{Key: "foreign", Value: 1}}, {{Key: "foreign", Value: 2}}, // a duplicate, and one that is rejected
}

var repairs = mongo.Repaired{Documents: len(twice), Duplicates: 2 + 1 + 2 + 1 + 1, Moved: 3, Rejected: 2 + 1}

// openTwice returns a store of a collection that holds all of twice.
func openTwice(t *testing.T) (*mongo.Store, *driver.Collection) {
	t.Helper()
	db, uri := mongodbtest.Database(t)
	for _, document := range twice { // one after the other: the first to be stored has the least _id
		if _, err := db.Collection("readings").InsertOne(t.Context(), document); err != nil {
			t.Fatal(err)
		}
	}
	store, err := mongo.Open(uri, tlsfiles.Files{}, mongo.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	if err := store.Prepare(t.Context()); err == nil {
		t.Fatal("the indexes can be made")
	}
	return store, db.Collection("readings")
}

// wantRepaired checks what is left of twice.
func wantRepaired(t *testing.T, store *mongo.Store) {
	t.Helper()
	page, err := store.FindReadings(t.Context(), iot.ReadingQuery{Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range page.Readings {
		value, _ := r.Metric(iot.Temperature)
		got = append(got, fmt.Sprintf("%d %s %v", r.Device, r.At.Format("05.000"), value))
	}
	want := []string{
		"7 02.001 21", "7 02.000 20", "5 01.000 21", "1 01.000 20", "4 00.001 20", "3 00.001 21",
		"6 00.000 20", "5 00.000 20", "4 00.000 20", "3 00.000 20", "2 00.000 20", "1 00.000 20",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("readings, newest first (-want +got):\n%s", diff)
	}
	if err := store.Check(t.Context()); err != nil {
		t.Errorf("the indexes are not there: %v", err)
	}
}

func TestRepair(t *testing.T) {
	t.Run("of each place one reading stays, what differs is given away, and a second time there is nothing to do", func(t *testing.T) {
		store, _ := openTwice(t)
		var surplus []mongo.Surplus
		done, err := store.Repair(t.Context(), discard, func(_ context.Context, s []mongo.Surplus) error {
			surplus = append(surplus, s...)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if done != repairs {
			t.Errorf("it came to %v, want %v", done, repairs)
		}
		wantRepaired(t, store)
		var rejected []string
		for _, s := range surplus {
			value, _ := s.Reading.Metric(iot.Temperature)
			if !strings.Contains(s.ID, "$oid") || !strings.Contains(string(s.JSON), s.ID) {
				t.Errorf("surplus %+v", s)
			}
			rejected = append(rejected, fmt.Sprintf("%d %v", s.Reading.Device, value))
		}
		if diff := cmp.Diff([]string{"1 21", "1 22", "0 0"}, rejected); diff != "" {
			t.Errorf("rejected (-want +got):\n%s", diff)
		}
		done, err = store.Repair(t.Context(), discard, nil)
		if want := (mongo.Repaired{Documents: repairs.Documents - repairs.Duplicates - repairs.Rejected}); err != nil || done != want {
			t.Errorf("the second time it came to %v, %v, want %v", done, err, want)
		}
		wantRepaired(t, store)
		// What was moved is known when it comes again.
		again := reading(3, 0, 21)
		again.Stamped, again.Origin, again.Metrics = iot.StampServer, 12, []iot.Metric{{Name: iot.Temperature, Value: 21}}
		wantInserted(t, store, []iot.Reading{again}, iot.Inserted{Duplicates: 1})
	})

	t.Run("it goes on where it broke off, and nothing is removed that was not given away", func(t *testing.T) {
		store, _ := openTwice(t)
		given := map[string]bool{}
		broken := errors.New("no dead letter can be stored")
		for tries := 0; ; tries++ {
			left := 1
			_, err := store.Repair(t.Context(), discard, func(_ context.Context, s []mongo.Surplus) error {
				for _, s := range s {
					if given[s.ID] {
						continue
					}
					if left--; left < 0 {
						return broken
					}
					given[s.ID] = true
				}
				return nil
			})
			if err == nil && tries > 1 {
				break
			}
			if !errors.Is(err, broken) {
				t.Fatalf("try %d: %v", tries, err)
			}
		}
		wantRepaired(t, store)
		if len(given) != repairs.Rejected {
			t.Errorf("%d were given away, want %d", len(given), repairs.Rejected)
		}
	})

	t.Run("readings that were moved twice are there once", func(t *testing.T) {
		store, collection := openTwice(t)
		for second := range 3 {
			document := stored(int64(9), 1+second, 20, append(byServer(5), movedFrom(9, 5, 0))...)
			if _, err := collection.InsertOne(t.Context(), document); err != nil {
				t.Fatal(err)
			}
		}
		done, err := store.Repair(t.Context(), discard, func(context.Context, []mongo.Surplus) error { return nil })
		if err != nil || done.Duplicates != repairs.Duplicates+2 {
			t.Fatalf("it came to %v, %v", done, err)
		}
		page, err := store.FindReadings(t.Context(), iot.ReadingQuery{Devices: []iot.DeviceID{9}, Limit: 10})
		if err != nil || len(page.Readings) != 1 || !page.Readings[0].At.Equal(reading(9, 1, 0).At) {
			t.Errorf("%+v, %v", page, err)
		}
	})

	t.Run("thousands of one place are one", func(t *testing.T) {
		store, collection := openTwice(t)
		var documents []bson.D
		for i := range 2500 {
			documents = append(documents, stored(int64(8), 0, float64(i%2)))
		}
		if _, err := collection.InsertMany(t.Context(), documents); err != nil {
			t.Fatal(err)
		}
		rejected := 0
		began := time.Now()
		done, err := store.Repair(t.Context(), discard, func(_ context.Context, s []mongo.Surplus) error {
			rejected += len(s)
			return nil
		})
		if err != nil || done.Duplicates != repairs.Duplicates+1249 || rejected != repairs.Rejected+1250 {
			t.Errorf("it came to %v after %v, %v", done, time.Since(began), err)
		}
	})
}
