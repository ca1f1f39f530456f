package readingstest

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/readings"
)

// stamped returns a reading of device 1 that a server stamped ms milliseconds after start. Equal values make
// equal content.
func stamped(origin uint64, ms int, value float64) iot.Reading {
	r := reading(1, ms, value)
	r.Stamped, r.Origin = iot.StampServer, origin
	return r
}

// at returns r as it is stored where it had to move.
func at(r iot.Reading, ms int) iot.Reading {
	r.At = start.Add(time.Duration(ms) * time.Millisecond)
	return r
}

var conflictTests = []test{
	{"readings that a server stamped with one millisecond are all kept, in their order, once", func(t *testing.T, store readings.Store) {
		first, second, third := stamped(1, 0, 20), stamped(2, 0, 20), stamped(3, 0, 21)
		wantInserted(t, insert(t, store, first, second, third), iot.Inserted{New: 3})
		for range 2 {
			wantInserted(t, insert(t, store, third), iot.Inserted{Duplicates: 1})
			wantInserted(t, insert(t, store, first, second, third, second), iot.Inserted{Duplicates: 4})
		}
		wantStored(t, store, at(third, 2), at(second, 1), first)
	}},
	{"those of a batch that meet others stay in order", func(t *testing.T, store readings.Store) {
		others := []iot.Reading{stamped(1, 100, 1), stamped(2, 101, 1), stamped(3, 104, 1)}
		insert(t, store, others...)
		batch := []iot.Reading{stamped(11, 99, 2), stamped(12, 100, 2), stamped(13, 101, 2), stamped(14, 102, 2), stamped(15, 103, 2)}
		wantInserted(t, insert(t, store, batch...), iot.Inserted{New: 5})
		wantInserted(t, insert(t, store, batch[2:]...), iot.Inserted{Duplicates: 3})
		wantStored(t, store, at(batch[4], 106), at(batch[3], 105), others[2], at(batch[2], 103), at(batch[1], 102),
			others[1], others[0], batch[0])
	}},
	{"what comes behind one that had to move does so too", func(t *testing.T, store readings.Store) {
		insert(t, store, stamped(1, 0, 1))
		for i := range 5 {
			wantInserted(t, insert(t, store, stamped(uint64(10+i), i, 2)), iot.Inserted{New: 1})
		}
		page := find(t, store, iot.ReadingQuery{Limit: 10})
		for i, r := range page.Readings[:5] {
			if want := uint64(14 - i); r.Origin != want {
				t.Errorf("reading %d has origin %d, want %d", i, r.Origin, want)
			}
		}
	}},
	{"a server's stamp makes room for the time of a device, before or after it, and both are kept once", func(t *testing.T, store readings.Store) {
		own, server, behind := reading(1, 0, 20), stamped(1, 0, 20), stamped(2, 1, 21)
		before := reading(1, 10, 20)
		late := stamped(3, 10, 20)
		wantInserted(t, insert(t, store, server, behind, before), iot.Inserted{New: 3})
		wantInserted(t, insert(t, store, own, late), iot.Inserted{New: 2})
		for range 2 {
			wantInserted(t, insert(t, store, server, own, behind, before, late), iot.Inserted{Duplicates: 5})
		}
		wantStored(t, store, at(late, 11), before, at(server, 2), behind, own)
		t.Log("and where it has moved to as well")
		again := reading(1, 2, 30)
		wantInserted(t, insert(t, store, again), iot.Inserted{New: 1})
		wantInserted(t, insert(t, store, server, own, again), iot.Inserted{Duplicates: 3})
		wantStored(t, store, at(late, 11), before, at(server, 3), again, behind, own)
		t.Log("within a batch")
		third, inBatch := stamped(4, 20, 1), reading(1, 20, 2)
		wantInserted(t, insert(t, store, third, inBatch, inBatch, third, reading(1, 20, 3)),
			iot.Inserted{New: 2, Duplicates: 2, Conflicts: []int{4}})
		wantStored(t, store, at(third, 21), inBatch, at(late, 11), before, at(server, 3), again, behind, own)
	}},
	{"a reading that was stored without an origin is known by its content", func(t *testing.T, store readings.Store) {
		old := stamped(0, 0, 20)
		insert(t, store, old)
		wantInserted(t, insert(t, store, stamped(1, 0, 20)), iot.Inserted{Duplicates: 1})
		other := stamped(2, 0, 21)
		wantInserted(t, insert(t, store, other), iot.Inserted{New: 1})
		wantInserted(t, insert(t, store, stamped(0, 0, 21)), iot.Inserted{Conflicts: []int{0}})
		wantStored(t, store, at(other, 1), old)
	}},
	{"what is read back from a copy is known by its content, also where it was moved, and whichever comes first", func(t *testing.T, store readings.Store) {
		copied := func(r iot.Reading) iot.Reading {
			r.Origin = r.ContentOrigin()
			return r
		}
		own, moved, server := reading(1, 0, 1), stamped(1, 0, 20), stamped(2, 5, 20)
		insert(t, store, own, moved, server)
		lost, other := copied(stamped(0, 7, 20)), copied(stamped(0, 5, 21))
		wantInserted(t, insert(t, store, own, copied(at(moved, 1)), copied(server), lost, other), iot.Inserted{New: 2, Duplicates: 3})
		for range 2 {
			wantInserted(t, insert(t, store, other, lost, copied(server), copied(at(moved, 1))), iot.Inserted{Duplicates: 4})
			wantInserted(t, insert(t, store, stamped(3, 7, 20)), iot.Inserted{Duplicates: 1}) // the message itself
		}
		wantStored(t, store, lost, at(other, 6), server, at(moved, 1), own)
	}},
	{"devices do not share origins", func(t *testing.T, store readings.Store) {
		one, two := stamped(1, 0, 20), stamped(1, 0, 20)
		two.Device = 2
		insert(t, store, reading(1, 0, 1), reading(2, 0, 1))
		wantInserted(t, insert(t, store, one, two), iot.Inserted{New: 2})
		wantInserted(t, insert(t, store, two, one), iot.Inserted{Duplicates: 2})
	}},
	{"an origin at another time is another reading", func(t *testing.T, store readings.Store) {
		// As where a topic was made anew: the origins of its legacy records begin again.
		own, ownLater := reading(1, 0, 1), reading(1, 10, 1)
		first := stamped(1, 0, 20)
		insert(t, store, own, ownLater, first)
		t.Log("than one that was moved, and than one that was moved to that time")
		later, behind := stamped(1, 10, 21), stamped(1, 1, 22)
		wantInserted(t, insert(t, store, later), iot.Inserted{New: 1})
		wantInserted(t, insert(t, store, behind), iot.Inserted{New: 1})
		t.Log("within a batch, beside a repetition")
		ownThird := reading(1, 20, 1)
		insert(t, store, ownThird)
		third, behindThird := stamped(1, 20, 23), stamped(1, 21, 24)
		wantInserted(t, insert(t, store, first, third, behindThird), iot.Inserted{New: 2, Duplicates: 1})
		t.Log("than one that made room")
		fourth, ownFourth, behindFourth := stamped(1, 30, 25), reading(1, 30, 1), stamped(1, 31, 26)
		insert(t, store, fourth, ownFourth)
		wantInserted(t, insert(t, store, behindFourth), iot.Inserted{New: 1})
		for range 2 {
			wantInserted(t, insert(t, store, own, first, behind, ownLater, later, ownThird, third, behindThird, ownFourth, fourth, behindFourth),
				iot.Inserted{Duplicates: 11})
		}
		wantStored(t, store, at(behindFourth, 32), at(fourth, 31), ownFourth, at(behindThird, 22), at(third, 21), ownThird,
			at(later, 11), ownLater, at(behind, 2), at(first, 1), own)
	}},
}

