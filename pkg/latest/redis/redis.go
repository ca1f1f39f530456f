// Package redis keeps latest readings in Redis, where other programs may read them too:
//
//	latest:device42     the latest value of device 42, as package readingjson writes it, until it expires
//	latest:window42     the readings that it is made of (window.go), until none of them can count any more
//	latest:online       sorted set of the keys of the devices that are online, by when they expire (ms since 1970)
//	latest:windows      "yes" and the server's run_id when nothing was lost since it was set; see complete.go
//
// Readings are merged here, and written by a script, which the server runs as one step: only where nobody else has
// written in between. So any number of processes may write. A value that Telltale did not write counts as missing and
// is overwritten. One that a Telltale without windows wrote, which kept the newest reading alone, is taken in as a reading.
// That version has its own latest:complete, so that in a rolling update each of the two knows what it has to restore.
//
// The URL names one Redis server, version 6 or newer (behind its address, a provider may fail over). Redis
// Cluster is not supported: the script writes many devices at once. While the server is away or hangs,
// calls fail within 5 s; connections are made again by themselves. Complete reports whether a server has
// lost its data.
package redis

import (
	"context"
	"crypto/tls"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"github.com/telltale-iot/telltale/pkg/doctor"
	"github.com/telltale-iot/telltale/pkg/timeouts"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
)

const (
	keyPrefix   = "latest:device"
	indexKey    = "latest:online"
	completeKey = "latest:windows"
)

// Form says what a URL looks like, to follow "the URL". It has no @, which Redact of package settings would take
// for the end of a password.
const Form = "must look like redis://host:6379/0, with user and password (%-escaped) before the host"

//go:embed put.lua
var putScript string

// Cache is an iot.LatestCache in Redis.
type Cache struct {
	client rueidis.Client
	put    *rueidis.Lua
}

// Open returns the cache at u, redis:// or, with TLS by files, rediss://. It fails where u makes no sense, and
// does not wait for the server.
func Open(u *url.URL, files tlsfiles.Files) (*Cache, error) {
	if files.Set() && u.Scheme != "rediss" {
		return nil, errors.New("files for TLS are given, but the URL does not begin with rediss://")
	}
	option, err := rueidis.ParseURL(u.String())
	if err != nil { // not err: what it quotes may be part of a password
		return nil, errors.New("the URL " + Form)
	}
	if err := check(option); err != nil {
		return nil, err
	}
	option.DisableCache = true // a device is read about as often as it is written
	option.DisableRetry = true // callers decide how long they wait
	option.Dialer.Timeout = timeouts.RedisAnswer
	option.ConnWriteTimeout = timeouts.RedisAnswer

	// NewClient dials, but the client for a single server is of use also when that failed: each call
	// dials until one succeeds. So the first dial is made to fail, at once.
	opened := false
	option.ForceSingleClient = true
	option.DialCtxFn = func(ctx context.Context, addr string, dialer *net.Dialer, config *tls.Config) (net.Conn, error) {
		if !opened {
			return nil, errors.New("not opened yet")
		}
		conn, err := dialer.DialContext(ctx, "tcp", addr)
		if err != nil || config == nil {
			return conn, err
		}
		ctx, cancel := context.WithTimeout(ctx, timeouts.RedisAnswer)
		defer cancel()
		return files.Handshake(ctx, conn, addr)
	}
	client, err := rueidis.NewClient(option)
	if client == nil {
		return nil, err
	}
	opened = true

	return &Cache{client: client, put: rueidis.NewLuaScript(putScript)}, nil
}

// check refuses what rueidis would find out when it connects, or not at all.
func check(option rueidis.ClientOption) error {
	if len(option.InitAddress) != 1 || option.Sentinel.MasterSet != "" {
		return errors.New("only one server is supported, no Redis Cluster or Sentinel")
	}
	_, port, err := net.SplitHostPort(option.InitAddress[0])
	if err != nil {
		return errors.New("the URL " + Form)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return errors.New("the port is not 1 to 65535") // not which: it may be part of a password
	}
	if option.SelectDB < 0 {
		return errors.New("the number of the database is negative")
	}
	return nil
}

// Check is nil when the server answers.
func (c *Cache) Check(ctx context.Context) error {
	if err := c.client.Do(ctx, c.client.B().Ping().Build()).Error(); err != nil {
		return fmt.Errorf("ping redis: %w", err)
	}
	return nil
}

// LeastVersion is the oldest version that does.
const LeastVersion = "6"

// Server asks the server what it is.
func (c *Cache) Server(ctx context.Context) (server doctor.Server, err error) {
	info, err := c.client.Do(ctx, c.client.B().Info().Section("server").Build()).ToString()
	if err != nil {
		return server, err
	}
	for line := range strings.Lines(info) {
		if version, ok := strings.CutPrefix(line, "redis_version:"); ok {
			server.Version = strings.TrimSpace(version)
		}
	}
	clock, err := c.client.Do(ctx, c.client.B().Time().Build()).AsIntSlice()
	if err == nil && len(clock) == 2 {
		server.Clock = time.Unix(clock[0], clock[1]*1000)
	}
	return server, err
}

// Close ends the connections. Later calls fail.
func (c *Cache) Close() error {
	c.client.Close()
	return nil
}
