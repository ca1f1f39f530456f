package api

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/proxytest"
	"github.com/telltale-iot/telltale/pkg/timeouts"
)

// away are the URLs of stores that refuse connections.
func away(t *testing.T) urls {
	t.Helper()
	addrs, err := proxytest.FreeAddrs(1)
	if err != nil {
		t.Fatal(err)
	}
	return at(addrs[0])
}

// silent are the URLs of stores that take connections and what is sent, and never answer.
func silent(t *testing.T) urls {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(io.Discard, c) }()
		}
	}()
	return at(l.Addr().String())
}

func at(addr string) urls {
	return urls{"mysql://iot:hush@" + addr + "/iot", "mongodb://" + addr + "/iot", "redis://" + addr + "/0"}
}

// troubles are the ways for a store to be away.
var troubles = []struct {
	name string
	urls func(*testing.T) urls
}{
	{"refuses connections", away},
	{"never answers", silent},
}

// requests is one for each thing that the stores are needed for.
var requests = []struct{ method, path, body string }{
	{"GET", "/api/users/", ""},
	{"POST", "/api/users/", `{"username": "ada", "email": "ada@example.com"}`},
	{"POST", "/api/users/", `{"username": "ada", "email": "?"}`},
	{"PATCH", "/api/users/1/", `{"email": "ada@example.com"}`},
	{"PUT", "/api/users/1/", `{}`},
	{"DELETE", "/api/users/1/", ""},
	{"GET", "/api/devices/", ""},
	{"POST", "/api/devices/", `{"name": "Greenhouse", "user": 1}`},
	{"POST", "/api/devices/", `{"id": 1, "user": 1}`},
	{"PATCH", "/api/devices/1/", `{"user": 1}`},
	{"DELETE", "/api/devices/1/", ""},
	{"GET", "/api/devices/1/", ""},
	{"GET", "/api/devices/1/readings/", ""},
	{"GET", "/api/devices/1/series/", ""},
	{"GET", "/api/devices/1/series/?metric=temperature", ""},
	{"GET", "/api/devices/1/latest/", ""},
	{"GET", "/api/readings/", ""},
	{"GET", "/api/readings/latest_all/", ""},
	{"GET", "/api/readings/search/", ""},
	{"GET", "/api/readings/stats/", ""},
	{"GET", "/api/readings/aggregations/", ""},
	{"GET", "/api/readings/retention/?readings=90d", ""},
	{"GET", "/api/latest/1/", ""},
	{"GET", "/api/dead-letters/", ""},
	{"DELETE", "/api/dead-letters/?reason=conflict", ""},
	{"GET", "/api/dead-letters/stats/", ""},
	{"POST", "/api/dead-letters/replay/", ""},
	{"GET", "/api/dead-letters/00000000000000000000000000000001/", ""},
	{"DELETE", "/api/dead-letters/00000000000000000000000000000001/", ""},
	{"POST", "/api/dead-letters/00000000000000000000000000000001/replay/", `{"payload": {"x": 1}}`},
}

func TestStoresAway(t *testing.T) {
	for _, tt := range troubles {
		t.Run("a store that "+tt.name+" is 503 in time, with Retry-After and without its address", func(t *testing.T) {
			t.Parallel()
			handler := tt.urls(t).open(t).handler(t)
			var all sync.WaitGroup
			for _, r := range requests {
				all.Go(func() {
					request := httptest.NewRequest(r.method, r.path, strings.NewReader(r.body))
					request.Header.Set("Content-Type", "application/json")
					start, w := time.Now(), httptest.NewRecorder()
					handler.ServeHTTP(w, request)
					if took := time.Since(start); took > timeouts.StoreRequest+2*time.Second {
						t.Errorf("%s %s took %v", r.method, r.path, took)
					}
					body := w.Body.String()
					if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
						t.Errorf("%s %s: %d, Retry-After %q", r.method, r.path, w.Code, w.Header().Get("Retry-After"))
					}
					if !strings.HasPrefix(body, `{"detail":"`) || strings.Contains(body, "127.0.0.1") || strings.Contains(body, "hush") {
						t.Errorf("%s %s: %s", r.method, r.path, body)
					}
				})
			}
			all.Wait()
		})
	}
	for _, tt := range troubles {
		t.Run("with a cache that "+tt.name+" the last reading is the newest stored one", func(t *testing.T) {
			t.Parallel()
			s := embedded(t)
			s.latest = openCache(t, tt.urls(t).latest)
			s.insert(t, reading(1, 0), reading(1, 1))
			handler := s.handler(t)
			w := get(handler, "/api/latest/1/")
			want := `{"device_id":1,"temperature":0.1,"humidity":40,"timestamp":"2026-03-01T12:00:01.000Z","timestamp_source":"device"}`
			if w.Code != http.StatusOK || w.Body.String() != want {
				t.Errorf("%d %s", w.Code, w.Body)
			}
			for _, path := range []string{"/api/users/", "/api/devices/", "/api/readings/", "/api/devices/1/readings/"} {
				if w := get(handler, path); w.Code != http.StatusOK {
					t.Errorf("%s, which needs no cache: %d %s", path, w.Code, w.Body)
				}
			}
		})
	}
	t.Run("a cache that hangs leaves time to ask the store", func(t *testing.T) {
		s := embedded(t)
		s.insert(t, reading(1, 0))
		a := s.api(t, nil)
		a.Latest = cacheFunc{latest: func(ctx context.Context, _ iot.DeviceID) (iot.Reading, error) {
			<-ctx.Done()
			return iot.Reading{}, ctx.Err()
		}}
		if w := get(a.Handler(), "/api/latest/1/"); w.Code != http.StatusOK {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
	t.Run("a client that went away is no outage", func(t *testing.T) {
		var log bytes.Buffer
		handler := embedded(t).api(t, slog.New(slog.NewTextHandler(&log, nil))).Handler()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for _, r := range requests {
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, httptest.NewRequestWithContext(ctx, r.method, r.path, nil))
		}
		if log.Len() > 0 {
			t.Errorf("log: %s", log.String())
		}
	})
}
