package readingstest

import (
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/readings"
)

// place is a reading's identity.
type place struct {
	device iot.DeviceID
	at     int64
}

func placeOf(r iot.Reading) place { return place{r.Device, r.At.UnixMilli()} }

// listAll lists what q selects, calls between after each page, and returns what it met. It checks that
// nothing comes twice or out of order.
func listAll(t *testing.T, store readings.Store, q iot.ReadingQuery, between func(next iot.Cursor)) map[place]bool {
	t.Helper()
	met := map[place]bool{}
	last := iot.Cursor{At: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)}
	for {
		page := find(t, store, q)
		for _, r := range page.Readings {
			if met[placeOf(r)] {
				t.Fatalf("device %v at %v comes twice", r.Device, r.At)
			}
			if r.At.After(last.At) || r.At.Equal(last.At) && r.Device >= last.Device {
				t.Fatalf("device %v at %v comes after %+v", r.Device, r.At, last)
			}
			last = iot.Cursor{At: r.At, Device: r.Device}
			met[placeOf(r)] = true
		}
		if page.Next.IsZero() {
			return met
		}
		if len(page.Readings) != q.Limit {
			t.Fatalf("a page of %d in the middle of a listing by %d", len(page.Readings), q.Limit)
		}
		q.After = page.Next
		between(page.Next)
	}
}

// crowd returns readings of many devices at few times: 13 devices at each of 250 times.
func crowd() (batch []iot.Reading) {
	for device := iot.DeviceID(1); device <= 13; device++ {
		batch = append(batch, series(device, 250)...)
	}
	return batch
}

var pageTests = []test{
	{"a listing meets every reading once, whatever the size of its pages", func(t *testing.T, store readings.Store) {
		all := crowd()
		insert(t, store, all...)
		for _, limit := range []int{13, 97, len(all), len(all) + 1} {
			if met := listAll(t, store, iot.ReadingQuery{Limit: limit}, func(iot.Cursor) {}); len(met) != len(all) {
				t.Errorf("limit %d: met %d of %d readings", limit, len(met), len(all))
			}
			if met := listAll(t, store, iot.ReadingQuery{Devices: []iot.DeviceID{5}, Limit: limit}, func(iot.Cursor) {}); len(met) != 250 {
				t.Errorf("limit %d: met %d of 250 readings of device 5", limit, len(met))
			}
		}
	}},
	{"a listing between bounds keeps to them", func(t *testing.T, store readings.Store) {
		insert(t, store, crowd()...)
		q := iot.ReadingQuery{From: start.Add(50 * time.Second), To: start.Add(150 * time.Second), Limit: 31}
		if met := listAll(t, store, q, func(iot.Cursor) {}); len(met) != 13*100 {
			t.Errorf("met %d of %d readings", len(met), 13*100)
		}
	}},
	{"a listing misses and repeats nothing while newer and older readings arrive", func(t *testing.T, store readings.Store) {
		all := crowd()
		insert(t, store, all...)
		later := map[place]bool{} // arrived in front of the listing
		for _, r := range all {
			later[placeOf(r)] = true
		}
		round := 0
		met := listAll(t, store, iot.ReadingQuery{Limit: 97}, func(next iot.Cursor) {
			round++
			sinceStart := int(next.At.Sub(start).Milliseconds())
			newer := reading(1, 1_000_000+round, 0)
			passed := reading(next.Device+1000, sinceStart, 0)         // right behind the listing
			justPassed := reading(next.Device, sinceStart+1, 0)        // the same device, a millisecond newer
			ahead := reading(next.Device, sinceStart-1, 0)             // a millisecond older
			oldest := reading(iot.DeviceID(100+round), -1000*round, 0) // at the end of the listing
			insert(t, store, newer, passed, justPassed, ahead, oldest)
			later[placeOf(ahead)], later[placeOf(oldest)] = true, true
		})
		for p := range later {
			if !met[p] {
				t.Errorf("device %v at %v was missed", p.device, p.at)
			}
		}
		if len(met) != len(later) {
			t.Errorf("met %d readings, want %d", len(met), len(later))
		}
	}},
	{"a listing of a device goes on behind any place, a reading or not", func(t *testing.T, store readings.Store) {
		insert(t, store, reading(5, 0, 0), reading(5, 1, 0), reading(5, 2, 0), reading(6, 1, 0))
		for _, c := range []struct {
			name  string
			after iot.Cursor
			want  []iot.Reading
		}{
			{"its own reading", iot.Cursor{At: start.Add(time.Millisecond), Device: 5}, []iot.Reading{reading(5, 0, 0)}},
			{"a greater device's", iot.Cursor{At: start.Add(time.Millisecond), Device: 6}, []iot.Reading{reading(5, 1, 0), reading(5, 0, 0)}},
			{"a lesser device's", iot.Cursor{At: start.Add(time.Millisecond), Device: 4}, []iot.Reading{reading(5, 0, 0)}},
			{"a place behind all", iot.Cursor{At: start, Device: 1}, nil},
		} {
			t.Run(c.name, func(t *testing.T) {
				wantReadings(t, find(t, store, iot.ReadingQuery{Devices: []iot.DeviceID{5}, After: c.after, Limit: 10}).Readings, c.want)
			})
		}
	}},
	{"a cursor and To together select what both do", func(t *testing.T, store readings.Store) {
		insert(t, store, reading(1, 0, 0), reading(2, 0, 0), reading(1, 1, 0), reading(2, 1, 0), reading(1, 2, 0))
		to := start.Add(time.Millisecond)
		for _, c := range []struct {
			name  string
			after iot.Cursor
			want  []iot.Reading
		}{
			{"a cursor above To", iot.Cursor{At: start.Add(2 * time.Millisecond), Device: 1}, []iot.Reading{reading(2, 0, 0), reading(1, 0, 0)}},
			{"a cursor at To", iot.Cursor{At: to, Device: 2}, []iot.Reading{reading(2, 0, 0), reading(1, 0, 0)}},
			{"a cursor below To", iot.Cursor{At: start, Device: 2}, []iot.Reading{reading(1, 0, 0)}},
		} {
			t.Run(c.name, func(t *testing.T) {
				wantReadings(t, find(t, store, iot.ReadingQuery{To: to, After: c.after, Limit: 10}).Readings, c.want)
			})
		}
	}},
}
