package live

import (
	"context"
	"sync"

	"golang.org/x/sync/semaphore"
)

// turns are for clients that read the log, each for a moment, in the order in which they ask. One network has at most half of
// them, so that there are some for others whatever its clients do.
type turns struct {
	all *semaphore.Weighted

	mu sync.Mutex
	of map[string]*share // of each network that has a turn, or waits for one
}

// share is what a network has of the turns.
type share struct {
	turns *semaphore.Weighted
	users int // that have one, or wait
}

func newTurns() *turns {
	return &turns{all: semaphore.NewWeighted(maxTurns), of: map[string]*share{}}
}

// take waits for a turn of a client from a network, which lasts until release is called.
func (t *turns) take(ctx context.Context, network string) (release func(), err error) {
	t.mu.Lock()
	s := t.of[network]
	if s == nil {
		s = &share{turns: semaphore.NewWeighted(maxTurns / 2)}
		t.of[network] = s
	}
	s.users++
	t.mu.Unlock()
	leave := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if s.users--; s.users == 0 {
			delete(t.of, network)
		}
	}
	if err := s.turns.Acquire(ctx, 1); err != nil {
		leave()
		return nil, err
	}
	if err := t.all.Acquire(ctx, 1); err != nil {
		s.turns.Release(1)
		leave()
		return nil, err
	}
	return func() {
		t.all.Release(1)
		s.turns.Release(1)
		leave()
	}, nil
}

// waitForTurn waits for a turn of l, and keeps the client's connection meanwhile.
func (l *listener) waitForTurn(ctx context.Context) (release func(), err error) {
	waiting, stop := context.WithCancel(ctx)
	defer stop()
	type answer struct {
		release func()
		err     error
	}
	answers := make(chan answer, 1)
	go func() {
		release, err := l.hub.turns.take(waiting, l.Network)
		answers <- answer{release, err}
	}()
	giveUp := func(err error) (func(), error) {
		stop()
		if a := <-answers; a.err == nil {
			a.release()
		}
		return nil, err
	}
	for {
		select {
		case a := <-answers:
			if a.err != nil {
				return nil, context.Cause(ctx)
			}
			return a.release, nil
		case <-l.heartbeat.C:
			if err := l.sendHeartbeat(); err != nil {
				return giveUp(err)
			}
		}
	}
}
