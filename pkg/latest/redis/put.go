package redis

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/latest/internal/window"
)

// putChunk is how many devices one run of the script writes. Redis does nothing else meanwhile: a few milliseconds.
const putChunk = 200

// maxReplyBytes is how much one run of the script returns of what devices have, or what one device has.
const maxReplyBytes = 1 << 20

// clockSkew is how far the clocks of several processes may be apart: so long a device stays in the index after its
// value has expired, and a time to live longer for values of before there were windows. Readers find no value until then.
const clockSkew = time.Minute

// PutLatest implements iot.LatestCache. What a batch has for a device is offered first as if nothing were kept of it: the
// script sees whether it takes the place of what is kept, as with most devices, whose readings all have the same members.
// Else it returns what is kept; both are merged here and offered again, until nobody else has written in between.
func (c *Cache) PutLatest(ctx context.Context, batch []iot.Reading, ttl time.Duration) (accepted int, err error) {
	for chunk := range slices.Chunk(offersOf(batch, time.Now(), ttl), putChunk) {
		for len(chunk) > 0 {
			var n int
			if chunk, n, err = c.offer(ctx, chunk, ttl); err != nil {
				return accepted, fmt.Errorf("put latest values: %w", err)
			}
			accepted += n
		}
	}
	return accepted, nil
}

// offer has the script write offers, and returns those that are to be offered again.
func (c *Cache) offer(ctx context.Context, offers []offer, ttl time.Duration) (again []offer, accepted int, err error) {
	now := time.Now()
	keys, args := scriptInput(offers, now, ttl)
	reply, err := c.put.Exec(ctx, c.client, keys, args).ToArray()
	if err != nil {
		return nil, 0, err
	}
	outcomes, err := reply[0].ToString()
	if err != nil {
		return nil, 0, err
	}
	again, reply = offers[:0], reply[1:]
	for i, o := range offers {
		switch outcomes[i] {
		case '1': // written
			if o.isNew {
				accepted++
			}
		case '2': // there was no room for the answer
			again = append(again, o)
		case '3': // something else is kept
			k, err := parseKept(reply[0], now)
			if err != nil {
				return nil, 0, err
			}
			reply = reply[1:]
			if o.merge(k, now, ttl) {
				again = append(again, o)
			}
		}
	}
	return again, accepted, nil
}

// kept is what is kept of a device, as the script returns it.
type kept struct {
	state         string // of it
	window, value []byte
	expires       time.Time // the value
}

func parseKept(reply rueidis.RedisMessage, now time.Time) (k kept, err error) {
	members, err := reply.ToArray()
	if err != nil {
		return kept{}, err
	}
	if k.state, err = members[0].ToString(); err != nil {
		return kept{}, err
	}
	if k.window, err = members[1].AsBytes(); err != nil {
		return kept{}, err
	}
	if k.value, err = members[2].AsBytes(); err != nil {
		return kept{}, err
	}
	ms, err := members[3].AsInt64()
	k.expires = now.Add(time.Duration(ms) * time.Millisecond)
	return k, err
}

// offer is what is to be kept of a device.
type offer struct {
	device iot.DeviceID
	batch  window.Window // what a batch has of it
	isNew  bool          // a reading whose own time is not over adds to what is kept

	// What there is when other than that is kept: that in short, and both together.
	state  string
	merged *window.Window
}

// offersOf returns an offer for each device of batch, of the readings that may count.
func offersOf(batch []iot.Reading, now time.Time, ttl time.Duration) []offer {
	now = now.UTC().Truncate(time.Millisecond)
	offers := make([]offer, 0, len(batch))
	index := make(map[iot.DeviceID]int, len(batch))
	for i := range batch {
		one := batch[i : i+1 : i+1]
		if one[0].Received.After(now) {
			one = slices.Clone(one)
			one[0].Received = now
		}
		r := &one[0]
		if !r.Received.After(now.Add(-2*ttl)) || r.At.Sub(now) > iot.MaxAhead {
			continue
		}
		j, ok := index[r.Device]
		if !ok {
			index[r.Device] = len(offers)
			offers = append(offers, offer{
				device: r.Device, isNew: r.Received.After(now.Add(-ttl)),
				batch: window.Window{Newest: r.Received, Readings: one},
			})
			continue
		}
		o := &offers[j]
		if len(o.batch.Readings) == 1 {
			o.batch.Readings = slices.Clone(o.batch.Readings) // it may be in batch, which is not ours
		}
		o.add(&o.batch, *r, now, ttl)
	}
	return offers
}

func (o *offer) add(w *window.Window, r iot.Reading, now time.Time, ttl time.Duration) (changed bool) {
	changed = w.Add(r, ttl)
	o.isNew = o.isNew || changed && r.Received.After(now.Add(-ttl))
	return changed
}

// merge makes o.merged, and reports whether it has something that is not kept yet.
func (o *offer) merge(k kept, now time.Time, ttl time.Duration) (changed bool) {
	w, value := parseWindow(k.window)
	if !w.Newest.Before(now.Add(ttl)) { // by a clock that was ahead: nothing would count until then
		w, value = window.Window{}, nil
	}
	if !w.Newest.Add(ttl).After(now) {
		value = nil // has expired
	}
	if changed = !bytes.Equal(k.value, value); changed {
		arrived := k.expires.Add(-ttl).UTC().Truncate(time.Millisecond)
		adopt(&w, k.value, arrived, now, ttl)
	}
	o.isNew = false
	for _, r := range o.batch.Readings {
		changed = o.add(&w, r, now, ttl) || changed
	}
	o.state, o.merged = k.state, &w
	return changed
}

// scriptInput returns what put.lua takes to write offers.
func scriptInput(offers []offer, now time.Time, ttl time.Duration) (keys, args []string) {
	var text strings.Builder // holds all strings in a few pieces of memory
	keep := func(b []byte) string {
		if text.Cap()-text.Len() < len(b) {
			text = strings.Builder{} // the strings in the one before stay
			text.Grow(max(len(b), 256*len(offers)))
		}
		start := text.Len()
		text.Write(b)
		return text.String()[start:]
	}
	keys = append(make([]string, 0, 1+len(offers)), indexKey)
	args = append(make([]string, 0, 4+2*len(offers)),
		strconv.FormatInt(now.UnixMilli(), 10), strconv.FormatInt(ttl.Milliseconds(), 10),
		strconv.FormatInt(now.Add(-ttl-clockSkew).UnixMilli(), 10), strconv.Itoa(maxReplyBytes))
	var buf []byte
	for i := range offers {
		o := &offers[i]
		w := o.merged
		if w == nil {
			w = &o.batch
		}
		buf = appendKey(buf[:0], o.device)
		keys = append(keys, keep(buf))
		args = append(args, o.state)
		buf = appendWindow(buf[:0], w)
		args = append(args, keep(buf))
	}
	return keys, args
}

func appendKey(dst []byte, id iot.DeviceID) []byte {
	return strconv.AppendInt(append(dst, keyPrefix...), int64(id), 10)
}
