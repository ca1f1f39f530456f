package redis

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/readingjson"
)

// putChunk is how many devices one run of the script writes. Redis does nothing else meanwhile: about a
// millisecond.
const putChunk = 200

// clockSkew is how far the clocks of several processes may be apart: so long a device stays in the index after its
// value has expired. Readers find no value until then.
const clockSkew = time.Minute

// PutLatest implements iot.LatestCache.
func (c *Cache) PutLatest(ctx context.Context, batch []iot.Reading, ttl time.Duration) (accepted int, err error) {
	now := time.Now()
	for chunk := range slices.Chunk(offersOf(batch, now, ttl), putChunk) {
		keys, args := scriptInput(chunk, now, ttl)
		n, err := c.put.Exec(ctx, c.client, keys, args).AsInt64()
		if err != nil {
			return accepted, fmt.Errorf("put latest readings: %w", err)
		}
		accepted += int(n)
	}
	return accepted, nil
}

// offer is what a batch has for a device.
type offer struct {
	newest  *iot.Reading
	over    int64 // when the time of newest is over, in ms since 1970
	expires int64 // when that of the device's latest arrival is
}

// offersOf returns the newest reading of each device, the first of several of one moment, among those whose time
// is not over.
func offersOf(batch []iot.Reading, now time.Time, ttl time.Duration) []offer {
	offers := make([]offer, 0, len(batch))
	index := make(map[iot.DeviceID]int, len(batch))
	for i := range batch {
		r := &batch[i]
		over := min(r.Received.UnixMilli(), now.UnixMilli()) + ttl.Milliseconds()
		if over <= now.UnixMilli() || r.At.Sub(now) > iot.MaxAhead {
			continue
		}
		j, ok := index[r.Device]
		if !ok {
			index[r.Device] = len(offers)
			offers = append(offers, offer{r, over, over})
			continue
		}
		o := &offers[j]
		if r.At.After(o.newest.At) {
			o.newest, o.over = r, over
		}
		o.expires = max(o.expires, over)
	}
	return offers
}

// scriptInput returns what put.lua takes to write offers.
func scriptInput(offers []offer, now time.Time, ttl time.Duration) (keys, args []string) {
	var text strings.Builder // holds all strings in a few pieces of memory
	text.Grow(256 * len(offers))
	keep := func(b []byte) string {
		start := text.Len()
		text.Write(b)
		return text.String()[start:]
	}
	keys = append(make([]string, 0, 1+len(offers)), indexKey)
	args = append(make([]string, 0, 2+3*len(offers)),
		strconv.FormatInt(now.UnixMilli(), 10), strconv.FormatInt(now.Add(-ttl-clockSkew).UnixMilli(), 10))
	var buf []byte
	for _, o := range offers {
		buf = appendKey(buf[:0], o.newest.Device)
		keys = append(keys, keep(buf))
		for _, ms := range [...]int64{o.over, o.expires} {
			buf = strconv.AppendInt(buf[:0], ms, 10)
			args = append(args, keep(buf))
		}
		buf = readingjson.Append(buf[:0], *o.newest)
		args = append(args, keep(buf))
	}
	return keys, args
}

func appendKey(dst []byte, id iot.DeviceID) []byte {
	return strconv.AppendInt(append(dst, keyPrefix...), int64(id), 10)
}
