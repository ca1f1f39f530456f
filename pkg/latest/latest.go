// Package latest opens the cache of each device's latest value: the newest of each metric and attribute.
package latest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/telltale-iot/telltale/pkg/doctor"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/latest/memory"
	"github.com/telltale-iot/telltale/pkg/latest/redis"
	"github.com/telltale-iot/telltale/pkg/settings"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
)

// Cache keeps latest readings. It is safe for concurrent use. While its server is away every call fails
// and may be repeated; the cache goes on by itself when the server is back.
type Cache interface {
	iot.LatestCache
	// Complete reports whether the cache still has all that it was given since Restore last succeeded:
	// false for a new one, for one that was emptied, and for a server that was replaced by another.
	Complete(ctx context.Context) (bool, error)
	// Restore calls fill, which offers the cache again what it may have lost, and makes it complete. It
	// fails where fill does, and where the cache was emptied meanwhile; the caller repeats it then.
	Restore(ctx context.Context, fill func(ctx context.Context) error) error
	// Check is nil when the cache answers.
	Check(ctx context.Context) error
	Close() error
}

// TTL is the setting of how long a latest value is kept.
type TTL struct {
	TTL time.Duration `env:"LATEST_TTL" default:"60s" help:"How long after its arrival a reading counts as recent, and its device as online, but for devices with an offline_after of their own."`
}

// Validate is called when the settings are read.
func (t TTL) Validate() error {
	if t.TTL <= 0 {
		return &settings.Error{Variable: "LATEST_TTL", Value: t.TTL.String(), Err: errors.New("must be more than 0")}
	}
	return nil
}

// Open returns the cache that url names: redis://, rediss://, or memory:// (a new, empty one in this
// process). files are for TLS, which is rediss://. It fails where the URL makes no sense, and does not wait
// for a server.
func Open(rawURL string, files tlsfiles.Files) (Cache, error) {
	u, err := url.Parse(rawURL)
	if err != nil { // not err: what it quotes may be part of a password
		return nil, errors.New("open latest cache: the URL cannot be parsed: it " + redis.Form)
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
	default: // without the URL, which may hold a password
		return nil, errors.New("open latest cache: the URL must start with redis:// or rediss://")
	}
}

// Examine looks at the server that url, the value of variable, names.
func Examine(variable, rawURL string, files tlsfiles.Files) doctor.Check {
	return doctor.Check{Part: variable, Look: func(ctx context.Context) []doctor.Finding {
		cache, err := Open(rawURL, files)
		if err != nil {
			return doctor.Fail(err.Error(), "correct "+variable)
		}
		defer func() { _ = cache.Close() }()
		server, ok := cache.(interface {
			Server(context.Context) (doctor.Server, error)
		})
		if !ok {
			return doctor.Fine("latest values are kept in this process")
		}
		return doctor.AskServer(ctx, variable, doctor.Place(rawURL), redis.LeastVersion, server.Server)
	}}
}
