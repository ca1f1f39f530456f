package metadatatest

import (
	"context"
	"net/url"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/proxytest"
)

// RunOutages tests stores that speak to a server, through a proxy that cuts connections and hangs. empty is as in
// Run.
func RunOutages(t *testing.T, empty func(testing.TB) Database) {
	for _, p := range []struct {
		name string
		test func(t *testing.T, db *database, proxy *proxytest.Proxy)
	}{
		{"a store opens while its server is away, and works when it is back", func(t *testing.T, db *database, proxy *proxytest.Proxy) {
			proxy.Cut()
			s := db.open()
			wantOutage(t, s.Check(t.Context()))
			wantOutage(t, s.Prepare(t.Context()))
			proxy.Reopen()
			if err := s.Prepare(t.Context()); err != nil {
				t.Fatal(err)
			}
			newUser(t, s, "ann")
		}},
		{"a network that is cut fails every call, and the store goes on when it is back", func(t *testing.T, db *database, proxy *proxytest.Proxy) {
			s := db.prepared()
			ann := newUser(t, s, "ann")
			concurrently(t, 8, func(ctx context.Context, i int) error { // several connections, idle then
				_, err := s.User(ctx, ann.ID)
				return err
			})
			proxy.Cut()
			wantOutages(t, t.Context(), s)
			proxy.Reopen()
			concurrently(t, 16, func(ctx context.Context, i int) error {
				_, err := s.User(ctx, ann.ID)
				return err
			})
			newDevice(t, s, iot.Device{Name: "x", Owner: ann.ID})
		}},
		{"a connection that broke while it was idle fails one call at most", func(t *testing.T, db *database, proxy *proxytest.Proxy) {
			s := db.prepared()
			ann := newUser(t, s, "ann")
			for range 5 {
				proxy.Cut()
				proxy.Reopen()
				// One call at a time, so one connection is in use and idle between the calls.
				if _, err := s.User(t.Context(), ann.ID); err != nil {
					wantOutage(t, err)
				}
				newDevice(t, s, iot.Device{Name: "x", Owner: ann.ID})
			}
		}},
		{"a server that hangs is an outage within 25 s, and the store goes on when it answers", func(t *testing.T, db *database, proxy *proxytest.Proxy) {
			s := db.prepared()
			ann := newUser(t, s, "ann")
			concurrently(t, 8, func(ctx context.Context, i int) error {
				_, err := s.User(ctx, ann.ID)
				return err
			})
			proxy.Hang()
			opening := time.Now()
			db.open()
			if took := time.Since(opening); took > 5*time.Second {
				t.Errorf("open: took %v", took)
			}
			all := calls(s)
			all["Check"], all["Prepare"] = s.Check, s.Prepare
			errs, start := make(chan error, len(all)), time.Now()
			for name, call := range all {
				go func() {
					err := call(context.Background())
					if took := time.Since(start); took > 25*time.Second {
						err = nil
						t.Errorf("%s: took %v", name, took)
					}
					errs <- err
				}()
			}
			for range all {
				wantOutage(t, <-errs)
			}
			proxy.Resume()
			// A connection that was begun while it hung may fail yet, of which the next call is told.
			for resumed := time.Now(); ; {
				_, err := s.CreateDevice(t.Context(), iot.Device{Name: "x", Owner: ann.ID})
				if err == nil {
					break
				}
				if wantOutage(t, err); time.Since(resumed) > time.Minute {
					t.Fatalf("it does not go on: %v", err)
				}
			}
		}},
	} {
		t.Run(p.name, func(t *testing.T) {
			db := &database{empty(t), t}
			u, err := url.Parse(db.URL)
			if err != nil {
				t.Fatal(err)
			}
			proxy := proxytest.New(t, u.Host)
			u.Host = proxy.Addr()
			db.URL = u.String()
			p.test(t, db, proxy)
		})
	}
}
