package sqlite_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/readings/sqlite"
	"github.com/telltale-iot/telltale/pkg/sqlite/sqlitetest"
)

// reading returns one of device 7.
func reading(ms int64, value float64) iot.Reading {
	at := time.UnixMilli(ms).UTC()
	return iot.Reading{
		Device: 7, At: at, Received: at, Stamped: iot.StampDevice, Metrics: []iot.Metric{{Name: iot.Temperature, Value: value}},
	}
}

// contentWith returns what the file at path, a month's, contains when these readings are stored in it.
func contentWith(t *testing.T, path string, stored []iot.Reading) []byte {
	t.Helper()
	open := func(path string) (*sqlite.Store, error) {
		return sqlite.Open(filepath.Dir(path), sqlite.Options{Log: slog.New(slog.DiscardHandler)})
	}
	return sqlitetest.Content(t, path, open, func(ctx context.Context, store *sqlite.Store) error {
		_, err := store.InsertReadings(ctx, stored)
		return err
	})
}

// openDamaged opens the store whose file at path has other content, and returns what it logs.
func openDamaged(t *testing.T, path string, content []byte) (store *sqlite.Store, log *bytes.Buffer) {
	t.Helper()
	if err := os.WriteFile(path, content, 0); err != nil {
		t.Fatal(err)
	}
	log = new(bytes.Buffer)
	store, err := sqlite.Open(filepath.Dir(path), sqlite.Options{Log: slog.New(slog.NewTextHandler(log, nil))})
	if err == nil {
		err = store.Prepare(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	return store, log
}

// find returns the readings of a device, or of all devices for 0, in pages of limit.
func find(t *testing.T, store *sqlite.Store, device iot.DeviceID, limit int) (found []iot.Reading) {
	t.Helper()
	q := iot.ReadingQuery{Limit: limit}
	if device != 0 {
		q.Devices = []iot.DeviceID{device}
	}
	for {
		page, err := store.FindReadings(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, page.Readings...)
		if q.After = page.Next; q.After.IsZero() {
			return found
		}
	}
}

// TestDamage flips every bit of a value: the reading is never shown, its neighbours are, the log says which it is,
// and when it comes again it is there again.
func TestDamage(t *testing.T) {
	const value = 20.123456789 // which is nowhere else in the file
	path := filepath.Join(t.TempDir(), "readings", "1970-01.db")
	var stored []iot.Reading // newest first
	for i := range 5 {
		stored = append(stored, reading(int64(1000-i), float64(i)))
	}
	stored[2].Metrics[0].Value = value
	whole := contentWith(t, path, stored)
	place := bytes.Index(whole, binary.BigEndian.AppendUint64(nil, math.Float64bits(value)))
	if place < 0 {
		t.Fatal("the value is not in the file")
	}

	for bit := range 64 {
		damaged := bytes.Clone(whole)
		damaged[place+bit/8] ^= 1 << (bit % 8)
		store, log := openDamaged(t, path, damaged)
		others := append(append([]iot.Reading{}, stored[:2]...), stored[3:]...)
		for _, device := range []iot.DeviceID{0, 7} {
			for _, limit := range []int{1, 2, 3, 10} {
				if diff := cmp.Diff(others, find(t, store, device, limit)); diff != "" {
					t.Errorf("bit %d: readings (-want +got):\n%s", bit, diff)
				}
			}
		}
		if said := log.String(); strings.Count(said, path) != 1 || !strings.Contains(said, "timestamp=998 device_id=7") {
			t.Errorf("bit %d: the log says %q", bit, said)
		}
		if inserted, err := store.InsertReadings(t.Context(), stored); err != nil || inserted.New != 1 || inserted.Duplicates != 4 {
			t.Errorf("bit %d: inserted again: %+v, %v", bit, inserted, err)
		}
		if diff := cmp.Diff(stored, find(t, store, 0, 10)); diff != "" {
			t.Errorf("bit %d: when it came again (-want +got):\n%s", bit, diff)
		}
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDamageOfKeys: what was not written as a key or a time of a reading is not shown as one.
func TestDamageOfKeys(t *testing.T) {
	at := time.UnixMilli(1000).UTC()
	own := iot.Reading{Device: 7, At: at, Received: at, Metrics: []iot.Metric{{Name: iot.Temperature, Value: 20}}}
	keyed := own
	keyed.Device, keyed.Key, keyed.Said = iot.KeyID("kitchen-1"), "kitchen-1", "noon"
	for damage, left := range map[string]int{
		"timestamp = timestamp": 2,
		"device_key = NULL":     1, "device_timestamp = NULL": 1, "device_key = 'kitchen-2'": 0, "device_timestamp = 'now'": 0,
		"device_key = NULL, device_timestamp = NULL": 1, "device_key = device_timestamp, device_timestamp = device_key": 1,
	} {
		path := filepath.Join(t.TempDir(), "readings", "1970-01.db")
		store := openAt(t, filepath.Dir(path))
		if _, err := store.InsertReadings(t.Context(), []iot.Reading{own, keyed}); err != nil {
			t.Fatal(err)
		}
		execute(t, path, `UPDATE rows SET `+damage)
		page, err := store.FindReadings(t.Context(), iot.ReadingQuery{Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Readings) != left {
			t.Errorf("%s: %+v, want %d readings", damage, page.Readings, left)
		}
	}
}

// TestMisplacedRow makes an entry of a page lead to the row of another one, for each two of a table, as a
// flipped bit may: nothing is shown twice or out of order, and the log names the file.
func TestMisplacedRow(t *testing.T) {
	const (
		pageSize = 4096
		header   = 8 // bytes before the places of a leaf's rows, two each
		count    = 5
	)
	path := filepath.Join(t.TempDir(), "readings", "1970-01.db")
	var stored []iot.Reading
	for i := range count {
		stored = append(stored, reading(int64(1000+i), float64(i)))
	}
	whole := contentWith(t, path, stored)

	leaves := 0
	for page := pageSize; page < len(whole); page += pageSize {
		const leafOfIndex = 0x0a
		if whole[page] != leafOfIndex || binary.BigEndian.Uint16(whole[page+3:]) != count {
			continue
		}
		leaves++
		places := whole[page+header : page+header+2*count]
		for i := range count {
			for j := range count {
				if i == j {
					continue
				}
				damaged := bytes.Clone(whole)
				copy(damaged[page+header+2*i:], places[2*j:2*j+2])
				store, log := openDamaged(t, path, damaged)
				for _, device := range []iot.DeviceID{0, 7} {
					for _, limit := range []int{1, 2, 10} {
						shown := find(t, store, device, limit)
						for k := 1; k < len(shown); k++ {
							if before := shown[k-1].At; !shown[k].At.Before(before) {
								t.Errorf("device %d, limit %d: place %d leads to row %d: after %s came %s", device, limit, i, j, before, shown[k].At)
							}
						}
						// A look-up of a row or of the beginning of a page may miss more.
						if device == 0 && limit > count && len(shown) != count-1 {
							t.Errorf("device %d, limit %d: place %d leads to row %d: %d of %d are shown", device, limit, i, j, len(shown), count)
						}
					}
				}
				if !strings.Contains(log.String(), path) {
					t.Errorf("place %d leads to row %d: the log says %q", i, j, log.String())
				}
				if err := store.Close(); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if leaves != 1 {
		t.Errorf("%d leaves hold the readings, want the table's", leaves)
	}
}
