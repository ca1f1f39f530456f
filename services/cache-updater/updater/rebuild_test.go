package updater_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/latest"
	"github.com/telltale-iot/telltale/pkg/metadata"
	sqlitemetadata "github.com/telltale-iot/telltale/pkg/metadata/sqlite"
	"github.com/telltale-iot/telltale/pkg/readings"
	sqlitereadings "github.com/telltale-iot/telltale/pkg/readings/sqlite"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
	"github.com/telltale-iot/telltale/services/cache-updater/updater"
)

func TestRebuild(t *testing.T) {
	const ttl, devices = 10 * time.Minute, 600 // more devices than are looked up at once
	stored, registered, cache := openStores(t)

	var all, want []iot.Reading
	var ids []iot.DeviceID
	for id := iot.DeviceID(1); id <= devices; id++ {
		ids = append(ids, id)
		newest := reading(id, 0, 2)
		if id%3 == 0 { // silent for longer than ttl
			newest.Received = newest.Received.Add(-ttl)
		} else {
			want = append(want, newest)
		}
		all = append(all, newest, reading(id, -time.Second, 1))
	}
	if _, err := stored.InsertReadings(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	if _, err := registered.EnsureDevices(t.Context(), append(ids, devices+1)); err != nil {
		t.Fatal(err)
	}
	fresh := reading(1, time.Second, 3) // arrives while the cache is rebuilt
	if err := cache.PutLatest(t.Context(), []iot.Reading{fresh}, ttl); err != nil {
		t.Fatal(err)
	}
	want[0] = fresh

	if err := updater.Rebuild(t.Context(), registered, stored, cache, ttl); err != nil {
		t.Fatal(err)
	}
	got, err := cache.AllLatest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i := range want {
		want[i].Received = time.Time{}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("AllLatest (-want +got):\n%s", diff)
	}
}

func openStores(t *testing.T) (readings.Store, metadata.Store, latest.Cache) {
	t.Helper()
	dir := t.TempDir()
	r, err := sqlitereadings.Open(filepath.Join(dir, "readings.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	m, err := sqlitemetadata.Open(filepath.Join(dir, "metadata.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	if err := r.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := m.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	c, err := latest.Open("memory://", tlsfiles.Files{})
	if err != nil {
		t.Fatal(err)
	}
	return r, m, c
}
