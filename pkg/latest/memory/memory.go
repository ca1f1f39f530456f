// Package memory keeps latest readings in this process: for the all-in-one binary and for tests. A restart
// forgets them. Their memory is bounded (maxBytes), however many devices there are.
package memory

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// sweepInterval is how often expired readings of devices that fell silent are removed, so that memory
// follows the number of devices that are online, whatever ids were ever seen.
const sweepInterval = time.Minute

const (
	// maxBytes bounds what the readings take: some 50,000 of a few metrics. When it is full, devices that are
	// new are not kept until others have fallen silent: whoever invents devices takes no other's place.
	maxBytes = 16 << 20
	// entryBytes and memberBytes are about what an entry, and a metric or an attribute of it, take beside the
	// bytes of their names and texts.
	entryBytes  = 256
	memberBytes = 32
	// fullSweepInterval is how often room is looked for when there is none.
	fullSweepInterval = time.Second
)

// Cache is an iot.LatestCache. Nothing but its methods' arguments can make it fail.
type Cache struct {
	mu       sync.RWMutex
	entries  map[iot.DeviceID]entry
	bytes    int       // of all entries, at most maxBytes
	swept    time.Time // when expired entries were last removed
	complete bool
}

type entry struct {
	reading iot.Reading
	over    time.Time // when its own time is over
	expires time.Time // that, or later where older readings came after it
	bytes   int
}

// New returns an empty cache.
func New() *Cache {
	return &Cache{entries: make(map[iot.DeviceID]entry)}
}

// PutLatest implements iot.LatestCache.
func (c *Cache) PutLatest(_ context.Context, batch []iot.Reading, ttl time.Duration) (int, error) {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sweep(now, sweepInterval)

	var accepted []iot.DeviceID // may name a device twice
	for _, r := range batch {
		expires := r.Received.Add(ttl)
		if r.Received.After(now) {
			expires = now.Add(ttl)
		}
		if !now.Before(expires) || r.At.Sub(now) > iot.MaxAhead {
			continue
		}
		if old, ok := c.entries[r.Device]; ok && now.Before(old.over) && !r.At.After(old.reading.At) {
			if expires.After(old.expires) {
				old.expires = expires
				c.entries[r.Device] = old
			}
			continue
		}
		r.Received, r.Origin = time.Time{}, 0
		if c.put(now, r, expires) {
			accepted = append(accepted, r.Device)
		}
	}

	slices.Sort(accepted)
	return len(slices.Compact(accepted)), nil
}

// put keeps r instead of what is kept of its device, and reports whether there was room for it. Without, nothing
// of the device is kept: what was there is not the latest any more. c.mu is held.
func (c *Cache) put(now time.Time, r iot.Reading, expires time.Time) bool {
	c.remove(r.Device)
	n := entryBytes + len(r.Key) + len(r.Said) + r.ContentBytes() + memberBytes*(len(r.Metrics)+len(r.Attributes))
	if c.bytes+n > maxBytes {
		c.sweep(now, fullSweepInterval)
	}
	if c.bytes+n > maxBytes {
		return false
	}
	r.Metrics, r.Attributes = slices.Clone(r.Metrics), slices.Clone(r.Attributes) // the batch is the caller's
	c.entries[r.Device] = entry{r, expires, expires, n}
	c.bytes += n
	return true
}

func (c *Cache) remove(id iot.DeviceID) {
	c.bytes -= c.entries[id].bytes
	delete(c.entries, id)
}

// Latest implements iot.LatestCache.
func (c *Cache) Latest(_ context.Context, id iot.DeviceID) (iot.Reading, error) {
	c.mu.RLock()
	e, ok := c.entries[id]
	c.mu.RUnlock()
	if !ok || !time.Now().Before(e.expires) {
		return iot.Reading{}, iot.ErrNotFound
	}
	return e.reading, nil
}

// AllLatest implements iot.LatestCache.
func (c *Cache) AllLatest(context.Context) ([]iot.Reading, error) {
	now := time.Now()
	c.mu.RLock()
	all := make([]iot.Reading, 0, len(c.entries))
	for _, e := range c.entries {
		if now.Before(e.expires) {
			all = append(all, e.reading)
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

// sweep removes what has expired, unless it did so within the interval before. c.mu is held.
func (c *Cache) sweep(now time.Time, interval time.Duration) {
	if now.Sub(c.swept) < interval {
		return
	}
	for id, e := range c.entries {
		if !now.Before(e.expires) {
			c.remove(id)
		}
	}
	c.swept = now
}
