package live

import (
	"context"
	"errors"
	"log/slog"
	"sort"
	"sync"
	"time"

	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/lograte"
)

const (
	// ringBytes is how much of the stream is kept for clients to take, all of them together. It is how far one may be
	// behind: 20 s at 1,000 readings a second.
	ringBytes = 8 << 20
	// gatherTime is at least between two chunks: what comes meanwhile is sent to each client at once.
	gatherTime = 40 * time.Millisecond
	// longestRestart bounds the time between attempts to follow the topics.
	longestRestart = 2 * time.Second
)

// feed follows the topics once for all clients, and keeps the newest of what came. It ends when nobody listens any more.
type feed struct {
	cfg   kafka.Config
	log   *slog.Logger
	ready chan struct{} // closed when it follows
	lost  func()        // called for a client that is overtaken
	away  *lograte.Limiter

	building sync.Mutex // guards builder: partitions take turns
	builder  *builder
	wake     chan struct{} // has one when builder has something

	mu        sync.Mutex
	chunks    []*chunk      // the newest, in order
	first     int64         // the number of chunks[0]
	size      int           // of chunks
	at        place         // behind the last of chunks
	changed   chan struct{} // closed when there is another chunk
	listeners map[*listener]struct{}
}

func newFeed(h *Hub) *feed {
	return &feed{
		cfg: h.cfg, log: h.log, lost: h.slow.Inc, away: &h.away,
		ready: make(chan struct{}), wake: make(chan struct{}, 1), changed: make(chan struct{}), listeners: map[*listener]struct{}{},
	}
}

// topicNames are the topics that are followed.
func topicNames(cfg kafka.Config) []string { return []string{cfg.Topic, cfg.DeadLetterTopic()} }

// follow follows the topics until ctx ends, from their ends on. When one was made again, or what was to come next is gone,
// it begins anew and tells all clients so.
func (f *feed) follow(ctx context.Context) {
	for wait := 100 * time.Millisecond; ctx.Err() == nil; {
		follower := &kafka.Follower{
			Config: f.cfg, Topics: topicNames(f.cfg), Log: f.log,
			Begin: f.begin, Grown: f.grown, Handle: f.handle,
		}
		err := follower.Run(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, kafka.ErrGone):
			f.log.Warn("clients that follow readings are told to ask anew", "err", err)
			wait = 100 * time.Millisecond
		default:
			if n := f.away.Event(); n > 0 { // each client that comes has one tried
				f.log.Warn("readings cannot be followed, trying again", "err", err, "count", n)
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		wait = min(2*wait, longestRestart)
	}
}

// begin takes where the topics end.
func (f *feed) begin(ends []kafka.TopicEnds) {
	f.building.Lock()
	defer f.building.Unlock()
	at := placeOf(ends)
	if f.builder == nil {
		f.builder = newBuilder(at, &Filter{}, f.publish)
		f.mu.Lock()
		f.at = at
		f.mu.Unlock()
		close(f.ready)
		return
	}
	f.flush()
	before := f.builder.at
	at.devices = before.devices
	f.builder.at = at.clone()
	c := &chunk{start: before, end: at, resync: true, data: appendID([]byte(resyncHead+"\n"), at)}
	_ = f.publish(c.measure())
}

func (f *feed) grown(topic, partitions int) {
	f.building.Lock()
	defer f.building.Unlock()
	f.builder.begin()
	f.builder.at.grow(topic, partitions)
	f.signal()
}

func (f *feed) handle(topic int, records []kafka.Record) {
	f.building.Lock()
	defer f.building.Unlock()
	for i := range records {
		_ = f.builder.add(topic, &records[i]) // publish does not fail
	}
	f.signal()
}

// signal has gather publish what there is. The caller holds building.
func (f *feed) signal() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// gather publishes what came, until ctx ends: at once after a pause, and else gatherTime after the last time.
func (f *feed) gather(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.wake:
		}
		f.building.Lock()
		f.flush()
		f.building.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-time.After(gatherTime):
		}
	}
}

// flush publishes what builder has. The caller holds building.
func (f *feed) flush() {
	if c := f.builder.take(); c != nil {
		_ = f.publish(c)
	}
}

// publish has clients take a chunk, and overtakes those that are too far behind.
func (f *feed) publish(c *chunk) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.chunks = append(f.chunks, c)
	f.size += c.size
	f.at = c.end
	for len(f.chunks) > 1 && (f.size > ringBytes || c.resync) { // what is of topics before is nobody's way to those of now
		f.size -= f.chunks[0].size
		f.chunks[0] = nil
		f.chunks = f.chunks[1:]
		f.first++
	}
	for l := range f.listeners {
		if l.next.Load() < f.first {
			delete(f.listeners, l)
			l.overtaken()
			f.lost()
		}
	}
	close(f.changed)
	f.changed = make(chan struct{})
	return nil
}

// now returns where the stream is.
func (f *feed) now() place {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.at
}

// join has l take the chunks from that on in which the first record comes that l was not told of. It returns the
// fingerprint of the devices there, and false where that is not kept any more.
func (f *feed) join(l *listener) (devices uint32, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	// The chunks that begin with what l was told of are the first ones; the last of them may be the one to come.
	start := func(i int) place {
		if i < len(f.chunks) {
			return f.chunks[i].start
		}
		return f.at
	}
	first := 0
	if len(f.chunks) > 0 && f.chunks[0].resync && l.at.topics == f.at.topics {
		first = 1
	}
	told := first + sort.Search(len(f.chunks)+1-first, func(i int) bool { return !l.at.covers(start(first + i)) }) - 1
	if told < first {
		return 0, false
	}
	for i := told; i >= first && start(i).same(start(told)); i-- { // between these only devices have changed
		if start(i).devices == l.at.devices {
			told = i
			break
		}
	}
	l.next.Store(f.first + int64(told))
	f.listeners[l] = struct{}{}
	return start(told).devices, true
}

func (f *feed) leave(l *listener) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.listeners, l)
}

// chunk returns the chunk of a number; nil where it is to come, and then what is closed when it may be there.
func (f *feed) chunk(number int64) (c *chunk, changed <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch i := number - f.first; {
	case i < 0: // overtaken, as the listener is told
		return nil, f.changed
	case i < int64(len(f.chunks)):
		return f.chunks[i], nil
	}
	return nil, f.changed
}
