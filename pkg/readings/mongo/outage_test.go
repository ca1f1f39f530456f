package mongo_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/mongodb/mongodbtest"
	"github.com/telltale-iot/telltale/pkg/readings"
)

// listen returns a listener on a free port, closed when t ends.
func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// wantOutage checks that every call on store fails within limit.
func wantOutage(t *testing.T, store readings.Store, limit time.Duration) {
	t.Helper()
	batch := []iot.Reading{reading(1, 0, 20)}
	for name, call := range map[string]func(context.Context) error{
		"Prepare":        store.Prepare,
		"Check":          store.Check,
		"InsertReadings": func(ctx context.Context) error { _, err := store.InsertReadings(ctx, batch); return err },
		"FindReadings": func(ctx context.Context) error {
			_, err := store.FindReadings(ctx, iot.ReadingQuery{Limit: 1})
			return err
		},
		"CountReadings": func(ctx context.Context) error { _, err := store.CountReadings(ctx); return err },
	} {
		began := time.Now()
		err := call(t.Context())
		if took := time.Since(began); err == nil || took > limit {
			t.Errorf("%s: error %v after %v, want one within %v", name, err, took, limit)
		}
		if errors.Is(err, iot.ErrConflict) || errors.Is(err, iot.ErrNotFound) || errors.Is(err, iot.ErrInvalid) {
			t.Errorf("%s: %v does not look like an outage", name, err)
		}
	}
}

func TestOutage(t *testing.T) {
	t.Run("a call fails in bounded time where nothing listens", func(t *testing.T) {
		t.Parallel()
		l := listen(t)
		store := openURI(t, "mongodb://"+l.Addr().String()+"/iot?timeoutMS=300")
		_ = l.Close()
		wantOutage(t, store, 3*time.Second)
	})
	t.Run("a call fails in bounded time where nobody answers", func(t *testing.T) {
		t.Parallel()
		store := openURI(t, "mongodb://"+listen(t).Addr().String()+"/iot?timeoutMS=300")
		wantOutage(t, store, 3*time.Second)
	})
	t.Run("that time is 5 s unless the URI says otherwise", func(t *testing.T) {
		t.Parallel()
		store := openURI(t, "mongodb://"+listen(t).Addr().String()+"/iot?timeoutMS=0")
		began := time.Now()
		_, err := store.InsertReadings(t.Context(), []iot.Reading{reading(1, 0, 20)})
		if took := time.Since(began); err == nil || took < 4*time.Second || took > 8*time.Second {
			t.Errorf("error %v after %v", err, took)
		}
	})
	t.Run("Check says within 3 s why there is no server", func(t *testing.T) {
		t.Parallel()
		l := listen(t)
		store := openURI(t, "mongodb://"+l.Addr().String()+"/iot")
		_ = l.Close()
		began := time.Now()
		err := store.Check(t.Context())
		if took := time.Since(began); err == nil || !strings.Contains(err.Error(), "connection refused") || took > 3*time.Second {
			t.Errorf("error %v after %v", err, took)
		}
	})
	t.Run("the store goes on when the server is back", func(t *testing.T) {
		t.Parallel()
		store, proxy := behindProxy(t, "")
		wantInserted(t, store, []iot.Reading{reading(1, 0, 20)}, iot.Inserted{New: 1})
		proxy.set(refuse)
		if _, err := store.InsertReadings(t.Context(), []iot.Reading{reading(1, 1, 20)}); err == nil {
			t.Fatal("an insert without a server succeeded")
		}
		proxy.set(forward)
		repeat(t, store, reading(1, 1, 20))
		wantInserted(t, store, []iot.Reading{reading(1, 0, 20), reading(1, 1, 20)}, iot.Inserted{Duplicates: 2})
	})
	t.Run("an insert whose answer was lost is recognised when it is repeated", func(t *testing.T) {
		t.Parallel()
		store, proxy := behindProxy(t, "?timeoutMS=1000")
		batch := []iot.Reading{reading(1, 0, 20), reading(2, 0, 21)}
		wantInserted(t, store, batch[:1], iot.Inserted{New: 1})
		proxy.set(swallowAnswers)
		if _, err := store.InsertReadings(t.Context(), batch); err == nil {
			t.Fatal("an insert without an answer succeeded")
		}
		proxy.set(forward)
		if inserted := repeat(t, store, batch...); inserted.Duplicates != 2 {
			t.Errorf("the repetition came to %+v", inserted)
		}
	})
}

// repeat inserts batch as callers do, until that succeeds. It takes its time only while no server is found.
func repeat(t *testing.T, store readings.Store, batch ...iot.Reading) iot.Inserted {
	t.Helper()
	var err error
	for range 10 {
		var inserted iot.Inserted
		if inserted, err = store.InsertReadings(t.Context(), batch); err == nil {
			return inserted
		}
	}
	t.Fatal(err)
	return iot.Inserted{}
}

