package main

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/telltale-iot/telltale/pkg/iot"
	sqlitereadings "github.com/telltale-iot/telltale/pkg/readings/sqlite"
)

// TestCopyDevice: each copy has the readings and the rollups of the device that it is one of.
func TestCopyDevice(t *testing.T) {
	const devices, ticks = 200, 100
	b := &bench{log: slog.New(slog.DiscardHandler)}
	folder := t.TempDir()
	store := open(t, b, folder)
	l := load{devices: 1, every: time.Minute, ticks: ticks, end: lastStored()}
	if _, _, err := l.insert(t.Context(), store, func() (time.Duration, error) { return seal(t.Context(), store, folder) }); err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	if err := copyDevice(t.Context(), folder, devices); err != nil {
		t.Fatal(err)
	}

	store = open(t, b, folder)
	defer func() { _ = store.Close() }()
	counts, err := store.CountReadings(t.Context())
	if err != nil || len(counts) != devices {
		t.Fatalf("%d devices, %v, want %d", len(counts), err, devices)
	}
	for _, c := range counts {
		if c.Count != ticks {
			t.Errorf("device %d has %d readings, want %d", c.Device, c.Count, ticks)
		}
	}
	want, wantSums := stored(t, store, 1)
	got, gotSums := stored(t, store, devices)
	for i := range got {
		if got[i].Device != devices {
			t.Fatalf("a reading is of device %d", got[i].Device)
		}
		got[i].Device = 1
	}
	if diff := cmp.Diff(want, got); diff != "" || len(got) != ticks {
		t.Errorf("%d readings (-want +got):\n%.1000s", len(got), diff)
	}
	if diff := cmp.Diff(wantSums, gotSums); diff != "" || len(gotSums) == 0 {
		t.Errorf("%d buckets (-want +got):\n%.1000s", len(gotSums), diff)
	}
}

func open(t *testing.T, b *bench, folder string) *sqlitereadings.Store {
	t.Helper()
	store, err := b.openStore(context.Background(), folder, iot.Retention{})
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// stored returns what a device has.
func stored(t *testing.T, store *sqlitereadings.Store, device iot.DeviceID) (readings []iot.Reading, buckets []iot.Bucket) {
	t.Helper()
	page, err := store.FindReadings(t.Context(), iot.ReadingQuery{Devices: []iot.DeviceID{device}, Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	q := iot.BucketQuery{SampleQuery: iot.SampleQuery{Devices: []iot.DeviceID{device}}, Width: iot.Quarter}
	err = store.ReadBuckets(t.Context(), q, func(b iot.Buckets) error { buckets = append(buckets, b.Buckets...); return nil })
	if err != nil {
		t.Fatal(err)
	}
	return page.Readings, buckets
}
