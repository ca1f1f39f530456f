package latesttest

import (
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/latest"
)

var expiryTests = []test{
	{"an expired reading is gone, and an older one is accepted then", func(t *testing.T, c latest.Cache) {
		const ttl = 300 * time.Millisecond
		r := reading(1, base, 1)
		put(t, c, ttl, r)
		awaitExpiry(t, c, 1, r.Received.Add(ttl))
		checkAll(t, c)

		older := reading(1, base.Add(-time.Hour), 2)
		put(t, c, ttl, older)
		check(t, c, older)
		checkAll(t, c, older)
	}},

	{"the time to live counts from the receipt, not from the put", func(t *testing.T, c latest.Cache) {
		const rest = 300 * time.Millisecond
		r := reading(1, base, 1)
		r.Received = now().Add(rest - long)
		put(t, c, long, r)
		awaitExpiry(t, c, 1, r.Received.Add(long))
	}},

	{"a reading whose time is over is not kept, and takes nothing away", func(t *testing.T, c latest.Cache) {
		over := reading(1, base, 1)
		over.Received = now().Add(-long)
		put(t, c, long, over)
		checkNone(t, c, 1)
		checkAll(t, c)

		want := reading(1, base.Add(-time.Minute), 2)
		put(t, c, long, want, over)
		check(t, c, want)
		put(t, c, long, over)
		check(t, c, want)
	}},

	{"a newer reading brings its own expiry", func(t *testing.T, c latest.Cache) {
		const ttl = 300 * time.Millisecond
		put(t, c, long, reading(1, base, 1))
		r := reading(1, base.Add(time.Second), 2)
		put(t, c, ttl, r)
		awaitExpiry(t, c, 1, r.Received.Add(ttl))
	}},

	{"older readings that come later keep a device online, and the newest of them is shown when the time of the newer one is over", func(t *testing.T, c latest.Cache) {
		const ttl = 2 * time.Second // long enough for the second put to come in time
		newer := reading(1, base, 1)
		put(t, c, ttl, newer)
		time.Sleep(ttl / 2)
		older := reading(1, base.Add(-time.Second), 2)
		put(t, c, ttl, older, reading(1, base.Add(-time.Minute), 3))
		check(t, c, newer)
		time.Sleep(time.Until(newer.Received.Add(ttl + ttl/8)))
		check(t, c, newer) // nothing has come since
		last := reading(1, base.Add(-time.Hour), 4)
		put(t, c, ttl, last)
		check(t, c, older)
		checkAll(t, c, older)
		awaitExpiry(t, c, 1, last.Received.Add(ttl))
	}},

	{"a reading that was received before prolongs nothing", func(t *testing.T, c latest.Cache) {
		const ttl = 2 * time.Second
		r := reading(1, base, 1)
		put(t, c, ttl, r)
		before := reading(1, base.Add(-time.Second), 2)
		before.Received = r.Received.Add(-ttl / 2)
		put(t, c, ttl, before, r)
		awaitExpiry(t, c, 1, r.Received.Add(ttl))
	}},

	{"a receipt in the future is now", func(t *testing.T, c latest.Cache) {
		const ttl = time.Second
		r := reading(1, base, 1)
		begin := now()
		r.Received = begin.AddDate(0, 0, 1)
		put(t, c, ttl, r)
		check(t, c, r)
		awaitExpiry(t, c, 1, begin.Add(ttl))
	}},

	{"a reading of tomorrow is not kept, and pins nothing", func(t *testing.T, c latest.Cache) {
		for _, ahead := range []time.Duration{iot.MaxAhead + time.Minute, 24 * time.Hour, 30 * 24 * time.Hour} {
			put(t, c, long, reading(1, now().Add(ahead), 1))
			checkNone(t, c, 1)
		}
		want := reading(1, now(), 2)
		put(t, c, long, reading(1, now().AddDate(0, 0, 1), 3), want, reading(1, now().AddDate(0, 0, 2), 4))
		check(t, c, want)
	}},

	{"all readings are without those that expired", func(t *testing.T, c latest.Cache) {
		const ttl = 300 * time.Millisecond
		short, stays := reading(1, base, 1), reading(2, base, 2)
		put(t, c, long, stays)
		put(t, c, ttl, short)
		awaitExpiry(t, c, 1, short.Received.Add(ttl))
		checkAll(t, c, stays)
	}},

	{"a device whose clock was ahead is not stuck: its reading expires like any other", func(t *testing.T, c latest.Cache) {
		const ttl = 300 * time.Millisecond
		ahead := reading(1, now().Add(iot.MaxAhead), 1)
		put(t, c, ttl, ahead)
		put(t, c, ttl, reading(1, now(), 2))
		awaitExpiry(t, c, 1, ahead.Received.Add(ttl))
		want := reading(1, now(), 3)
		put(t, c, ttl, want)
		check(t, c, want)
	}},
}