// TestCrashInConflictResolution cuts an insert off behind each of its commands, as a crash does, and repeats it.
func TestCrashInConflictResolution(t *testing.T) {
	mongodbtest.Server(t) // or there is nothing to crash
	stamped := func(origin uint64, ms int) iot.Reading {
		r := reading(1, 0, 20)
		r.At = r.At.Add(time.Duration(ms) * time.Millisecond)
		r.Stamped, r.Origin = iot.StampServer, origin
		return r
	}
	own := func(ms int) iot.Reading {
		r := stamped(0, ms)
		r.Stamped = iot.StampDevice
		return r
	}
	before := []iot.Reading{stamped(1, 0), stamped(2, 0), stamped(3, 5)} // the second moved
	batch := []iot.Reading{own(0), stamped(4, 0), own(1), stamped(5, 1), stamped(1, 0), own(5), stamped(2, 0)}
	const most = 20 // commands
	var ended atomic.Int32
	t.Run("a repetition stores each reading once", func(t *testing.T) {
		for n := range most {
			t.Run(fmt.Sprintf("after %d commands", n+1), func(t *testing.T) {
				t.Parallel()
				store, proxy := behindProxy(t, "?timeoutMS=1000")
				wantInserted(t, store, before, iot.Inserted{New: len(before)})
				proxy.endAfter(n + 1)
				if _, err := store.InsertReadings(t.Context(), batch); err != nil {
					ended.Add(1)
				}
				proxy.endAfter(0)
				repeat(t, store, batch...)
				wantInserted(t, store, append(before, batch...), iot.Inserted{Duplicates: len(before) + len(batch)})
				page, err := store.FindReadings(t.Context(), iot.ReadingQuery{Limit: 100})
				if err != nil {
					t.Fatal(err)
				}
				origins := map[uint64]int{}
				for _, r := range page.Readings {
					origins[r.Origin]++
				}
				if diff := cmp.Diff(map[uint64]int{0: 3, 1: 1, 2: 1, 3: 1, 4: 1, 5: 1}, origins); diff != "" {
					t.Errorf("how often an origin is stored (-want +got):\n%s", diff)
				}
			})
		}
	})
	if n := ended.Load(); n < 8 || n == most {
		t.Errorf("%d of %d inserts were cut off, want some and not all", n, most)
	}
}

// behindProxy returns a prepared store that reaches the server through a proxy.
func behindProxy(t *testing.T, parameters string) (readings.Store, *proxy) {
	t.Helper()
	_, uri := mongodbtest.Database(t)
	u, err := url.Parse(uri)
	if err != nil {
		t.Fatal(err)
	}
	p := startProxy(t, u.Host)
	u.Host = p.listener.Addr().String()
	store := openURI(t, u.String()+parameters)
	if err := store.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	return store, p
}

// proxy stands between a client and a server.
type proxy struct {
	listener net.Listener
	server   string
	wg       sync.WaitGroup

	mu     sync.Mutex
	mode   mode
	conns  map[net.Conn]bool
	before int // commands about readings from now on, after which answers are swallowed; 0: never
}

type mode int

const (
	forward        mode = iota
	swallowAnswers      // what the server says is lost
	refuse              // connections are closed
)

func startProxy(t *testing.T, server string) *proxy {
	p := &proxy{listener: listen(t), server: server, conns: map[net.Conn]bool{}}
	p.wg.Go(p.serve)
	t.Cleanup(func() {
		_ = p.listener.Close()
		p.set(refuse)
		p.wg.Wait()
	})
	return p
}

// set changes what happens to bytes and connections from now on. Entering refuse, and leaving swallowAnswers,
// closes the connections there are.
func (p *proxy) set(m mode) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if m == refuse || p.mode == swallowAnswers {
		for conn := range p.conns {
			_ = conn.Close()
		}
		clear(p.conns)
	}
	p.mode = m
}

// add notes the connections of a client. It reports false, and closes them, while clients are refused.
func (p *proxy) add(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range conns {
		if p.mode == refuse {
			_ = conn.Close()
		} else {
			p.conns[conn] = true
		}
	}
	return p.mode != refuse
}

// endAfter swallows answers after so many more commands about readings, or forwards everything for 0.
func (p *proxy) endAfter(commands int) {
	p.set(forward)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.before = commands
}

func (p *proxy) serve() {
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
		if p.add(client, server) {
			p.wg.Go(func() { p.copy(server, client, false); _ = server.Close() })
			p.wg.Go(func() { p.copy(client, server, true); _ = client.Close() })
		}
	}
}

func (p *proxy) copy(to io.Writer, from io.Reader, answers bool) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		p.mu.Lock()
		if !answers && p.before > 0 && bytes.Contains(buf[:n], []byte("\x09\x00\x00\x00readings\x00")) {
			if p.before--; p.before == 0 {
				p.mode = swallowAnswers
			}
		}
		swallow := answers && p.mode == swallowAnswers
		p.mu.Unlock()
		if swallow {
			continue
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}
