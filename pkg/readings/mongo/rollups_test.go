package mongo_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/mongodb/mongodbtest"
	"github.com/telltale-iot/telltale/pkg/readings/mongo"
	"github.com/telltale-iot/telltale/pkg/rollup"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
)

// openStore opens the store at uri, which asks for the progress with each insert, and closes it when t ends.
func openStore(t testing.TB, uri string, o mongo.Options) *mongo.Store {
	t.Helper()
	store, err := mongo.Open(uri, tlsfiles.Files{}, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	store.ForgetProgress()
	return store
}

// newStore returns a prepared store on a database of its own.
func newStore(t testing.TB, o mongo.Options) (store *mongo.Store, uri string) {
	t.Helper()
	_, uri = mongodbtest.Database(t)
	store = openStore(t, uri, o)
	if err := store.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	return store, uri
}

func maintain(t testing.TB, store *mongo.Store) {
	t.Helper()
	if err := store.MaintainNow(t.Context()); err != nil {
		t.Fatal(err)
	}
}

type series struct {
	device iot.DeviceID
	metric string
}

// bucketsOf returns what store says, and what all its readings, one by one, say.
func bucketsOf(t testing.TB, store *mongo.Store, q iot.BucketQuery) (got, want map[series][]iot.Bucket) {
	t.Helper()
	got, want = map[series][]iot.Bucket{}, map[series][]iot.Bucket{}
	err := store.ReadBuckets(t.Context(), q, func(b iot.Buckets) error {
		of := series{b.Device, b.Metric}
		got[of] = append(got[of], b.Buckets...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	width := q.Width.Milliseconds()
	err = store.ScanReadings(t.Context(), iot.ScanQuery{Devices: q.Devices, From: q.From, To: q.To}, func(r *iot.Reading) (bool, error) {
		at := r.At.UnixMilli()
		for _, m := range r.Metrics {
			if q.Metrics != nil && !slices.Contains(q.Metrics, m.Name) {
				continue
			}
			of := series{r.Device, m.Name}
			all := want[of]
			if n := len(all); n == 0 || all[n-1].Start != at-at%width {
				want[of] = append(all, iot.Bucket{Start: at - at%width, Count: 1, Sum: m.Value, Min: m.Value, Max: m.Value, First: m.Value, Last: m.Value, FirstAt: at, LastAt: at})
				continue
			}
			b := &all[len(all)-1]
			b.Count++
			b.Sum += m.Value
			b.Min, b.Max = math.Min(b.Min, m.Value), math.Max(b.Max, m.Value)
			b.Last, b.LastAt = m.Value, at
		}
		return true, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got, want
}

// sums of a day are of other partial sums.
var nearly = cmp.Comparer(func(a, b float64) bool { return a == b || math.Abs(a-b) <= 1e-9*math.Max(math.Abs(a), math.Abs(b)) })

func wantBuckets(t testing.TB, store *mongo.Store, q iot.BucketQuery) {
	t.Helper()
	got, want := bucketsOf(t, store, q)
	if diff := cmp.Diff(want, got, nearly); diff != "" {
		t.Errorf("buckets %+v (-want +got):\n%s", q, diff)
	}
}

// wantExact compares all that store can be asked for with its readings.
func wantExact(t testing.TB, store *mongo.Store) {
	t.Helper()
	for _, width := range []time.Duration{iot.Quarter, iot.Day} {
		for _, devices := range [][]iot.DeviceID{nil, {1}, {3, 2, 1}} {
			wantBuckets(t, store, iot.BucketQuery{Width: width, SampleQuery: iot.SampleQuery{Devices: devices}})
		}
	}
	counted := map[iot.DeviceID]int64{}
	err := store.ScanReadings(t.Context(), iot.ScanQuery{}, func(r *iot.Reading) (bool, error) {
		counted[r.Device]++
		return true, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var want []iot.DeviceCount
	for _, device := range slices.Sorted(maps.Keys(counted)) {
		want = append(want, iot.DeviceCount{Device: device, Count: counted[device]})
	}
	got, err := store.CountReadings(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
}

// scattered returns n readings of three devices over some days.
func scattered(random *rand.Rand, n int) []iot.Reading {
	start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	batch := make([]iot.Reading, n)
	for i := range batch {
		at := start.Add(time.Duration(random.IntN(72*60)) * time.Minute)
		batch[i] = iot.Reading{
			Device: iot.DeviceID(1 + random.IntN(3)), At: at, Received: at, Stamped: iot.StampDevice,
			Metrics: []iot.Metric{{Name: []string{"a", "temperature", "voltage.max"}[random.IntN(3)], Value: float64(random.IntN(1000)) / 100}},
		}
		if random.IntN(4) == 0 {
			batch[i].Stamped, batch[i].Origin = iot.StampServer, random.Uint64N(1<<40)+1
		}
	}
	return batch
}

func insertAll(t testing.TB, store *mongo.Store, batch []iot.Reading) {
	t.Helper()
	if _, err := store.InsertReadings(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
}

func wantChecked(t testing.TB, store *mongo.Store, days int, differ ...rollup.DeviceHour) {
	t.Helper()
	checked, err := store.CheckRollups(t.Context(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if checked.Days != days {
		t.Errorf("%d days are rolled up, want %d", checked.Days, days)
	}
	if diff := cmp.Diff(differ, checked.Differ); diff != "" {
		t.Errorf("hours that differ (-want +got):\n%s", diff)
	}
}

// TestCheckedDays: what is compared is from the first day with readings to the last, also when everything before is rolled up.
func TestCheckedDays(t *testing.T) {
	store, _ := newStore(t, mongo.Options{})
	first, last := reading(1, 0, 20), reading(2, 0, 20)
	last.At = last.At.Add(2 * daily)
	insertAll(t, store, []iot.Reading{first, last})
	maintain(t, store)
	checked, err := store.CheckRollups(t.Context(), discard)
	if err != nil {
		t.Fatal(err)
	}
	want := rollup.Checked{From: first.At.Truncate(daily), To: last.At.Truncate(daily).Add(daily), Days: 2}
	if diff := cmp.Diff(want, checked); diff != "" {
		t.Errorf("what was compared (-want +got):\n%s", diff)
	}
}

func TestRollups(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	store, _ := newStore(t, mongo.Options{})
	insertAll(t, store, scattered(random, 300))
	wantExact(t, store)
	maintain(t, store)
	wantExact(t, store)
	wantChecked(t, store, 9)
	for range 5 {
		insertAll(t, store, scattered(random, 20))
		wantExact(t, store)
		maintain(t, store)
		wantExact(t, store)
		wantChecked(t, store, 9)
	}
	t.Run("days of which nothing is rolled up yet", func(t *testing.T) {
		for _, days := range []int{-10, 10} {
			r := reading(2, 0, 20)
			r.At = r.At.AddDate(0, 0, days)
			insertAll(t, store, []iot.Reading{r})
			wantExact(t, store)
		}
	})
}

// TestMovedOverTheHour: a reading that moves is in another hour than its batch, and so is one that makes room.
func TestMovedOverTheHour(t *testing.T) {
	store, _ := newStore(t, mongo.Options{})
	end := time.Date(2026, 3, 1, 13, 0, 0, 0, time.UTC)
	of := func(ms int, origin uint64) iot.Reading {
		r := reading(1, 0, float64(origin))
		r.At = end.Add(time.Duration(ms) * time.Millisecond)
		if r.Origin = origin; origin != 0 {
			r.Stamped = iot.StampServer
		}
		return r
	}
	insertAll(t, store, []iot.Reading{of(-1, 1), of(3_600_000, 9)})
	maintain(t, store)
	for _, r := range []iot.Reading{of(-1, 2), of(-1, 0), of(-1, 2)} {
		insertAll(t, store, []iot.Reading{r})
		wantExact(t, store)
		maintain(t, store)
		wantExact(t, store)
	}
}

// TestCrashBeforeMarks cuts an insert that moves a reading over the hour off behind each of its commands, as a crash does,
// and repeats it.
func TestCrashBeforeMarks(t *testing.T) {
	mongodbtest.Server(t) // or there is nothing to crash
	const most = 16       // commands
	for n := range most {
		t.Run(fmt.Sprintf("after %d commands", n+1), func(t *testing.T) {
			t.Parallel()
			opened, proxy := behindProxy(t)
			store := opened.(*mongo.Store)
			store.ForgetProgress()
			before, r := reading(1, 0, 20), reading(1, 0, 20)
			before.At = before.At.Truncate(time.Hour).Add(time.Hour - time.Millisecond)
			before.Stamped, before.Origin = iot.StampServer, 1
			r.At = before.At
			insertAll(t, store, []iot.Reading{before})
			maintain(t, store)
			left := n + 1
			_ = cutOff(t, store, []iot.Reading{r}, proxy, func(request []byte) bool {
				if bytes.Contains(request, []byte("readings")) {
					left--
				}
				return left == 0
			})
			repeat(t, store, r)
			wantExact(t, store)
			maintain(t, store)
			wantExact(t, store)
		})
	}
}

// TestRecomputers has recomputers, writers and readers take turns, a step each, in any order. Recomputers and writers
// are killed between their steps.
func TestRecomputers(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	store, _ := newStore(t, mongo.Options{})
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	insertAll(t, store, []iot.Reading{reading(1, 0, 20)})
	maintain(t, store)
	count := func() (stored, answered int64) {
		got, want := bucketsOf(t, store, iot.BucketQuery{Width: iot.Quarter, SampleQuery: iot.SampleQuery{Devices: []iot.DeviceID{1}, Metrics: []string{iot.Temperature}}})
		of := series{1, iot.Temperature}
		for _, b := range want[of] {
			stored += b.Count
		}
		for _, b := range got[of] {
			answered += b.Count
		}
		return stored, answered
	}
	recomputers := make([]*mongo.Recomputer, 3)
	acknowledged, second := int64(1), 0
	var unacknowledged []iot.Reading
	for range 100 {
		switch n := random.IntN(10); {
		case n < 8:
			i := random.IntN(len(recomputers))
			if recomputers[i] == nil || random.IntN(15) == 0 { // killed, and started again
				recomputers[i] = store.NewRecomputer(1, start)
			}
			for range 1 + random.IntN(6) {
				if err := recomputers[i].Next(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		case n == 8: // a crash between the insert and the mark
			second++
			unacknowledged = append(unacknowledged, reading(1, second, 20))
			if err := store.InsertUnmarked(t.Context(), unacknowledged); err != nil {
				t.Fatal(err)
			}
		default: // and the batch once more, or one that is new
			if len(unacknowledged) == 0 {
				second++
				unacknowledged = append(unacknowledged, reading(1, second, 20))
			}
			insertAll(t, store, unacknowledged)
			acknowledged += int64(len(unacknowledged))
			unacknowledged = nil
		}
		if stored, answered := count(); answered < acknowledged || answered > stored {
			t.Fatalf("%d readings in an answer, where %d are acknowledged and %d stored", answered, acknowledged, stored)
		}
	}
	insertAll(t, store, unacknowledged)
	wantExact(t, store)
	maintain(t, store)
	wantExact(t, store)
	wantChecked(t, store, 1)
}
