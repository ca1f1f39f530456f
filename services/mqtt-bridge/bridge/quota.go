package bridge

import "sync"

// quota bounds what is in flight: messages of one session, or bytes of all. The last to take may overdraw
// it, so that what is larger than the quota passes too, alone.
type quota struct {
	limit int

	mu   sync.Mutex
	used int
	room chan struct{} // closed when there is room again; nil while nobody waits
}

// take takes n and returns nil, or takes nothing and returns what is closed when it is worth trying again.
func (q *quota) take(n int) (room <-chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.used < q.limit {
		q.used += n
		return nil
	}
	if q.room == nil {
		q.room = make(chan struct{})
	}
	return q.room
}

// add takes n, also beyond the limit.
func (q *quota) add(n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.used += n
}

// release gives n back. Those who wait are woken when a quarter is free, so that each of them has some way to
// go before it waits again.
func (q *quota) release(n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.used -= n
	if q.room != nil && q.used <= q.limit-q.limit/4 {
		close(q.room)
		q.room = nil
	}
}

func (q *quota) inUse() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.used
}
