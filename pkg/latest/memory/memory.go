// Package memory keeps latest values in this process: for the all-in-one binary and for tests. A restart
// forgets them. Their memory is bounded (maxBytes), however many devices there are.
package memory

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"
	"unsafe" // for what types take

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/latest/internal/window"
)

// sweepInterval is how often what is kept of devices that fell silent is removed, so that memory
// follows the number of devices that are online, whatever ids were ever seen.
const sweepInterval = time.Minute

const (
	// maxBytes bounds what windows take: some 33,000 of devices that send their values together, 1,500 of those that
	// send each of 20 by itself. When it is full, devices that are new are not kept until others have fallen silent:
	// whoever invents devices takes no other's place.
	maxBytes = 12 << 20
	// What an entry, a reading, and a metric or an attribute of it take, beside the bytes of their names and texts.
	entryBytes   = int(unsafe.Sizeof(entry{})) + 32 // with its place in the map
	readingBytes = int(unsafe.Sizeof(iot.Reading{}))
	memberBytes  = 32
	// fullSweepInterval is how often room is looked for when there is none.
	fullSweepInterval = time.Second
)

// Cache is an iot.LatestCache. Nothing but its methods' arguments can make it fail.
type Cache struct {
	mu       sync.RWMutex
	entries  map[iot.DeviceID]*entry
	bytes    int       // of all entries, at most maxBytes
	swept    time.Time // when what nobody needs was last removed
	madeRoom time.Time // when what is not shown any more was
	complete bool
}

type entry struct {
	window window.Window
	merged *iot.Reading  // what it comes to, where it has several readings
	ttl    time.Duration // how long after the newest arrival it is the latest value; it is kept for as long again
	bytes  int
}

func (e *entry) expires() time.Time { return e.window.Newest.Add(e.ttl) }
func (e *entry) forgets() time.Time { return e.window.Newest.Add(2 * e.ttl) }

// latest returns what e comes to.
func (e *entry) latest() iot.Reading {
	if e.merged != nil {
		return *e.merged
	}
	return e.window.Latest()
}

// New returns an empty cache.
func New() *Cache {
	return &Cache{entries: make(map[iot.DeviceID]*entry)}
}

// PutLatest implements iot.LatestCache.
func (c *Cache) PutLatest(_ context.Context, batch []iot.Reading, ttl time.Duration) (int, error) {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.Sub(c.swept) >= sweepInterval {
		c.swept = now
		c.sweep(now, (*entry).forgets)
	}

	accepted := map[iot.DeviceID]bool{}
	for _, r := range batch {
		if r.Received.After(now) {
			r.Received = now
		}
		if !r.Received.After(now.Add(-2*ttl)) || r.At.Sub(now) > iot.MaxAhead {
			continue
		}
		if c.add(now, r, ttl) && r.Received.After(now.Add(-ttl)) {
			accepted[r.Device] = true
		}
	}
	return len(accepted), nil
}

// add adds r to what is kept of its device, and reports whether that has changed. Where there is no room for it, nothing
// of the device is kept: what was there is not the latest any more. c.mu is held.
func (c *Cache) add(now time.Time, r iot.Reading, ttl time.Duration) bool {
	e := c.entries[r.Device]
	if e == nil {
		e = new(entry)
	}
	if !e.window.Newest.Before(now.Add(ttl)) { // the clock was set back: nothing would count until then
		e.window = window.Window{}
	}
	r.Metrics, r.Attributes = slices.Clone(r.Metrics), slices.Clone(r.Attributes) // the batch is the caller's
	if !e.window.Add(r, ttl) {
		return false
	}
	c.remove(r.Device)
	e.merged, e.ttl, e.bytes = nil, ttl, entryBytes
	for i := range e.window.Readings {
		e.bytes += sizeOf(&e.window.Readings[i])
	}
	e.bytes += readingBytes * (cap(e.window.Readings) - len(e.window.Readings))
	if len(e.window.Readings) > 1 {
		e.merged = new(e.window.Latest())
		e.bytes += sizeOf(e.merged)
	}
	if c.bytes+e.bytes > maxBytes && now.Sub(c.madeRoom) >= fullSweepInterval {
		c.madeRoom = now
		c.sweep(now, (*entry).expires)
	}
	if c.bytes+e.bytes > maxBytes {
		return false
	}
	c.entries[r.Device] = e
	c.bytes += e.bytes
	return true
}

// sizeOf is about what r takes.
func sizeOf(r *iot.Reading) int {
	return readingBytes + len(r.Key) + len(r.Said) + r.ContentBytes() + memberBytes*(len(r.Metrics)+len(r.Attributes)+len(r.Times))
}

func (c *Cache) remove(id iot.DeviceID) {
	if e := c.entries[id]; e != nil {
		c.bytes -= e.bytes
		delete(c.entries, id)
	}
}

// Latest implements iot.LatestCache.
func (c *Cache) Latest(_ context.Context, id iot.DeviceID) (iot.Reading, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	e, ok := c.entries[id]
	if !ok || !time.Now().Before(e.expires()) {
		return iot.Reading{}, iot.ErrNotFound
	}
	return e.latest(), nil
}

// AllLatest implements iot.LatestCache.
func (c *Cache) AllLatest(context.Context) ([]iot.Reading, error) {
	now := time.Now()
	c.mu.RLock()
	all := make([]iot.Reading, 0, len(c.entries))
	for _, e := range c.entries {
		if now.Before(e.expires()) {
			all = append(all, e.latest())
		}
	}
	c.mu.RUnlock()
	slices.SortFunc(all, func(a, b iot.Reading) int { return cmp.Compare(a.Device, b.Device) })
	return all, nil
}

// Complete implements latest.Cache.
func (c *Cache) Complete(context.Context) (bool, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.complete, nil
}

// Restore implements latest.Cache.
func (c *Cache) Restore(ctx context.Context, fill func(context.Context) error) error {
	if err := fill(ctx); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.complete = true
	return nil
}

// Check implements latest.Cache.
func (c *Cache) Check(context.Context) error { return nil }

// Close implements latest.Cache.
func (c *Cache) Close() error { return nil }

// sweep removes the entries whose end has come. c.mu is held.
func (c *Cache) sweep(now time.Time, end func(*entry) time.Time) {
	for id, e := range c.entries {
		if !now.Before(end(e)) {
			c.remove(id)
		}
	}
}