// crowdTests are about many readings that meet.
var crowdTests = []test{
	{"a backlog over another one is kept, each message at a millisecond of its own, in order", func(t *testing.T, store readings.Store) {
		const n = 600
		backlog := func(origin uint64, ms int) (all []iot.Reading) {
			for i := range n {
				all = append(all, stamped(origin+uint64(i), ms+i, float64(i)))
			}
			return all
		}
		for i, all := range [][]iot.Reading{backlog(1, 0), backlog(1+n, n/2)} { // the second run of a bridge begins early
			for batch := range slices.Chunk(all, 300) {
				wantInserted(t, insert(t, store, batch...), iot.Inserted{New: len(batch)})
			}
			wantInserted(t, insert(t, store, all[i*10:300]...), iot.Inserted{Duplicates: 300 - i*10})
		}
		page := find(t, store, iot.ReadingQuery{Limit: iot.MaxPage})
		for i, r := range page.Readings {
			want := uint64(2*n - i)
			if r.Origin != want || !r.At.Equal(start.Add(time.Duration(want-1)*time.Millisecond)) {
				t.Fatalf("%d from the end: origin %d at %v, want %d at %d ms", i, r.Origin, r.At, want, want-1)
			}
		}
	}},
	{"whatever meets, in whatever batches, with repetitions, each message is kept once", func(t *testing.T, store readings.Store) {
		resolveAnything(t, store, 1)
	}},
	{"so it is with several writers", func(t *testing.T, store readings.Store) { resolveAnything(t, store, 3) }},
}

