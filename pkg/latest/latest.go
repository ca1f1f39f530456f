// Package latest opens the cache of each device's newest reading.
package latest

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/latest/memory"
	"github.com/telltale-iot/telltale/pkg/latest/redis"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
)

// Cache keeps latest readings. It is safe for concurrent use. While its server is away every call fails
// and may be repeated; the cache goes on by itself when the server is back.
type Cache interface {
	iot.LatestCache
	// Check is nil when the cache answers.
	Check(ctx context.Context) error
	Close() error
}

// Open returns the cache that url names: redis://, rediss://, or memory:// (a new, empty one in this
// process). files are for TLS, which is rediss://. It fails where the URL makes no sense, and does not wait
// for a server.
func Open(rawURL string, files tlsfiles.Files) (Cache, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		// The error of net/url quotes the URL, and with it the password.
		return nil, fmt.Errorf("open latest cache: %w", errors.Unwrap(err))
	}
	switch u.Scheme {
	case "redis", "rediss":
		c, err := redis.Open(u, files)
		if err != nil {
			return nil, fmt.Errorf("open latest cache: %w", err) // not c: a nil pointer in an interface is not nil
		}
		return c, nil
	case "memory":
		return memory.New(), nil
	default:
		return nil, fmt.Errorf("open latest cache: no backend for %q, only redis, rediss and memory", u.Scheme)
	}
}
