package mongo_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.mongodb.org/mongo-driver/v2/bson"
	driver "go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/mongodb/mongodbtest"
	"github.com/telltale-iot/telltale/pkg/proxytest"
	"github.com/telltale-iot/telltale/pkg/readings/mongo"
	"github.com/telltale-iot/telltale/pkg/rollup"
)

// TestBackfill rolls up what an earlier version has stored. After each step another one goes on, as if killed.
func TestBackfill(t *testing.T) {
	db, uri := mongodbtest.Database(t)
	start := time.Date(2025, 12, 30, 0, 0, 0, 0, time.UTC)
	var documents []bson.D
	const days, devices = 4, mongo.RecomputeDevices + 20
	for i := range days {
		for device := range devices {
			if device >= 3 && i != 1 { // one day takes two steps
				continue
			}
			documents = append(documents, bson.D{
				{Key: "device_id", Value: 1 + device}, {Key: "timestamp", Value: start.AddDate(0, 0, 2*i).Add(time.Duration(5*device+i) * time.Minute)},
				{Key: "temperature", Value: 20 + float64(i)}, {Key: "humidity", Value: nil},
			})
		}
	}
	if _, err := db.Collection("readings").InsertMany(t.Context(), documents); err != nil {
		t.Fatal(err)
	}
	store := openStore(t, uri, mongo.Options{})
	if err := store.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	steps, late := 0, reading(1, 0, 30)
	for more := true; more; steps++ {
		m, err := store.NewMaintainer(t.Context())
		if err == nil {
			more, err = m.Backfill(t.Context())
		}
		if err == nil && steps%3 == 2 {
			more, err = m.Backfill(t.Context())
		}
		if err != nil || steps > 3*days {
			t.Fatal(steps, err)
		}
		late.At = start.AddDate(0, 0, steps)
		insertAll(t, store, []iot.Reading{late})
		wantExact(t, store)
	}
	maintain(t, store)
	wantExact(t, store)
	if checked, err := store.CheckRollups(t.Context(), discard); err != nil || checked.Days < devices+3*(days-1) || len(checked.Differ) > 0 {
		t.Errorf("in the end %+v, %v", checked, err)
	}
	if marks, err := db.Collection("readings_dirty").CountDocuments(t.Context(), bson.D{}); err != nil || marks != 1 {
		t.Errorf("%d marks are left, with the progress; %v", marks, err)
	}
	indexed, err := db.Collection("readings_dirty").Indexes().ListSpecifications(t.Context()) // which charts of all devices look for
	if err != nil || !slices.ContainsFunc(indexed, func(i driver.IndexSpecification) bool { return i.Name == "_id.hour_1__id.d_1" }) {
		t.Errorf("marks have no index by hour: %v", err)
	}
}

