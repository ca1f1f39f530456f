package compacted

import (
	"container/list"
	"slices"
	"sync"
	"time"
)

// Tally counts things that have a key, for a Teller to tell of: each at most once in a while, and a few at a time. Of more
// than MaxKeys the ones that were not counted for longest are forgotten, and counted anew. It is safe for concurrent use.
type Tally[K comparable, V any] struct {
	MaxKeys int
	Every   time.Duration // how far apart records of the same thing are
	AtOnce  int           // how many are told of in one call of Due

	mu     sync.Mutex
	counts map[K]*list.Element
	recent list.List // of *count[K, V], the latest in front
}

// Counted is what is told of a thing.
type Counted[V any] struct {
	What  V
	Count int64
	Since int64 // of Count, those since it was told of before
}

type count[K comparable, V any] struct {
	Counted[V] // Since is not used
	key        K
	told       int64     // of Count
	next       time.Time // when it may be told again
}

// Add counts one. change sets what is known of it: at first all that is to be told, later what is new.
func (t *Tally[K, V]) Add(key K, change func(first bool, what *V)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.counts == nil {
		t.counts = make(map[K]*list.Element)
	}
	at, known := t.counts[key]
	if known {
		t.recent.MoveToFront(at)
	} else {
		if len(t.counts) == t.MaxKeys {
			oldest := t.recent.Remove(t.recent.Back()).(*count[K, V])
			delete(t.counts, oldest.key)
		}
		at = t.recent.PushFront(&count[K, V]{key: key})
		t.counts[key] = at
	}
	c := at.Value.(*count[K, V])
	c.Count++
	change(!known, &c.What)
}

// Due returns what to tell of now, that which has waited longest first, and whether there is more to tell of, now or later.
func (t *Tally[K, V]) Due(now time.Time) (told []Counted[V], more bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var due []*count[K, V]
	waiting := 0
	for at := t.recent.Back(); at != nil; at = at.Prev() {
		if c := at.Value.(*count[K, V]); c.told < c.Count {
			waiting++
			if !now.Before(c.next) {
				due = append(due, c)
			}
		}
	}
	slices.SortStableFunc(due, func(a, b *count[K, V]) int { return a.next.Compare(b.next) })
	for _, c := range due[:min(len(due), t.AtOnce)] {
		told = append(told, Counted[V]{What: c.What, Count: c.Count, Since: c.Count - c.told})
		c.told, c.next = c.Count, now.Add(t.Every)
	}
	return told, waiting > len(told)
}

// Len is how many things are counted: MaxKeys at most.
func (t *Tally[K, V]) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.counts)
}
