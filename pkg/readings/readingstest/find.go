package readingstest

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/readings"
)

var findTests = []test{
	{"readings come newest first, and of one time by device descending", func(t *testing.T, store readings.Store) {
		insert(t, store, reading(2, 0, 1), reading(10, 5, 2), reading(1, 5, 3), reading(3, 4, 4), reading(2, 5, 5))
		wantStored(t, store, reading(10, 5, 2), reading(2, 5, 5), reading(1, 5, 3), reading(3, 4, 4), reading(2, 0, 1))
	}},
	{"From is included and To is not", func(t *testing.T, store readings.Store) {
		for ms := range 5 {
			insert(t, store, reading(1, ms, 0), reading(2, ms, 0))
		}
		at := func(ms float64) time.Time { return start.Add(time.Duration(ms * float64(time.Millisecond))) }
		for _, c := range []struct {
			name     string
			from, to time.Time
			want     []int // ms of the readings of one device
		}{
			{"no bounds", time.Time{}, time.Time{}, []int{4, 3, 2, 1, 0}},
			{"From alone", at(3), time.Time{}, []int{4, 3}},
			{"To alone", time.Time{}, at(2), []int{1, 0}},
			{"both", at(1), at(3), []int{2, 1}},
			{"one millisecond", at(2), at(3), []int{2}},
			{"nothing between", at(2), at(2), nil},
			{"the wrong way round", at(3), at(1), nil},
			{"within a millisecond", at(1.5), at(3.5), []int{3, 2}},
			{"just above a millisecond", at(1.001), at(3.001), []int{3, 2}},
			{"in another zone", at(1).In(time.FixedZone("", 5*3600)), at(3).In(time.FixedZone("", -8*3600)), []int{2, 1}},
			{"long ago", time.Date(1, 1, 1, 0, 0, 1, 0, time.UTC), time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC), nil},
			{"all times", time.Date(1, 1, 1, 0, 0, 1, 0, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC), []int{4, 3, 2, 1, 0}},
		} {
			t.Run(c.name, func(t *testing.T) {
				var one, all []iot.Reading
				for _, ms := range c.want {
					one = append(one, reading(1, ms, 0))
					all = append(all, reading(2, ms, 0), reading(1, ms, 0))
				}
				wantReadings(t, find(t, store, iot.ReadingQuery{Devices: []iot.DeviceID{1}, From: c.from, To: c.to, Limit: 100}).Readings, one)
				wantReadings(t, find(t, store, iot.ReadingQuery{From: c.from, To: c.to, Limit: 100}).Readings, all)
			})
		}
	}},
	{"a device's readings are its own", func(t *testing.T, store readings.Store) {
		insert(t, store, reading(1, 1, 1), reading(11, 2, 2), reading(1, 3, 3), reading(iot.MaxDeviceID, 4, 4))
		wantReadings(t, find(t, store, iot.ReadingQuery{Devices: []iot.DeviceID{1}, Limit: 10}).Readings,
			[]iot.Reading{reading(1, 3, 3), reading(1, 1, 1)})
		wantReadings(t, find(t, store, iot.ReadingQuery{Devices: []iot.DeviceID{iot.MaxDeviceID}, Limit: 10}).Readings,
			[]iot.Reading{reading(iot.MaxDeviceID, 4, 4)})
		wantReadings(t, find(t, store, iot.ReadingQuery{Devices: []iot.DeviceID{2}, Limit: 10}).Readings, nil)
	}},
	{"a page has at most Limit readings, and Next only where there are more", func(t *testing.T, store readings.Store) {
		insert(t, store, series(1, 5)...)
		for _, c := range []struct {
			limit, length int
			more          bool
		}{{1, 1, true}, {4, 4, true}, {5, 5, false}, {6, 5, false}, {iot.MaxPage, 5, false}} {
			for _, devices := range [][]iot.DeviceID{nil, {1}, {1, 2}} {
				page := find(t, store, iot.ReadingQuery{Devices: devices, Limit: c.limit})
				if len(page.Readings) != c.length || page.Next.IsZero() == c.more {
					t.Errorf("devices %v, limit %d: %d readings, next %+v; want %d, more: %v",
						devices, c.limit, len(page.Readings), page.Next, c.length, c.more)
				}
			}
		}
	}},
	{"a page is cut where its content becomes too much, and a reading is never too large for one", func(t *testing.T, store readings.Store) {
		for ms := range 6 {
			size := iot.MaxPageBytes * 2 / 5
			if ms == 3 {
				size = iot.MaxPageBytes
			}
			insert(t, store, sized(reading(1, ms, 0), size))
		}
		var pages [][]int // by the milliseconds of the readings
		for q := (iot.ReadingQuery{Limit: 100}); len(pages) < 10; {
			page := find(t, store, q)
			var times []int
			for _, r := range page.Readings {
				times = append(times, int(r.At.Sub(start).Milliseconds()))
			}
			pages = append(pages, times)
			if q.After = page.Next; page.Next.IsZero() {
				break
			}
		}
		if diff := cmp.Diff([][]int{{5, 4}, {3}, {2, 1}, {0}}, pages); diff != "" {
			t.Errorf("pages (-want +got):\n%s", diff)
		}
	}},
	{"a limit out of bounds is invalid", func(t *testing.T, store readings.Store) {
		for _, limit := range []int{-1, 0, iot.MaxPage + 1} {
			if _, err := store.FindReadings(t.Context(), iot.ReadingQuery{Limit: limit}); !errors.Is(err, iot.ErrInvalid) {
				t.Errorf("limit %d: %v, want %v", limit, err, iot.ErrInvalid)
			}
		}
	}},
	{"an empty store has no readings and counts none", func(t *testing.T, store readings.Store) {
		page := find(t, store, iot.ReadingQuery{Limit: 10})
		counts, err := store.CountReadings(t.Context())
		if err != nil || len(counts) != 0 || len(page.Readings) != 0 || !page.Next.IsZero() {
			t.Errorf("page %+v, counts %v, error %v", page, counts, err)
		}
	}},
	{"what was inserted can be found at once", func(t *testing.T, store readings.Store) {
		for ms := range 50 {
			r := reading(1, ms, float64(ms))
			insert(t, store, r)
			wantReadings(t, find(t, store, iot.ReadingQuery{Limit: 1}).Readings, []iot.Reading{r})
		}
	}},
	{"counts are of each device, ascending, without duplicates and conflicts", func(t *testing.T, store readings.Store) {
		batch := slices.Concat(series(10, 3), series(9, 2), series(iot.MaxDeviceID, 1), series(10, 3))
		insert(t, store, batch...)
		insert(t, store, reading(9, 0, -1))
		counts, err := store.CountReadings(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		want := []iot.DeviceCount{{Device: 9, Count: 2}, {Device: 10, Count: 3}, {Device: iot.MaxDeviceID, Count: 1}}
		if diff := cmp.Diff(want, counts, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("counts (-want +got):\n%s", diff)
		}
	}},
}

// sized returns r with an attribute that makes its content so many bytes.
func sized(r iot.Reading, size int) iot.Reading {
	r.Attributes = []iot.Attribute{{Name: "text"}}
	r.Attributes[0].Value = strings.Repeat("x", size-r.ContentBytes())
	return r
}
