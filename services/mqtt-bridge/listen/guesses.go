package listen

import (
	"hash/maphash"
	"sync"
	"time"
)

const (
	// maxFailures is how many wrong passwords of a user name, from an address, are looked at within failuresFor. Then none is,
	// for as long: a device with a wrong password, or who guesses, costs nothing.
	maxFailures = 10
	failuresFor = time.Minute
	// maxGuessers is how many user names and addresses are kept with their failures. When there are more, all are forgotten:
	// passwords are too long to be guessed at any pace.
	maxGuessers = 10_000
)

// guesses counts wrong passwords. The zero value has none.
type guesses struct {
	mu   sync.Mutex
	seed maphash.Seed
	of   map[uint64]guesser // by a hash of address and user name
}

type guesser struct {
	failures int
	until    time.Time // when they are forgotten
}

// mayTry reports whether a password is looked at.
func (g *guesses) mayTry(address, user string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	is, ok := g.of[g.key(address, user)]
	return !ok || is.failures < maxFailures || !time.Now().Before(is.until)
}

// failed notes that a password was wrong.
func (g *guesses) failed(address, user string) {
	now := time.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.of == nil {
		g.of, g.seed = make(map[uint64]guesser), maphash.MakeSeed()
	}
	key := g.key(address, user)
	is, known := g.of[key]
	if !known && len(g.of) == maxGuessers {
		clear(g.of)
	}
	if !now.Before(is.until) {
		is = guesser{until: now.Add(failuresFor)}
	}
	if is.failures++; is.failures == maxFailures {
		is.until = now.Add(failuresFor)
	}
	g.of[key] = is
}

func (g *guesses) key(address, user string) uint64 {
	if g.of == nil {
		return 0
	}
	return maphash.Comparable(g.seed, [2]string{address, user})
}
