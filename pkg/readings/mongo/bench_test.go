package mongo_test

import (
	"syscall"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/mongodb/mongodbtest"
)

// BenchmarkFind finds the newest 100 readings of a device, and says how much processor time that takes for each find
// of the bare driver, which looks into no document.
func BenchmarkFind(b *testing.B) {
	const found = 100
	db, uri := mongodbtest.Database(b)
	store := openURI(b, uri)
	if err := store.Prepare(b.Context()); err != nil {
		b.Fatal(err)
	}
	batch := make([]iot.Reading, 2*found)
	for i := range batch {
		batch[i] = reading(7, i, float64(i))
	}
	if _, err := store.InsertReadings(b.Context(), batch); err != nil {
		b.Fatal(err)
	}
	perCall := func(call func() (n int, err error)) float64 {
		before := cpu()
		for range b.N {
			if n, err := call(); n != found || err != nil {
				b.Fatal(n, err)
			}
		}
		return float64(cpu()-before) / float64(b.N)
	}
	floor := perCall(func() (n int, err error) {
		cursor, err := db.Collection("readings").Find(b.Context(), bson.D{
			{Key: "device_id", Value: int64(7)},
			{Key: "timestamp", Value: bson.D{{Key: "$gte", Value: bson.DateTime(0)}, {Key: "$lt", Value: bson.DateTime(1 << 50)}}},
		}, options.Find().SetSort(bson.D{{Key: "timestamp", Value: -1}, {Key: "device_id", Value: -1}}).SetLimit(found+1).SetBatchSize(found+1))
		for err == nil && n < found && cursor.Next(b.Context()) {
			n++
		}
		if err == nil {
			err = cursor.Close(b.Context())
		}
		return n, err
	})
	b.ReportAllocs()
	b.ResetTimer()
	ours := perCall(func() (int, error) {
		page, err := store.FindReadings(b.Context(), iot.ReadingQuery{Devices: []iot.DeviceID{7}, Limit: found})
		return len(page.Readings), err
	})
	b.ReportMetric(ours/1e3, "cpu-µs/op")
	b.ReportMetric(ours/floor, "×floor")
}

// cpu is the processor time that this process has used.
func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
