package sqlite

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// A device of 1 Hz that was away at both ends of an hour sends its backlog when the hour is sealed: first the end, a minute
// later the beginning. The small block of the end is put together with the beginning, over the large block between them.
func TestSealAroundALargeBlock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "readings")
	store, _ := opened(t, path)
	all := everySecond(1, 3600) // of 12 o'clock
	early, middle, late := all[:300], all[300:3000], all[3000:]
	for _, some := range [][]iot.Reading{middle, late, early} {
		insertAll(t, store, some, iot.Inserted{New: len(some)})
		if err := store.SealAll(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := scanAll(t, store); len(got) != len(all) {
		t.Errorf("%d readings, want %d", len(got), len(all))
	}
	var found []iot.Reading
	err := store.ScanReadings(t.Context(), iot.ScanQuery{Devices: []iot.DeviceID{1}}, func(r *iot.Reading) (bool, error) {
		found = append(found, iot.Reading{At: r.At})
		return true, nil
	})
	if err != nil || !slices.IsSortedFunc(found, func(a, b iot.Reading) int { return a.At.Compare(b.At) }) {
		t.Errorf("a scan of the device is not in order, %v", err)
	}
	walked := 0
	for q := (iot.ReadingQuery{Devices: []iot.DeviceID{1}, Limit: 1000}); ; {
		page, err := store.FindReadings(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		walked += len(page.Readings)
		if page.Next.IsZero() {
			break
		}
		q.After = page.Next
	}
	if walked != len(all) {
		t.Errorf("a walk in pages has %d readings, want %d", walked, len(all))
	}
	insertAll(t, store, late, iot.Inserted{Duplicates: len(late)}) // Kafka delivers once more
	if got := scanAll(t, store); len(got) != len(all) {
		t.Errorf("%d readings after a redelivery, want %d", len(got), len(all))
	}
	if err := store.SealAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	if store.rows != 0 {
		t.Errorf("%d rows are not sealed", store.rows)
	}
	more := slices.Clone(all[100:101])
	more[0].Metrics = []iot.Metric{{Name: iot.Humidity, Value: 1}}
	insertAll(t, store, more, iot.Inserted{Merged: 1})
}
