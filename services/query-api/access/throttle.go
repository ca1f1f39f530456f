package access

import (
	"net/netip"
	"sync"
	"time"
)

// How often a password may be wrong.
const (
	maxFailures  = 10
	failuresIn   = time.Minute
	throttledFor = time.Minute
	maxGuesses   = 10_000 // pairs of network and user name
)

// throttle bounds how often passwords are guessed: by one network for one user, so that who guesses keeps out nobody but
// himself. Beyond maxGuesses any one is forgotten, and counts anew: nobody is kept out by the guesses of others, and who wants
// a failure of his own forgotten has to guess thousands of times for that. Its zero value is ready.
type throttle struct {
	mu      sync.Mutex
	guesses map[guess]*failures
}

type guess struct {
	from netip.Prefix
	user string
}

// failures are those of a guess since the first.
type failures struct {
	n     int
	first time.Time
	until time.Time // no guess is taken before that
}

// begin counts a guess as one that fails, so that those at the same time count, too. wait is for how long none is taken, when
// not 0.
func (t *throttle) begin(g guess, now time.Time) (wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.guesses[g]
	switch {
	case f != nil && now.Before(f.until):
		return f.until.Sub(now)
	case f != nil && f.over(now):
		*f = failures{first: now}
	case f == nil:
		if len(t.guesses) >= maxGuesses {
			t.clean(now)
		}
		for other := range t.guesses {
			if len(t.guesses) < maxGuesses {
				break
			}
			delete(t.guesses, other)
		}
		if t.guesses == nil {
			t.guesses = make(map[guess]*failures)
		}
		f = &failures{first: now}
		t.guesses[g] = f
	}
	if f.n++; f.n == maxFailures {
		f.until = now.Add(throttledFor)
	}
	return 0
}

// right forgets the failures of a guess: it was right.
func (t *throttle) right(g guess) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.guesses, g)
}

// undo takes back one that begin counted: nobody knows whether it was right.
func (t *throttle) undo(g guess) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if f := t.guesses[g]; f != nil {
		f.n--
		f.until = time.Time{}
		if f.n == 0 {
			delete(t.guesses, g)
		}
	}
}

func (t *throttle) clean(now time.Time) {
	for g, f := range t.guesses {
		if f.over(now) {
			delete(t.guesses, g)
		}
	}
}

// over reports whether the failures do not count any more.
func (f *failures) over(now time.Time) bool {
	return !now.Before(f.until) && now.Sub(f.first) >= failuresIn
}
