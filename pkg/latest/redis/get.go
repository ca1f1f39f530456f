package redis

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/redis/rueidis"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/readingjson"
)

// getChunk is how many readings one MGET asks for. Redis does nothing else meanwhile.
const getChunk = 500

// Latest implements iot.LatestCache.
func (c *Cache) Latest(ctx context.Context, id iot.DeviceID) (iot.Reading, error) {
	value, err := c.client.Do(ctx, c.client.B().Get().Key(string(appendKey(nil, id))).Build()).AsBytes()
	if rueidis.IsRedisNil(err) {
		return iot.Reading{}, iot.ErrNotFound
	}
	if err != nil {
		return iot.Reading{}, fmt.Errorf("get latest reading: %w", err)
	}
	r, err := readingjson.Parse(value)
	if err != nil {
		return iot.Reading{}, iot.ErrNotFound // not written by Telltale
	}
	return r, nil
}

// AllLatest implements iot.LatestCache.
func (c *Cache) AllLatest(ctx context.Context) ([]iot.Reading, error) {
	keys, err := c.client.Do(ctx, c.client.B().Zrange().Key(indexKey).Min("0").Max("-1").Build()).AsStrSlice()
	if err != nil {
		return nil, fmt.Errorf("list online devices: %w", err)
	}
	all := make([]iot.Reading, 0, len(keys))
	for chunk := range slices.Chunk(keys, getChunk) {
		values, err := c.client.Do(ctx, c.client.B().Mget().Key(chunk...).Build()).ToArray()
		if err != nil {
			return nil, fmt.Errorf("get latest readings: %w", err)
		}
		for _, v := range values {
			text, err := v.AsBytes()
			if err != nil {
				continue // expired since
			}
			if r, err := readingjson.Parse(text); err == nil {
				all = append(all, r)
			}
		}
	}
	slices.SortFunc(all, func(a, b iot.Reading) int { return cmp.Compare(a.Device, b.Device) })
	return all, nil
}
