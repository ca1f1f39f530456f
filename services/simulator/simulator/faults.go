package simulator

import (
	"container/heap"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"
)

// delay is how long a late reading is kept back and how long a burst is saved up.
const delay = 10 * time.Second

// junk is what a device sends that no decoder takes: each of these is one dead letter.
var junk = []string{
	``,
	`{"device_id":`,
	`temperature is fine`,
	"\xff\xfe\x00\x80",
	`"on"`,
	`{"temperature":NaN}`,
	`{"device_id":-1,"temperature":20}`,
	`{"temperature":20,"temperature":21}`,
}

// happens rolls the dice for a fault, and counts it.
func (s *stream) happens(percent float64, counter *atomic.Int64) bool {
	if percent == 0 || s.random.Float64()*100 >= percent {
		return false
	}
	counter.Add(1)
	return true
}

var year2099 = time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()

// badClock is what a clock says at ms that was not set since its device was switched on, or was set badly.
func badClock(ms int64, random *rand.Rand) int64 {
	sinceMidnight := ms % 86_400_000
	if random.IntN(2) == 0 {
		return sinceMidnight
	}
	return year2099 + sinceMidnight
}

// delayQueue keeps publications until they are due, in the order of due, and of push among equals.
type delayQueue struct {
	items  publicationHeap
	pushed int64
}

type delayedItem struct {
	publication
	number int64
}

// push keeps a copy of p.
func (q *delayQueue) push(p publication) {
	p.payload = slices.Clone(p.payload)
	q.pushed++
	heap.Push(&q.items, delayedItem{p, q.pushed})
}

// due returns when the first publication is due, if there is one.
func (q *delayQueue) due() (time.Time, bool) {
	if len(q.items) == 0 {
		return time.Time{}, false
	}
	return q.items[0].due, true
}

// pop moves the first publication to p, reusing the memory of p's payload.
func (q *delayQueue) pop(p *publication) {
	first := heap.Pop(&q.items).(delayedItem).publication
	first.payload = append(p.payload[:0], first.payload...)
	*p = first
}

type publicationHeap []delayedItem

func (h publicationHeap) Len() int      { return len(h) }
func (h publicationHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h publicationHeap) Less(i, j int) bool {
	if !h[i].due.Equal(h[j].due) {
		return h[i].due.Before(h[j].due)
	}
	return h[i].number < h[j].number
}
func (h *publicationHeap) Push(x any) { *h = append(*h, x.(delayedItem)) }
func (h *publicationHeap) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	*h = (*h)[:last]
	return x
}
