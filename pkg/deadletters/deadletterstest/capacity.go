package deadletterstest

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/deadletters"
	"github.com/telltale-iot/telltale/pkg/iot"
)

// RunCapacity runs the tests of how much is kept, on empty stores that open gives a capacity in bytes.
func RunCapacity(t *testing.T, open func(t testing.TB, capacity int64) deadletters.Store) {
	const size = 10_000 // of a dead letter, beside which nothing else of it matters
	fill := func(t *testing.T, store deadletters.Store, from, to int) {
		t.Helper()
		for n := from; n < to; n++ {
			for now := time.Now().UnixMilli(); time.Now().UnixMilli() == now; {
				time.Sleep(100 * time.Microsecond) // each is stored at a millisecond of its own
			}
			d := deadLetter(n, iot.ReasonInvalidJSON, 1, -n) // the one that is stored first has arrived last
			d.Bytes = bytes.Repeat([]byte("x"), size)
			insert(t, store, d)
		}
	}
	trim := func(t *testing.T, store deadletters.Store) int {
		t.Helper()
		removed, err := store.TrimDeadLetters(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return removed
	}
	// stored returns the numbers of those that are there, ascending.
	stored := func(t *testing.T, store deadletters.Store) (numbers []int) {
		t.Helper()
		for _, d := range find(t, store, iot.DeadLetterQuery{Limit: iot.MaxPage}).DeadLetters {
			numbers = append(numbers, int(d.ID[15]))
		}
		slices.Sort(numbers)
		return numbers
	}

	t.Run("what is within the capacity stays", func(t *testing.T) {
		store := open(t, 11*size)
		if n := trim(t, store); n != 0 {
			t.Errorf("an empty store removes %d", n)
		}
		fill(t, store, 0, 9)
		if n := trim(t, store); n != 0 || len(stored(t, store)) != 9 {
			t.Errorf("%d removed, %v are there", n, stored(t, store))
		}
		if n, err := store.DeadLetterBytes(t.Context()); err != nil || n < 9*size || n > 11*size {
			t.Errorf("9 of %d bytes take %d, %v", size, n, err)
		}
	})
	t.Run("those that were stored first go first, until the others are within it", func(t *testing.T) {
		store := open(t, 11*size)
		fill(t, store, 0, 30)
		n := trim(t, store)
		if got := stored(t, store); n != 30-len(got) || len(got) < 9 || len(got) > 11 || got[0] != n {
			t.Errorf("%d removed, %v are there", n, got)
		}
		fill(t, store, 30, 40)
		trim(t, store)
		if got := stored(t, store); len(got) < 9 || len(got) > 11 || got[len(got)-1] != 39 {
			t.Errorf("then %v are there", got)
		}
		if n := trim(t, store); n != 0 {
			t.Errorf("and %d more removed", n)
		}
	})
	t.Run("one that is larger than all may be goes as well", func(t *testing.T) {
		store := open(t, size/2)
		fill(t, store, 0, 2)
		if n := trim(t, store); n != 2 || len(stored(t, store)) != 0 {
			t.Errorf("%d removed, %v are there", n, stored(t, store))
		}
	})
	t.Run("those that somebody deleted take nothing any more", func(t *testing.T) {
		store := open(t, 11*size)
		fill(t, store, 0, 9)
		if err := store.DeleteDeadLetter(t.Context(), idOf(8)); err != nil {
			t.Fatal(err)
		}
		if _, err := store.DeleteDeadLetters(t.Context(), iot.DeadLetterQuery{From: start.Add(-6 * time.Millisecond)}); err != nil {
			t.Fatal(err)
		}
		mark(t, store, start, 1, idOf(7))
		fill(t, store, 10, 18)
		if n := trim(t, store); n != 0 || len(stored(t, store)) != 9 {
			t.Errorf("%d removed, %v are there", n, stored(t, store))
		}
	})
	t.Run("a call whose context has ended fails", func(t *testing.T) {
		store := open(t, size/2)
		fill(t, store, 0, 1)
		if n, err := store.TrimDeadLetters(cancelled(t)); err == nil || n != 0 {
			t.Errorf("%d, %v", n, err)
		}
	})
}
