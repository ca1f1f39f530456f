package redis

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/rueidis"
)

// What completeKey holds: one of these and the run_id of the server. The key goes with all others when the server
// is emptied or replaced. One that crashes may come back with what it held some time ago, this key included, but
// with another run_id.
const (
	complete = "yes "
	filling  = "filling "
)

var errEmptied = errors.New("it was emptied, or came back with older data, while it was filled")

// Complete implements latest.Cache.
func (c *Cache) Complete(ctx context.Context) (bool, error) {
	state, runID, err := c.state(ctx)
	if err != nil {
		return false, fmt.Errorf("ask whether latest readings are complete: %w", err)
	}
	return state == complete+runID, nil
}

// Restore implements latest.Cache. Several processes may do it at the same time.
func (c *Cache) Restore(ctx context.Context, fill func(context.Context) error) error {
	before, runID, err := c.state(ctx)
	if err == nil && before != filling+runID && before != complete+runID { // else another process has begun before
		err = c.client.Do(ctx, c.client.B().Set().Key(completeKey).Value(filling+runID).Build()).Error()
	}
	if err != nil {
		return fmt.Errorf("begin to restore latest readings: %w", err)
	}
	if err := fill(ctx); err != nil {
		return err
	}
	after, _, err := c.state(ctx)
	if err == nil && after != filling+runID && after != complete+runID {
		err = errEmptied
	}
	if err == nil {
		// Should the server be replaced just now, this is not its run_id.
		err = c.client.Do(ctx, c.client.B().Set().Key(completeKey).Value(complete+runID).Build()).Error()
	}
	if err != nil {
		return fmt.Errorf("restore latest readings: %w", err)
	}
	return nil
}

// state returns what completeKey holds, "" for nothing, and the run_id of the server. It asks for that last: a server that crashes in between has another one.
func (c *Cache) state(ctx context.Context) (value, runID string, err error) {
	value, err = c.client.Do(ctx, c.client.B().Get().Key(completeKey).Build()).ToString()
	if err != nil && !rueidis.IsRedisNil(err) {
		return "", "", err
	}
	info, err := c.client.Do(ctx, c.client.B().Info().Section("server").Build()).ToString()
	for line := range strings.Lines(info) {
		if id, ok := strings.CutPrefix(line, "run_id:"); ok {
			runID = strings.TrimSpace(id)
		}
	}
	return value, runID, err
}
