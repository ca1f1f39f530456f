package mongo_test

import (
	"slices"
	"syscall"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/mongodb/mongodbtest"
	"github.com/telltale-iot/telltale/pkg/readings/mongo"
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

// BenchmarkHistory stores what 20 devices send each second, first for hours that are not rolled up yet, and then late: for
// hours that it marks and that are computed again. Then it asks for charts of a month, of a reading each five minutes. It says
// what that takes of this process; the server's part is beside it.
func BenchmarkHistory(b *testing.B) {
	const (
		devices = 20
		seconds = 2_500 // of each
		charts  = 200
	)
	_, uri := mongodbtest.Database(b)
	store := openURI(b, uri+"?timeoutMS=60000").(*mongo.Store)
	if err := store.Prepare(b.Context()); err != nil {
		b.Fatal(err)
	}
	maintain(b, store)
	insert := func(first iot.DeviceID, devices, n int, from time.Time, every time.Duration) (perMillion float64) {
		before := cpu()
		batch := make([]iot.Reading, 0, 1000)
		for i := range n {
			for device := range devices {
				r := reading(first+iot.DeviceID(device), 0, float64(2000+(i+device)%500)/100)
				r.At = from.Add(time.Duration(i) * every)
				batch = append(batch, r)
				if len(batch) == cap(batch) || i == n-1 && device == devices-1 {
					insertAll(b, store, batch)
					batch = batch[:0]
				}
			}
		}
		return (cpu() - before).Seconds() / float64(devices*n) * 1e6
	}
	from := time.Now().UTC().Truncate(daily).AddDate(0, 0, -31)
	for range b.N {
		live := insert(1, devices, seconds, time.Now().Add(time.Hour), time.Second)
		late := insert(1, devices, seconds, from, time.Second)
		before := cpu()
		maintain(b, store)
		computed := (cpu() - before).Seconds() / (devices * seconds) * 1e6
		insert(100, 1, 30*24*12, from, 5*time.Minute)
		maintain(b, store)
		took := make([]time.Duration, charts)
		before = cpu()
		for i := range took {
			began := time.Now()
			got, n := iot.BucketQuery{Width: iot.Quarter, SampleQuery: iot.SampleQuery{
				Devices: []iot.DeviceID{100}, Metrics: []string{iot.Temperature}, From: from, To: from.AddDate(0, 0, 30),
			}}, 0
			err := store.ReadBuckets(b.Context(), got, func(all iot.Buckets) error { n += len(all.Buckets); return nil })
			if took[i] = time.Since(began); err != nil || n != 30*24*4 {
				b.Fatal(n, err)
			}
		}
		slices.Sort(took)
		b.ReportMetric(live, "insert-cpu-s/M")
		b.ReportMetric(late, "late-cpu-s/M")
		b.ReportMetric(computed, "computed-cpu-s/M")
		b.ReportMetric((cpu()-before).Seconds()*1e3/charts, "chart-cpu-ms")
		b.ReportMetric(float64(took[charts*95/100].Microseconds())/1e3, "chart-p95-ms")
	}
}

// cpu is the processor time that this process has used.
func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
