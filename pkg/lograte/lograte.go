// Package lograte keeps events that clients can cause as often as they like from filling the log. It logs nothing
// itself, and does not bound what a caller puts into a line.
package lograte

import (
	"sync"
	"time"
)

// every is how far apart lines about one kind of event are.
const every = time.Minute

// Limiter limits the lines about one kind of event. Its zero value is ready, and it is safe for concurrent use.
type Limiter struct {
	mu    sync.Mutex
	next  time.Time // when the next line may be logged
	count int       // events since the last one
}

// Event counts an event. It returns 0 when there is nothing to log, and otherwise how many events there were since
// there last was, this one included.
func (l *Limiter) Event() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count++
	now := time.Now()
	if now.Before(l.next) {
		return 0
	}
	n := l.count
	l.next, l.count = now.Add(every), 0
	return n
}

// Limiters are a Limiter for each kind of event, of which there are a few. Their zero value is ready, and they are safe
// for concurrent use.
type Limiters struct{ byKind sync.Map }

// Event is that of the Limiter for kind.
func (l *Limiters) Event(kind string) int {
	limiter, _ := l.byKind.LoadOrStore(kind, new(Limiter))
	return limiter.(*Limiter).Event()
}