// resolveAnything has writers store the same readings, as the consumers of a topic may in a rebalance:
// in order, but each in batches of its own, beginning again at places where it has been before.
func resolveAnything(t *testing.T, store readings.Store, writers int) {
	for seed := range uint64(3) {
		random := rand.New(rand.NewPCG(seed, 1))
		var log []iot.Reading
		own := map[time.Time]bool{} // the times of devices
		base := int(seed) * 100_000 // ms
		for i := range 200 {
			ms := base + i/8 + random.IntN(10) // some 8 of a millisecond
			if random.IntN(5) == 0 {
				r := reading(1, ms, float64(random.IntN(2)))
				own[r.At] = true
				log = append(log, r)
			} else {
				log = append(log, stamped(uint64(base+i+1), ms, float64(random.IntN(2))))
			}
		}
		sum := together(t, writers, func(writer int) (sum iot.Inserted, err error) {
			random := rand.New(rand.NewPCG(seed, 2+uint64(writer)))
			for from := 0; from < len(log); {
				to := min(from+1+random.IntN(60), len(log))
				inserted, err := store.InsertReadings(t.Context(), log[from:to])
				if err != nil {
					return sum, err
				}
				sum.New += inserted.New
				from = to
				if random.IntN(4) == 0 { // it was not committed
					from = max(0, to-random.IntN(100))
				}
			}
			return sum, nil
		})
		q := iot.ReadingQuery{From: start.Add(time.Duration(base) * time.Millisecond), Limit: iot.MaxPage}
		stored := find(t, store, q).Readings
		origins := map[uint64]int{}
		for _, r := range stored {
			if r.Origin != 0 {
				origins[r.Origin]++
			} else if !own[r.At] {
				t.Errorf("seed %d: a reading that its device stamped is at %v", seed, r.At)
			}
		}
		for _, r := range log {
			if r.Origin != 0 && origins[r.Origin] != 1 {
				t.Errorf("seed %d: origin %d is stored %d times, want 1", seed, r.Origin, origins[r.Origin])
			}
		}
		// A writer may see one that another writer is just moving as new.
		if want := len(origins) + len(own); len(stored) != want || sum.New < want || sum.New > want && writers == 1 {
			t.Errorf("seed %d: %d are stored and %d were counted as new, want %d", seed, len(stored), sum.New, want)
		}
	}
}
