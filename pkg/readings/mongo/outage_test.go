package mongo_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/mongodb/mongodbtest"
	"github.com/telltale-iot/telltale/pkg/proxytest"
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
		store, proxy := behindProxy(t)
		wantInserted(t, store, []iot.Reading{reading(1, 0, 20)}, iot.Inserted{New: 1})
		proxy.Cut()
		if _, err := store.InsertReadings(t.Context(), []iot.Reading{reading(1, 1, 20)}); err == nil {
			t.Fatal("an insert without a server succeeded")
		}
		proxy.Reopen()
		repeat(t, store, reading(1, 1, 20))
		wantInserted(t, store, []iot.Reading{reading(1, 0, 20), reading(1, 1, 20)}, iot.Inserted{Duplicates: 2})
	})
	t.Run("an insert whose answer was lost is recognised when it is repeated", func(t *testing.T) {
		t.Parallel()
		store, proxy := behindProxy(t)
		batch := []iot.Reading{reading(1, 0, 20), reading(2, 0, 21)}
		wantInserted(t, store, batch[:1], iot.Inserted{New: 1})
		if err := cutOff(t, store, batch, proxy, isInsert); err == nil {
			t.Fatal("an insert without an answer succeeded")
		}
		if inserted := repeat(t, store, batch...); inserted.Duplicates != 2 {
			t.Errorf("the repetition came to %+v", inserted)
		}
	})
}

// isInsert reports whether a request is the command of an insert.
func isInsert(request []byte) bool { return bytes.Contains(request, []byte("\x02insert\x00")) }

// cutOff inserts batch, as one does who ends when the server has answered the request for which at returns true: the answer
// is lost, and the connections with it. It returns nil where the insert ends before that.
func cutOff(t *testing.T, store readings.Store, batch []iot.Reading, proxy *proxytest.Proxy, at func(request []byte) bool) error {
	t.Helper()
	ctx, end := context.WithCancel(t.Context())
	defer end()
	proxy.HangResponses(at)
	go func() {
		select {
		case <-proxy.Stalled():
			end()
		case <-ctx.Done():
		}
	}()
	_, err := store.InsertReadings(ctx, batch)
	proxy.Cut()
	proxy.Reopen()
	return err
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
	voltage := func(ms int) iot.Reading {
		r := own(ms)
		r.Metrics = []iot.Metric{{Name: "voltage", Value: 3.3}}
		return r
	}
	before := []iot.Reading{stamped(1, 0), stamped(2, 0), stamped(3, 5), own(20)} // the second moved
	batch := []iot.Reading{
		own(0), stamped(4, 0), own(1), stamped(5, 1), stamped(1, 0), own(5), stamped(2, 0),
		voltage(5), voltage(20), own(30), voltage(30), // merged: where another one makes room, with what is stored, with each other
	}
	const most = 28 // commands
	var ended atomic.Int32
	t.Run("a repetition stores each reading once", func(t *testing.T) {
		for n := range most {
			t.Run(fmt.Sprintf("after %d commands", n+1), func(t *testing.T) {
				t.Parallel()
				store, proxy := behindProxy(t)
				wantInserted(t, store, before, iot.Inserted{New: len(before)})
				left := n + 1
				err := cutOff(t, store, batch, proxy, func(request []byte) bool {
					if bytes.Contains(request, []byte("\x09\x00\x00\x00readings\x00")) {
						left--
					}
					return left == 0
				})
				if err != nil {
					ended.Add(1)
				}
				repeat(t, store, batch...)
				if inserted := repeat(t, store, append(before, batch...)...); inserted.Duplicates != len(before)+len(batch) {
					t.Errorf("the last repetition came to %+v", inserted)
				}
				page, err := store.FindReadings(t.Context(), iot.ReadingQuery{Limit: 100})
				if err != nil {
					t.Fatal(err)
				}
				origins, members := map[uint64]int{}, map[int]int{}
				for _, r := range page.Readings {
					origins[r.Origin]++
					if r.Origin == 0 {
						members[r.At.Nanosecond()/1e6] = len(r.Metrics)
					}
				}
				if diff := cmp.Diff(map[uint64]int{0: 5, 1: 1, 2: 1, 3: 1, 4: 1, 5: 1}, origins); diff != "" {
					t.Errorf("how often an origin is stored (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(map[int]int{0: 2, 1: 2, 5: 3, 20: 3, 30: 3}, members); diff != "" {
					t.Errorf("how many metrics are stored, by millisecond (-want +got):\n%s", diff)
				}
			})
		}
	})
	if n := ended.Load(); n < 8 || n == most {
		t.Errorf("%d of %d inserts were cut off, want some and not all", n, most)
	}
}

// behindProxy returns a prepared store that reaches the server through a proxy.
func behindProxy(t *testing.T) (readings.Store, *proxytest.Proxy) {
	t.Helper()
	_, uri := mongodbtest.Database(t)
	u, err := url.Parse(uri)
	if err != nil {
		t.Fatal(err)
	}
	p := proxytest.New(t, u.Host)
	u.Host = p.Addr()
	store := openURI(t, u.String())
	if err := store.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	return store, p
}
