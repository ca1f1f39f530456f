package auth

import (
	"hash/maphash"
	"sync"
	"time"
)

// How often a password, or a token, may be wrong.
const (
	MaxFailures  = 10
	failuresIn   = time.Minute
	throttledFor = time.Minute
	maxGuesses   = 10_000 // pairs of address and user name
)

// Guesses bounds how often passwords are guessed: from one address for one user, so that who guesses keeps out nobody but
// himself. Beyond maxGuesses any one is forgotten, and counts anew: nobody is kept out by the guesses of others, and who wants
// a failure of his own forgotten has to guess thousands of times for that. Its zero value is ready. It is safe for concurrent use.
type Guesses struct {
	mu   sync.Mutex
	seed maphash.Seed
	of   map[uint64]*failures // by a hash of address and user name, which may be long
}

// failures are those of a guess since the first.
type failures struct {
	n     int
	first time.Time
	until time.Time // no guess is taken before that
}

// Begin counts a guess as one that fails, so that those at the same time count, too. wait is for how long none is taken, when
// not 0.
func (g *Guesses) Begin(address, user string) (wait time.Duration) {
	now := time.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.of == nil {
		g.of, g.seed = make(map[uint64]*failures), maphash.MakeSeed()
	}
	key := g.key(address, user)
	f := g.of[key]
	switch {
	case f != nil && now.Before(f.until):
		return f.until.Sub(now)
	case f != nil && f.over(now):
		*f = failures{first: now}
	case f == nil:
		g.makeRoom(now)
		f = &failures{first: now}
		g.of[key] = f
	}
	if f.n++; f.n == MaxFailures {
		f.until = now.Add(throttledFor)
	}
	return 0
}

// Right forgets the failures of a guess: it was right.
func (g *Guesses) Right(address, user string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.of, g.key(address, user))
}

// Undo takes back one that Begin counted: nobody knows whether it was right.
func (g *Guesses) Undo(address, user string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	key := g.key(address, user)
	if f := g.of[key]; f != nil {
		f.n--
		f.until = time.Time{}
		if f.n == 0 {
			delete(g.of, key)
		}
	}
}

func (g *Guesses) makeRoom(now time.Time) {
	if len(g.of) < maxGuesses {
		return
	}
	for key, f := range g.of {
		if f.over(now) {
			delete(g.of, key)
		}
	}
	for key := range g.of {
		if len(g.of) < maxGuesses {
			return
		}
		delete(g.of, key)
	}
}

// key is that of a guess, after the first Begin.
func (g *Guesses) key(address, user string) uint64 {
	if g.of == nil {
		return 0
	}
	return maphash.Comparable(g.seed, [2]string{address, user})
}

// over reports whether the failures do not count any more.
func (f *failures) over(now time.Time) bool {
	return !now.Before(f.until) && now.Sub(f.first) >= failuresIn
}
