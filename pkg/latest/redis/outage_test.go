package redis_test

import (
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/latest/redis"
	"github.com/telltale-iot/telltale/pkg/proxytest"
)

// maxWait is how long anything may take, whatever the server does.
const maxWait = 5 * time.Second

// calls are all that a cache can be asked for.
func calls(t *testing.T, c *redis.Cache) map[string]func() error {
	return map[string]func() error{
		"Check": func() error { return c.Check(t.Context()) },
		"PutLatest": func() error {
			_, err := c.PutLatest(t.Context(), []iot.Reading{reading(1, 1)}, time.Minute)
			return err
		},
		"Latest":    func() error { _, err := c.Latest(t.Context(), 1); return err },
		"AllLatest": func() error { _, err := c.AllLatest(t.Context()); return err },
	}
}

// checkAllFail makes all calls at once and expects each to fail in time.
func checkAllFail(t *testing.T, c *redis.Cache) {
	t.Helper()
	var all sync.WaitGroup
	for name, call := range calls(t, c) {
		all.Go(func() {
			start := time.Now()
			err := call()
			if took := time.Since(start); err == nil || took > maxWait {
				t.Errorf("%s: %v after %v", name, err, took)
			}
		})
	}
	all.Wait()
}

// awaitBack waits until c answers again, which must happen by itself.
func awaitBack(t *testing.T, c *redis.Cache) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); c.Check(t.Context()) != nil; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not back within 30 s: %v", c.Check(t.Context()))
		}
	}
	for name, call := range calls(t, c) {
		if err := call(); err != nil && name != "Latest" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOutage(t *testing.T) {
	t.Run("a server that accepts and never answers makes calls fail within 5 s", func(t *testing.T) {
		silent := listen(t, "127.0.0.1:0")
		checkAllFail(t, open(t, parse(t, "redis://"+silent.Addr().String())))
	})

	t.Run("a server that is away at the start is used once it is there", func(t *testing.T) {
		server := serverURL(t)
		proxy := proxytest.New(t, server.Host)
		proxy.Cut()
		c := open(t, at(server, proxy.Addr()))
		checkAllFail(t, c)
		proxy.Reopen()
		awaitBack(t, c)
	})

	t.Run("a server that hangs makes calls fail within 5 s, and is used once it is back", func(t *testing.T) {
		server := serverURL(t)
		proxy := proxytest.New(t, server.Host)
		c := open(t, at(server, proxy.Addr()))
		put(t, c, reading(1, 1))
		proxy.Hang()
		checkAllFail(t, c)
		proxy.Resume()
		awaitBack(t, c)
	})

	t.Run("a server that drops its connections is used again", func(t *testing.T) {
		server := serverURL(t)
		proxy := proxytest.New(t, server.Host)
		c := open(t, at(server, proxy.Addr()))
		put(t, c, reading(1, 1))
		proxy.Cut()
		proxy.Reopen()
		awaitBack(t, c)
	})
}

// at is u with the address addr.
func at(u *url.URL, addr string) *url.URL {
	moved := *u
	moved.Host = addr
	return &moved
}

func listen(t *testing.T, addr string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}
