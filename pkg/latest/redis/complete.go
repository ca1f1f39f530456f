package redis

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/rueidis"
)

// What completeKey holds. The key goes with all others when the server is emptied or replaced.
const (
	complete = "yes"
	filling  = "filling"
)

var errEmptied = errors.New("it was emptied while it was filled")

// Complete implements latest.Cache.
func (c *Cache) Complete(ctx context.Context) (bool, error) {
	value, err := c.client.Do(ctx, c.client.B().Get().Key(completeKey).Build()).ToString()
	if err != nil && !rueidis.IsRedisNil(err) {
		return false, fmt.Errorf("ask whether latest readings are complete: %w", err)
	}
	return value == complete, nil
}

// Restore implements latest.Cache. Several processes may do it at the same time.
func (c *Cache) Restore(ctx context.Context, fill func(context.Context) error) error {
	err := c.client.Do(ctx, c.client.B().Set().Key(completeKey).Value(filling).Nx().Build()).Error()
	if err != nil && !rueidis.IsRedisNil(err) { // nil: another process has begun before
		return fmt.Errorf("begin to restore latest readings: %w", err)
	}
	if err := fill(ctx); err != nil {
		return err
	}
	err = c.client.Do(ctx, c.client.B().Set().Key(completeKey).Value(complete).Xx().Build()).Error()
	if rueidis.IsRedisNil(err) { // the key is gone, and what was filled in before that
		err = errEmptied
	}
	if err != nil {
		return fmt.Errorf("restore latest readings: %w", err)
	}
	return nil
}