// TestDroppedRollups: what was dropped, restored or changed by hand makes no answer wrong for longer than it takes to see.
func TestDroppedRollups(t *testing.T) {
	db, uri := mongodbtest.Database(t)
	store := openStore(t, uri, mongo.Options{})
	prepare := func() {
		t.Helper()
		if err := store.Prepare(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	prepare()
	insertAll(t, store, []iot.Reading{reading(1, 0, 20), reading(2, 0, 20)})
	maintain(t, store)
	at := reading(1, 0, 20).At.Truncate(time.Hour)
	for name, lose := range map[string]func() error{
		"the days":     func() error { return db.Collection("readings_days").Drop(t.Context()) },
		"the marks":    func() error { return db.Collection("readings_dirty").Drop(t.Context()) },
		"the readings": func() error { defer prepare(); return db.Collection("readings").Drop(t.Context()) },
	} {
		t.Run(name+" are dropped", func(t *testing.T) {
			if err := lose(); err != nil {
				t.Fatal(err)
			}
			maintain(t, store)
			wantExact(t, store)
			insertAll(t, store, []iot.Reading{reading(1, 0, 20), reading(2, 0, 20)})
			maintain(t, store)
			wantExact(t, store)
		})
	}
	t.Run("readings that are removed by hand are noticed by a check, and a rebuild mends it", func(t *testing.T) {
		if _, err := db.Collection("readings").DeleteOne(t.Context(), bson.D{{Key: "device_id", Value: 2}}); err != nil {
			t.Fatal(err)
		}
		wantChecked(t, store, 2, rollup.DeviceHour{Device: 2, Hour: at})
		if _, err := store.RebuildRollups(t.Context(), discard); err != nil {
			t.Fatal(err)
		}
		wantChecked(t, store, 2)
		wantExact(t, store)
	})
	t.Run("so is a day that is damaged, which is an error until then", func(t *testing.T) {
		damage := bson.D{{Key: "$set", Value: bson.D{{Key: "data", Value: []byte("damaged")}}}}
		if _, err := db.Collection("readings_days").UpdateOne(t.Context(), bson.D{{Key: "_id.d", Value: 1}}, damage); err != nil {
			t.Fatal(err)
		}
		if err := store.ReadBuckets(t.Context(), iot.BucketQuery{Width: iot.Day}, func(iot.Buckets) error { return nil }); err == nil {
			t.Error("no error")
		}
		if _, err := store.RebuildRollups(t.Context(), discard); err != nil {
			t.Fatal(err)
		}
		wantExact(t, store)
	})
}

// TestSetAside: a day that cannot be rolled up keeps no other one from it, and charts have it still.
func TestSetAside(t *testing.T) {
	db, uri := mongodbtest.Database(t)
	registry := prometheus.NewRegistry()
	store := openStore(t, uri, mongo.Options{Metrics: registry})
	if err := store.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	maintain(t, store)
	wantSetAside := func(days float64) {
		t.Helper()
		const name = "telltale_store_rollups_set_aside_total"
		want := fmt.Sprintf("# TYPE %s counter\n%s %v\n", name, name, days)
		if err := testutil.GatherAndCompare(registry, strings.NewReader("# HELP "+name+" Days of devices that could not be rolled up, and of which charts are made of readings.\n"+want)); err != nil {
			t.Error(err)
		}
	}
	t.Run("a device that puts a counter into its metrics' names", func(t *testing.T) {
		const readings, perReading = 11, 100
		store.SetMaxDayMetrics((readings - 1) * perReading)
		for i := range readings {
			r := reading(7, i, 0)
			r.Metrics = nil
			for j := range perReading {
				r.Metrics = append(r.Metrics, iot.Metric{Name: fmt.Sprintf("n%09d", i*perReading+j), Value: float64(j)})
			}
			insertAll(t, store, []iot.Reading{r})
		}
		for second := range 2 {
			insertAll(t, store, []iot.Reading{reading(1, second, 20), reading(8, second, 20)})
			maintain(t, store)
			wantChecked(t, store, 3)
			if days, err := db.Collection("readings_days").CountDocuments(t.Context(), bson.D{}); err != nil || days != 2 {
				t.Errorf("%d days are rolled up, want 2: %v", days, err)
			}
		}
		wantSetAside(1)
		wantExact(t, store)
		if _, err := store.RebuildRollups(t.Context(), discard); err != nil {
			t.Error(err)
		}
	})
	t.Run("a day that is damaged is made anew", func(t *testing.T) {
		damage := bson.D{{Key: "$set", Value: bson.D{{Key: "data", Value: []byte("damaged")}}}}
		if _, err := db.Collection("readings_days").UpdateOne(t.Context(), bson.D{{Key: "_id.d", Value: 1}}, damage); err != nil {
			t.Fatal(err)
		}
		var differ []rollup.DeviceHour // all of it
		for at := range 24 {
			differ = append(differ, rollup.DeviceHour{Device: 1, Hour: reading(1, 0, 20).At.Truncate(daily).Add(time.Duration(at) * time.Hour)})
		}
		wantChecked(t, store, 3, differ...)
		insertAll(t, store, []iot.Reading{reading(1, 3, 20), reading(8, 3, 20)})
		maintain(t, store)
		wantChecked(t, store, 3)
		wantSetAside(1)
		wantExact(t, store)
	})
}

// TestInsertUnderWay: what is seen of an insert that has not ended is not missing later, whoever computes its hour.
func TestInsertUnderWay(t *testing.T) {
	opened, proxy := behindProxy(t)
	slow, first := opened.(*mongo.Store), reading(1, 0, 20)
	slow.ForgetProgress()
	insertAll(t, slow, []iot.Reading{first})
	maintain(t, slow)
	insertAll(t, slow, []iot.Reading{reading(1, 1, 20)})
	u, err := url.Parse(mongodbtest.Server(t))
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + slow.DB.Name
	store := openStore(t, u.String(), mongo.Options{})
	recomputer := store.NewRecomputer(1, first.At)
	steps := func(n int) {
		t.Helper()
		for range n {
			if err := recomputer.Next(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	wantCounted := func(want int64) {
		t.Helper()
		if counts, err := store.CountReadings(t.Context()); err != nil || counts[0].Count != want {
			t.Fatalf("%v are counted, %v; want %d", counts, err, want)
		}
	}
	steps(3) // it has read the readings
	proxy.HangResponses(isInsert)
	inserted := make(chan error)
	go func() {
		_, err := slow.InsertReadings(t.Context(), []iot.Reading{reading(1, 2, 20)})
		inserted <- err
	}()
	<-proxy.Stalled()
	wantCounted(3)
	steps(2)
	wantCounted(3)
	maintain(t, store)
	wantCounted(3)
	proxy.Resume()
	if err := <-inserted; err != nil {
		t.Error(err)
	}
	maintain(t, store)
	wantExact(t, store)
	wantChecked(t, store, 1)
}

// TestMaintain: of two that maintain one works, the other one does when that ends, and both end at once.
func TestMaintain(t *testing.T) {
	db, uri := mongodbtest.Database(t)
	lease := func() (lease bson.RawValue) {
		found, err := db.Collection("readings_dirty").FindOne(t.Context(), bson.D{{Key: "lease.by", Value: bson.D{{Key: "$exists", Value: true}}}}).Raw()
		if err != nil && !errors.Is(err, driver.ErrNoDocuments) {
			t.Error(err)
		}
		return found.Lookup("lease", "by")
	}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for range 2 {
		store := openStore(t, uri, mongo.Options{})
		running.Go(func() {
			if err := store.Maintain(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	for deadline := time.Now().Add(10 * time.Second); lease().IsZero(); {
		if time.Now().After(deadline) {
			t.Fatal("none of them works")
		}
	}
	stop()
	running.Wait()
	if !lease().IsZero() {
		t.Error("the lease is not released")
	}
}

// TestChaos has two writers and two that maintain, all of whose connections break now and then, and a reader.
func TestChaos(t *testing.T) {
	mongodbtest.Server(t)
	direct, uri := newStore(t, mongo.Options{})
	u, err := url.Parse(uri)
	if err != nil {
		t.Fatal(err)
	}
	var proxies []*proxytest.Proxy
	behind := func() *mongo.Store {
		p := proxytest.New(t, u.Host)
		proxies = append(proxies, p)
		other := *u
		other.Host, other.RawQuery = p.Addr(), "timeoutMS=1000"
		return openStore(t, other.String(), mongo.Options{})
	}
	insertAll(t, direct, []iot.Reading{reading(3, 0, 20)})
	maintain(t, direct)

	ctx, stop := context.WithTimeout(t.Context(), 3*time.Minute)
	defer stop()
	var writing, others sync.WaitGroup
	var acknowledged, failed atomic.Int64
	acknowledged.Add(1)
	progress := make(chan struct{}, 1) // an insert was acknowledged: time for another fault
	const batches, size, overlap = 40, 8, 3
	for writer := range 2 {
		store := behind()
		writing.Go(func() {
			for n := range batches {
				var batch []iot.Reading // some of which the next one has too
				for i := range size + overlap {
					r := reading(iot.DeviceID(1+writer), 0, 20)
					r.At = r.At.Add(time.Duration(n*size+i) * 20 * time.Minute)
					batch = append(batch, r)
				}
				for {
					if _, err := store.InsertReadings(ctx, batch); err == nil {
						break
					} else if failed.Add(1); ctx.Err() != nil {
						t.Error(err)
						return
					}
				}
				if n == 0 {
					acknowledged.Add(overlap)
				}
				acknowledged.Add(size)
				select {
				case progress <- struct{}{}:
				default:
				}
			}
		})
	}
	for range 2 {
		store := behind()
		others.Go(func() {
			for ctx.Err() == nil {
				_ = store.MaintainNow(ctx) // killed, often
			}
		})
	}
	others.Go(func() {
		for random := rand.New(rand.NewPCG(1, 1)); ctx.Err() == nil; {
			p := proxies[random.IntN(len(proxies))]
			if random.IntN(2) == 0 {
				p.LoseResponse()
			} else {
				p.Cut()
				p.Reopen()
			}
			select {
			case <-time.After(50*time.Millisecond + time.Duration(random.IntN(300))*time.Millisecond):
			case <-ctx.Done():
			}
			select {
			case <-progress:
			case <-ctx.Done():
			}
		}
	})
	others.Go(func() {
		for ctx.Err() == nil {
			least := acknowledged.Load()
			var answered, counted int64
			q := iot.BucketQuery{Width: iot.Day, SampleQuery: iot.SampleQuery{Metrics: []string{iot.Temperature}}}
			err := direct.ReadBuckets(ctx, q, func(b iot.Buckets) error {
				for _, b := range b.Buckets {
					answered += b.Count
				}
				return nil
			})
			counts, err2 := direct.CountReadings(ctx)
			for _, c := range counts {
				counted += c.Count
			}
			if err := errors.Join(err, err2); ctx.Err() == nil && (err != nil || answered < least || counted < least) {
				t.Errorf("%d readings are in buckets, and %d counted, where %d are acknowledged; %v", answered, counted, least, err)
				return
			}
		}
	})
	writing.Wait()
	t.Logf("%d inserts failed", failed.Load())
	stop()
	others.Wait()
	maintain(t, direct)
	wantExact(t, direct)
	if checked, err := direct.CheckRollups(t.Context(), discard); err != nil || len(checked.Differ) > 0 {
		t.Errorf("in the end %+v, %v", checked, err)
	}
	counts, err := direct.CountReadings(t.Context())
	if diff := cmp.Diff([]iot.DeviceCount{{Device: 1, Count: batches*size + overlap}, {Device: 2, Count: batches*size + overlap}, {Device: 3, Count: 1}}, counts); diff != "" || err != nil {
		t.Errorf("counts (-want +got):\n%s%v", diff, err)
	}
}
