package auth

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestGuesses(t *testing.T) {
	fail := func(t *testing.T, g *Guesses, address, user string, n int) {
		t.Helper()
		for i := range n {
			if wait := g.Begin(address, user); wait != 0 {
				t.Fatalf("number %d waits for %v", i, wait)
			}
		}
	}
	t.Run("after ten that fail none is taken for a minute, from there", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var g Guesses
			fail(t, &g, "here", "ada", MaxFailures)
			time.Sleep(time.Second)
			if wait := g.Begin("here", "ada"); wait != throttledFor-time.Second {
				t.Errorf("the wait is %v", wait)
			}
			fail(t, &g, "elsewhere", "ada", 1)
			fail(t, &g, "here", "bob", 1)
			time.Sleep(throttledFor - time.Second)
			fail(t, &g, "here", "ada", MaxFailures)
		})
	})
	t.Run("those that are further apart are taken", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var g Guesses
			for range 3 * MaxFailures { // no more than ten in any minute
				fail(t, &g, "here", "ada", 1)
				time.Sleep(failuresIn/(MaxFailures-1) + time.Second)
			}
		})
	})
	t.Run("what was right, or nobody knows of, does not count", func(t *testing.T) {
		var g Guesses
		fail(t, &g, "here", "ada", MaxFailures)
		g.Undo("here", "ada")
		fail(t, &g, "here", "ada", 1)
		g.Right("here", "ada")
		fail(t, &g, "here", "ada", MaxFailures)
	})
	t.Run("those that nobody knows of take no room", func(t *testing.T) {
		var g Guesses
		for i := range maxGuesses {
			fail(t, &g, "here", fmt.Sprint(i), 1)
			g.Undo("here", fmt.Sprint(i))
		}
		if n := len(g.of); n != 0 {
			t.Errorf("%d are there", n)
		}
	})
	t.Run("it is bounded", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var g Guesses
			long := strings.Repeat("x", 1000)
			for i := range maxGuesses {
				fail(t, &g, "here", fmt.Sprint(i, long), 1)
			}
			if wait := g.Begin("here", "ada"); wait != 0 || len(g.of) != maxGuesses {
				t.Errorf("beyond it the wait is %v, and there are %d", wait, len(g.of))
			}
			time.Sleep(failuresIn)
			fail(t, &g, "elsewhere", "ada", 1)
			if len(g.of) != 1 {
				t.Errorf("%d are there after a minute", len(g.of))
			}
		})
	})
}
