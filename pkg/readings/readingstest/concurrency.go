package readingstest

import (
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/readings"
)

// together runs write n times at once and returns the sum of what each call returns.
func together(t *testing.T, n int, write func(writer int) (iot.Inserted, error)) (sum iot.Inserted) {
	t.Helper()
	var mu sync.Mutex
	var wg sync.WaitGroup
	for writer := range n {
		wg.Go(func() {
			inserted, err := write(writer)
			if err != nil {
				t.Errorf("writer %d: %v", writer, err)
			}
			mu.Lock()
			defer mu.Unlock()
			sum.Add(inserted)
		})
	}
	wg.Wait()
	return sum
}

const writers = 6

var concurrencyTests = []test{
	{"writers of overlapping batches store each reading once", func(t *testing.T, store readings.Store) {
		all := slices.Concat(series(1, 300), series(2, 300), series(3, 300))
		sum := together(t, writers, func(writer int) (iot.Inserted, error) {
			batch := slices.Clone(all)
			if writer%2 == 1 { // from the other end
				slices.Reverse(batch)
			}
			return store.InsertReadings(t.Context(), batch)
		})
		want := iot.Inserted{New: len(all), Duplicates: (writers - 1) * len(all)}
		wantInserted(t, sum, want)
		counts, err := store.CountReadings(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]iot.DeviceCount{{Device: 1, Count: 300}, {Device: 2, Count: 300}, {Device: 3, Count: 300}}, counts); diff != "" {
			t.Errorf("counts (-want +got):\n%s", diff)
		}
	}},
	{"of writers with different content one wins each place", func(t *testing.T, store readings.Store) {
		const places = 200
		sum := together(t, writers, func(writer int) (iot.Inserted, error) {
			batch := series(1, places)
			for i := range batch {
				batch[i].Metrics[1].Value = float64(writer)
			}
			return store.InsertReadings(t.Context(), batch)
		})
		if sum.New != places || sum.Duplicates != 0 || len(sum.Conflicts) != (writers-1)*places {
			t.Errorf("%d new, %d duplicates, %d conflicts; want %d, 0, %d",
				sum.New, sum.Duplicates, len(sum.Conflicts), places, (writers-1)*places)
		}
	}},
	{"readers see whole readings while others write", func(t *testing.T, store readings.Store) {
		r := reading(1, 0, 20)
		r.Attributes = []iot.Attribute{{Name: "site", Value: "roof"}}
		insert(t, store, r)
		done := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			defer close(done)
			for i := range 8 {
				insert(t, store, series(iot.DeviceID(2+i), 500)...)
			}
		})
		for reading := true; reading; {
			select {
			case <-done:
				reading = false
			default:
			}
			wantReadings(t, find(t, store, iot.ReadingQuery{Devices: []iot.DeviceID{1}, Limit: 10}).Readings, []iot.Reading{r})
			for _, r := range find(t, store, iot.ReadingQuery{Limit: 100}).Readings {
				if len(r.Metrics) != 2 || r.Received.IsZero() {
					t.Errorf("a part of a reading: %+v", r)
				}
			}
		}
		wg.Wait()
	}},
}
