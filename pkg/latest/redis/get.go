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

// subscriberBuffer is how many changes a subscriber may lag behind before it is cut off.
const subscriberBuffer = 1024

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

// Subscribe implements iot.LatestCache. Each subscription has a connection of its own, so that a subscriber
// that lags holds up nobody else.
func (c *Cache) Subscribe(ctx context.Context) (<-chan iot.Reading, error) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(c.closing, cancel)

	changes := make(chan iot.Reading, subscriberBuffer)
	subscribed := make(chan struct{}, 1)
	ended := make(chan error, 1)
	c.subscriptions.Go(func() {
		defer close(changes)
		defer cancel()
		defer stop()
		conn, release := c.client.Dedicate()
		defer release()
		defer conn.Close()

		receiving := rueidis.WithOnSubscriptionHook(ctx, func(rueidis.PubSubSubscription) {
			select {
			case subscribed <- struct{}{}:
			default:
			}
		})
		ended <- conn.Receive(receiving, conn.B().Subscribe().Channel(c.channel).Build(), func(m rueidis.PubSubMessage) {
			r, err := readingjson.Parse([]byte(m.Message))
			if err != nil || ctx.Err() != nil {
				return // not written by Telltale, or cut off
			}
			select {
			case changes <- r:
			default:
				cancel() // it lags too far behind
			}
		})
	})

	select {
	case <-subscribed:
		return changes, nil
	case err := <-ended:
		return nil, fmt.Errorf("subscribe to latest readings: %w", err)
	}
}
