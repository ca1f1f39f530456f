package readingstest

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/readings"
)

// Database is where a store keeps its readings; empty at first, and the test's own.
type Database struct {
	// Open returns a store on it, prepared, which the caller closes. There is one at a time.
	Open func(t testing.TB) readings.Store
	// Maintain does at once, to all that is stored, what the store's own Maintain does some time. One at a time calls it.
	Maintain func(t testing.TB, store readings.Store)
}

// RunHistory runs the tests of what a store does with readings as they age, each on a database of its own.
func RunHistory(t *testing.T, create func(t testing.TB) Database) {
	RunExact(t, create)
	runHistory(t, create, slices.Concat(scanTests, walkTests))
	// Whatever else a store promises holds for readings that are old as well.
	t.Run("maintained after every insert", func(t *testing.T) {
		runAll(t, func(t testing.TB) readings.Store { return maintained{open(t, create), t} },
			slices.Concat(contentTests, mergeTests, conflictTests, findTests, pageTests))
	})
}

// RunExact runs the part of it that compares answers with what was inserted.
func RunExact(t *testing.T, create func(t testing.TB) Database) {
	runHistory(t, create, slices.Concat(exactTests, sealedTests))
}

func runHistory(t *testing.T, create func(t testing.TB) Database, tests []historyTest) {
	for _, test := range tests {
		t.Run(test.promise, func(t *testing.T) { test.run(t, open(t, create)) })
	}
}

type historyTest struct {
	promise string
	run     func(t *testing.T, h *history)
}

// history is a store that can be maintained and opened again.
type history struct {
	readings.Store
	database    Database
	maintaining sync.Mutex // as in a program, where one does that
}

func open(t testing.TB, create func(t testing.TB) Database) *history {
	h := &history{database: create(t)}
	h.Store = h.database.Open(t)
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

func (h *history) maintain(t testing.TB) {
	t.Helper()
	h.maintaining.Lock()
	defer h.maintaining.Unlock()
	h.database.Maintain(t, h.Store)
}

func (h *history) reopen(t testing.TB) {
	t.Helper()
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	h.Store = h.database.Open(t)
}

// maintained is a store that is maintained after every insert.
type maintained struct {
	*history
	t testing.TB
}

func (m maintained) InsertReadings(ctx context.Context, batch []iot.Reading) (iot.Inserted, error) {
	inserted, err := m.history.InsertReadings(ctx, batch)
	if err == nil {
		m.maintain(m.t)
	}
	return inserted, err
}

// The ends of a year and of a month, and a day 40 days before the latter.
var (
	yearEnd  = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	monthEnd = time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)
	longAgo  = monthEnd.AddDate(0, 0, -40)
)

// scan returns copies of the readings that q selects.
func scan(t testing.TB, store readings.Store, q iot.ScanQuery) (all []iot.Reading) {
	t.Helper()
	err := store.ScanReadings(t.Context(), q, func(r *iot.Reading) (bool, error) {
		all = append(all, copyOf(*r))
		return true, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// copyOf returns a copy of r that shares nothing with it.
func copyOf(r iot.Reading) iot.Reading {
	r.Metrics, r.Attributes = slices.Clone(r.Metrics), slices.Clone(r.Attributes)
	return r
}

// seriesOf is a metric of a device.
type seriesOf struct {
	device iot.DeviceID
	metric string
}

// sample is a value and its time, in ms since 1970.
type sample struct {
	at    int64
	value float64
}

// samples returns copies of the values that q selects.
func samples(t testing.TB, store readings.Store, q iot.SampleQuery) map[seriesOf][]sample {
	t.Helper()
	all := map[seriesOf][]sample{}
	err := store.ReadSamples(t.Context(), q, func(s iot.Samples) error {
		key := seriesOf{s.Device, s.Metric}
		for i, at := range s.Times {
			all[key] = append(all[key], sample{at, s.Values[i]})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// buckets returns copies of those that q selects.
func buckets(t testing.TB, store readings.Store, q iot.BucketQuery) map[seriesOf][]iot.Bucket {
	t.Helper()
	all := map[seriesOf][]iot.Bucket{}
	err := store.ReadBuckets(t.Context(), q, func(b iot.Buckets) error {
		key := seriesOf{b.Device, b.Metric}
		all[key] = append(all[key], b.Buckets...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
