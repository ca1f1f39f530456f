// Package readingstest holds the promises of a readings store as tests, which every backend passes. It is
// imported by tests only.
package readingstest

import (
	"context"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/readings"
)

// Open returns a store that is empty, prepared, and t's own. It is closed when t ends.
type Open func(t testing.TB) readings.Store

// Run runs the whole suite, each test on a store of its own.
func Run(t *testing.T, open Open) {
	for _, group := range []struct {
		name  string
		tests []test
	}{
		{"insert", insertTests},
		{"content", contentTests},
		{"merge", mergeTests},
		{"conflicts", slices.Concat(conflictTests, crowdTests)},
		{"concurrency", concurrencyTests},
		{"find", findTests},
		{"pages", pageTests},
	} {
		t.Run(group.name, func(t *testing.T) { runAll(t, open, group.tests) })
	}
}

// RunConflicts runs the part of the suite that is about readings of one device and time.
func RunConflicts(t *testing.T, open Open) {
	runAll(t, open, slices.Concat(mergeTests, conflictTests, crowdTests))
}

func runAll(t *testing.T, open Open, tests []test) {
	for _, test := range tests {
		t.Run(test.promise, func(t *testing.T) { test.run(t, open(t)) })
	}
}

type test struct {
	promise string
	run     func(t *testing.T, store readings.Store)
}

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// reading returns a reading of device, ms milliseconds after start.
func reading(device iot.DeviceID, ms int, temperature float64) iot.Reading {
	at := start.Add(time.Duration(ms) * time.Millisecond)
	return iot.Reading{
		Device:   device,
		At:       at,
		Received: at.Add(7 * time.Millisecond),
		Stamped:  iot.StampDevice,
		Metrics:  []iot.Metric{{Name: iot.Humidity, Value: 40.5}, {Name: iot.Temperature, Value: temperature}},
	}
}

// series returns n readings of device, one per second from start.
func series(device iot.DeviceID, n int) []iot.Reading {
	batch := make([]iot.Reading, n)
	for i := range batch {
		batch[i] = reading(device, 1000*i, float64(i))
	}
	return batch
}

func insert(t testing.TB, store readings.Store, batch ...iot.Reading) iot.Inserted {
	t.Helper()
	inserted, err := store.InsertReadings(t.Context(), batch)
	if err != nil {
		t.Fatal(err)
	}
	return inserted
}

func wantInserted(t *testing.T, got, want iot.Inserted) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("outcome of the insert (-want +got):\n%s", diff)
	}
}

func find(t testing.TB, store readings.Store, q iot.ReadingQuery) iot.Page {
	t.Helper()
	page, err := store.FindReadings(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return page
}

// wantStored checks that store holds exactly want, which is in the order of a listing.
func wantStored(t *testing.T, store readings.Store, want ...iot.Reading) {
	t.Helper()
	wantReadings(t, find(t, store, iot.ReadingQuery{Limit: iot.MaxPage}).Readings, want)
}

func wantReadings(t *testing.T, got, want []iot.Reading) {
	t.Helper()
	sameBits := cmp.Comparer(func(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) })
	if diff := cmp.Diff(want, got, sameBits, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("readings (-want +got):\n%s", diff)
	}
}

// cancelled returns a context that has ended.
func cancelled(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}
