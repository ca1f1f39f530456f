package listen

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// TestGuesses: ten wrong passwords in a minute, then none for a minute; and whatever strangers try, what is kept is bounded.
func TestGuesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g guesses
		may := func(address, user string, want bool) {
			t.Helper()
			if got := g.mayTry(address, user); got != want {
				t.Errorf("%s from %s may try: %v", user, address, got)
			}
		}
		for range maxFailures {
			may("a", "7", true)
			g.failed("a", "7")
			time.Sleep(5 * time.Second)
		}
		may("a", "7", false)
		may("b", "7", true)
		may("a", "8", true)
		time.Sleep(failuresFor - 6*time.Second)
		may("a", "7", false)
		time.Sleep(time.Second)
		may("a", "7", true)
		for range 3 * maxFailures { // no more than ten in any minute
			g.failed("slow", "7")
			time.Sleep(failuresFor/(maxFailures-1) + time.Second)
			may("slow", "7", true)
		}
		for i := range 3 * maxGuessers {
			g.failed("a", fmt.Sprint(i))
		}
		if len(g.of) > maxGuessers {
			t.Errorf("%d are kept", len(g.of))
		}
	})
}
