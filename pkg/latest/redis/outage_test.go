package redis_test

import (
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/latest/redis"
)

// patience is how long anything may take, whatever the server does.
const patience = 5 * time.Second

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
			if took := time.Since(start); err == nil || took > patience {
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
		free := listen(t, "127.0.0.1:0")
		addr := free.Addr().String()
		_ = free.Close()

		c := open(t, at(server, addr))
		checkAllFail(t, c)
		newProxy(t, addr, server.Host)
		awaitBack(t, c)
	})

	t.Run("a server that hangs makes calls fail within 5 s, and is used once it is back", func(t *testing.T) {
		server := serverURL(t)
		p := newProxy(t, "127.0.0.1:0", server.Host)
		c := open(t, at(server, p.addr()))
		put(t, c, reading(1, 1))
		p.hang()
		checkAllFail(t, c)
		p.resume()
		awaitBack(t, c)
	})

	t.Run("a server that drops its connections is used again", func(t *testing.T) {
		server := serverURL(t)
		p := newProxy(t, "127.0.0.1:0", server.Host)
		c := open(t, at(server, p.addr()))
		put(t, c, reading(1, 1))
		p.drop()
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

// proxy passes connections on to a server, and can hang or drop them.
type proxy struct {
	listener net.Listener
	server   string
	flow     sync.RWMutex // held for writing while everything hangs

	mu    sync.Mutex
	conns []net.Conn
}

func newProxy(t *testing.T, addr, server string) *proxy {
	t.Helper()
	p := &proxy{listener: listen(t, addr), server: server}
	go p.accept()
	t.Cleanup(p.drop)
	return p
}

func (p *proxy) addr() string { return p.listener.Addr().String() }
func (p *proxy) hang()        { p.flow.Lock() }
func (p *proxy) resume()      { p.flow.Unlock() }

func (p *proxy) drop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.conns = nil
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.server)
		if err != nil {
			_ = client.Close()
			continue
		}
		p.mu.Lock()
		p.conns = append(p.conns, client, server)
		p.mu.Unlock()
		go p.pass(server, client)
		go p.pass(client, server)
	}
}

// pass copies until one side closes, then closes both.
func (p *proxy) pass(dst, src net.Conn) {
	defer func() { _ = dst.Close(); _ = src.Close() }()
	buf := make([]byte, 64<<10)
	for {
		n, err := src.Read(buf)
		p.flow.RLock()
		_, writeErr := dst.Write(buf[:n])
		p.flow.RUnlock()
		if err != nil || writeErr != nil {
			return
		}
	}
}
