package deadletterstest

import (
	"encoding/binary"
	"testing"

	"github.com/telltale-iot/telltale/pkg/deadletters"
	"github.com/telltale-iot/telltale/pkg/iot"
)

// listAll lists what q selects, calls between after each page, and returns the numbers of what it met.
// It checks that nothing comes twice.
func listAll(t *testing.T, store deadletters.Store, q iot.DeadLetterQuery, between func()) map[int]bool {
	t.Helper()
	met := map[int]bool{}
	for {
		page := find(t, store, q)
		for _, d := range page.DeadLetters {
			n := int(binary.BigEndian.Uint64(d.ID[8:]))
			if met[n] {
				t.Fatalf("dead letter %d comes twice", n)
			}
			met[n] = true
		}
		if page.Next.IsZero() {
			return met
		}
		if len(page.DeadLetters) != q.Limit {
			t.Fatalf("a page of %d in the middle of a listing by %d", len(page.DeadLetters), q.Limit)
		}
		q.After = page.Next
		between()
	}
}

// crowd returns n dead letters, 13 at a time, half of them of device 5.
func crowd(n int) (batch []iot.DeadLetter) {
	for i := range n {
		batch = append(batch, deadLetter(i+1, iot.ReasonInvalidJSON, iot.DeviceID(5+i%2), i/13))
	}
	return batch
}

var pageTests = []test{
	{"a listing meets every dead letter once, whatever the size of its pages", func(t *testing.T, store deadletters.Store) {
		const n = 500
		insert(t, store, crowd(n)...)
		for _, limit := range []int{7, 13, n, n + 1} {
			if met := listAll(t, store, iot.DeadLetterQuery{Limit: limit}, func() {}); len(met) != n {
				t.Errorf("limit %d: met %d of %d dead letters", limit, len(met), n)
			}
			if met := listAll(t, store, iot.DeadLetterQuery{Device: 5, Limit: limit}, func() {}); len(met) != n/2 {
				t.Errorf("limit %d: met %d of %d dead letters of device 5", limit, len(met), n/2)
			}
		}
	}},
	{"a listing misses and repeats nothing while newer and older dead letters arrive, and others go", func(t *testing.T, store deadletters.Store) {
		const n = 300
		insert(t, store, crowd(n)...)
		round := 0
		met := listAll(t, store, iot.DeadLetterQuery{Limit: 31}, func() {
			round++
			insert(t, store, deadLetter(1000+round, iot.ReasonConflict, 1, 1000+round), deadLetter(2000+round, iot.ReasonConflict, 1, -round))
			if err := store.DeleteDeadLetter(t.Context(), idOf(1000+round)); err != nil {
				t.Fatal(err)
			}
			if err := store.DeleteDeadLetter(t.Context(), idOf(n-31*round+15)); err != nil { // just met
				t.Fatal(err)
			}
		})
		for i := 1; i <= n; i++ {
			if !met[i] {
				t.Errorf("dead letter %d was missed", i)
			}
		}
		for i := 1; i <= round; i++ {
			if !met[2000+i] {
				t.Errorf("dead letter %d, which came ahead of the listing, was missed", 2000+i)
			}
		}
	}},
}
