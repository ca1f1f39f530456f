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

// PutLatest implements iot.LatestCache.
func (c *Cache) PutLatest(ctx context.Context, batch []iot.Reading, ttl time.Duration) (accepted int, err error) {
	now := time.Now()
	for chunk := range slices.Chunk(newestPerDevice(batch, now, ttl), putChunk) {
		keys, args := c.scriptInput(chunk, now, ttl)
		n, err := c.put.Exec(ctx, c.client, keys, args).AsInt64()
		if err != nil {
			return accepted, fmt.Errorf("put latest readings: %w", err)
		}
		accepted += int(n)
	}
	return accepted, nil
}

// newestPerDevice returns the newest reading of each device, the first of several of one moment, among
// those whose time is not over.
func newestPerDevice(batch []iot.Reading, now time.Time, ttl time.Duration) []*iot.Reading {
	newest := make([]*iot.Reading, 0, len(batch))
	index := make(map[iot.DeviceID]int, len(batch))
	for i := range batch {
		r := &batch[i]
		if expiry(r, ttl) <= now.UnixMilli() {
			continue
		}
		if j, ok := index[r.Device]; !ok {
			index[r.Device] = len(newest)
			newest = append(newest, r)
		} else if r.At.After(newest[j].At) {
			newest[j] = r
		}
	}
	return newest
}

// scriptInput returns what put.lua takes to write readings.
func (c *Cache) scriptInput(readings []*iot.Reading, now time.Time, ttl time.Duration) (keys, args []string) {
	var text strings.Builder // holds all strings in a few pieces of memory
	text.Grow(256 * len(readings))
	keep := func(b []byte) string {
		start := text.Len()
		text.Write(b)
		return text.String()[start:]
	}
	keys = append(make([]string, 0, 1+len(readings)), indexKey)
	args = append(make([]string, 0, 2+2*len(readings)), c.channel, strconv.FormatInt(now.UnixMilli(), 10))
	var buf []byte
	for _, r := range readings {
		buf = appendKey(buf[:0], r.Device)
		keys = append(keys, keep(buf))
		buf = strconv.AppendInt(buf[:0], expiry(r, ttl), 10)
		args = append(args, keep(buf))
		buf = readingjson.Append(buf[:0], *r)
		args = append(args, keep(buf))
	}
	return keys, args
}

func appendKey(dst []byte, id iot.DeviceID) []byte {
	return strconv.AppendInt(append(dst, keyPrefix...), int64(id), 10)
}

// expiry is when r's time is over, in milliseconds since 1970.
func expiry(r *iot.Reading, ttl time.Duration) int64 { return r.Received.Add(ttl).UnixMilli() }
