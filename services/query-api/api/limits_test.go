package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"golang.org/x/sync/semaphore"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// cacheFunc is a cache whose methods are functions, for what no real cache does on demand.
type cacheFunc struct {
	iot.LatestCache
	latest func(context.Context, iot.DeviceID) (iot.Reading, error)
	all    func(context.Context) ([]iot.Reading, error)
}

func (c cacheFunc) Latest(ctx context.Context, id iot.DeviceID) (iot.Reading, error) {
	return c.latest(ctx, id)
}

func (c cacheFunc) AllLatest(ctx context.Context) ([]iot.Reading, error) { return c.all(ctx) }

func get(handler http.Handler, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w
}

func TestRequestLimit(t *testing.T) {
	t.Run("a request beyond the limit is answered 503 at once, and one after the rush as usual", func(t *testing.T) {
		entered, release := make(chan struct{}), make(chan struct{})
		a := embedded(t).api(t, nil)
		a.Latest = cacheFunc{latest: func(context.Context, iot.DeviceID) (iot.Reading, error) {
			entered <- struct{}{}
			<-release
			return reading(1, 0), nil
		}}
		handler := a.Handler()
		var rush sync.WaitGroup
		for range maxPerStore {
			rush.Go(func() {
				if w := get(handler, "/api/devices/1/latest/"); w.Code != http.StatusOK {
					t.Errorf("within the limit: %d %s", w.Code, w.Body)
				}
			})
		}
		for range maxPerStore {
			<-entered
		}
		w := get(handler, "/api/readings/latest_all/")
		if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") != "1" {
			t.Errorf("beyond the limit: %d, Retry-After %q, %s", w.Code, w.Header().Get("Retry-After"), w.Body)
		}
		for _, path := range []string{"/api/users/", "/api/readings/", "/api/openapi.json"} {
			if w := get(handler, path); w.Code != http.StatusOK {
				t.Errorf("%s, which needs another store: %d %s", path, w.Code, w.Body)
			}
		}
		close(release)
		rush.Wait()
		go func() { <-entered }()
		if w := get(handler, "/api/devices/1/latest/"); w.Code != http.StatusOK {
			t.Errorf("after the rush: %d %s", w.Code, w.Body)
		}
	})
	for _, tt := range []struct {
		method, path string
		room         func(a *API) *semaphore.Weighted
		all          int64 // of the room
		cost         int64 // of a request
	}{
		{http.MethodGet, "/api/readings/?limit=10000", func(a *API) *semaphore.Weighted { return a.limits.pages.large }, maxLargePages, 10_000},
		{http.MethodGet, "/api/devices/1/readings/?limit=1", func(a *API) *semaphore.Weighted { return a.limits.pages.small }, maxSmallPages, minPage},
		{http.MethodGet, "/api/devices/", func(a *API) *semaphore.Weighted { return a.limits.lists.large }, maxLargeLists, iot.MaxPage},
		{http.MethodGet, "/api/users/?limit=2", func(a *API) *semaphore.Weighted { return a.limits.lists.small }, maxSmallLists, 2},
		{http.MethodGet, "/api/devices/?limit=2", func(a *API) *semaphore.Weighted { return a.limits.lists.small }, maxSmallLists, 2},
		{http.MethodGet, "/api/dead-letters/", func(a *API) *semaphore.Weighted { return a.limits.deadLetterPages }, maxDeadLetterPages, 1},
		{http.MethodGet, "/api/dead-letters/00000000000000000000000000000001/", func(a *API) *semaphore.Weighted { return a.limits.deadLetterPages }, maxDeadLetterPages, 1},
		{http.MethodPost, "/api/dead-letters/replay/", func(a *API) *semaphore.Weighted { return a.limits.replays }, maxReplayRequests, 1},
	} {
		t.Run("requests wait for one another rather than being in memory all at once: "+tt.path, func(t *testing.T) {
			s := embedded(t)
			s.keep(t, iot.DeadLetter{ID: iot.DeadLetterID{15: 1}, Received: time.UnixMilli(1).UTC()})
			a := s.api(t, nil)
			handler, room := a.Handler(), tt.room(a)
			if !room.TryAcquire(tt.all - tt.cost + 1) {
				t.Fatal("some room is taken before any request")
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel() // instead of waiting for the timeout
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, httptest.NewRequestWithContext(ctx, tt.method, tt.path, nil))
			if w.Code != http.StatusServiceUnavailable {
				t.Errorf("a request beyond the limit: %d", w.Code)
			}
			room.Release(1)
			w = httptest.NewRecorder()
			if handler.ServeHTTP(w, httptest.NewRequest(tt.method, tt.path, nil)); w.Code != http.StatusOK {
				t.Errorf("a request within it: %d %s", w.Code, w.Body)
			}
			room.Release(tt.all - tt.cost)
			if !room.TryAcquire(tt.all) {
				t.Error("an answered request still holds room")
			}
		})
	}
}

func TestSmallPagesDoNotWait(t *testing.T) {
	a := embedded(t).api(t, nil)
	handler := a.Handler()
	if !a.limits.pages.large.TryAcquire(maxLargePages) || !a.limits.lists.large.TryAcquire(maxLargeLists) {
		t.Fatal("some room is taken before any request")
	}
	for _, path := range []string{"/api/readings/", "/api/devices/1/readings/?limit=1000", "/api/devices/?limit=1000", "/api/users/?limit=1"} {
		if w := get(handler, path); w.Code != http.StatusOK {
			t.Errorf("%s, while large pages are fetched: %d %s", path, w.Code, w.Body)
		}
	}
}

func TestSharedAnswers(t *testing.T) {
	for _, path := range []string{"/api/readings/latest_all/", "/api/readings/stats/"} {
		t.Run("requests at the same time share the answer: "+path, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const together = 100
				release, asked := make(chan struct{}), new(atomic.Int64)
				a := embedded(t).api(t, nil)
				a.Latest = cacheFunc{all: func(context.Context) ([]iot.Reading, error) {
					id := asked.Add(1)
					<-release
					return []iot.Reading{reading(iot.DeviceID(id), 0)}, nil
				}}
				handler := a.Handler()
				answers := make(chan string)
				ask := func() { w := get(handler, path); answers <- fmt.Sprint(w.Code, w.Body) }
				for range together {
					go ask()
				}
				synctest.Wait()
				close(release)
				first, same := <-answers, true
				for range together - 1 {
					if other := <-answers; other != first {
						same = false
					}
				}
				if !same {
					t.Error("the answers differ")
				}
				go ask()
				if later := <-answers; asked.Load() != 2 || later == first {
					t.Errorf("the cache was asked %d times; later answer: %s", asked.Load(), later)
				}
				if !a.limits.sending.TryAcquire(maxSending) {
					t.Error("an answer that was sent still takes room")
				}
			})
		})
	}
}

func TestBodyLimit(t *testing.T) {
	handler := embedded(t).handler(t)
	const head, tail = `{"username": "ada", "email": "ada@example.com", "note": "`, `"}`
	full := head + strings.Repeat("x", maxBody-len(head)-len(tail)) + tail
	for _, tt := range []struct {
		name   string
		body   io.Reader
		status int
	}{
		{"one byte over 1 MiB", strings.NewReader(full + " "), http.StatusRequestEntityTooLarge},
		{"one byte over it, and its length not given", io.MultiReader(strings.NewReader(full), strings.NewReader(" ")), http.StatusRequestEntityTooLarge},
		{"1 MiB", strings.NewReader(full), http.StatusCreated},
		{"nothing, and its length not given", io.MultiReader(), http.StatusBadRequest},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodPost, "/api/users/", tt.body)
			r.Header.Set("Content-Type", "application/json")
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			if w.Code != tt.status {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
	t.Run("a body that ends early", func(t *testing.T) {
		r := httptest.NewRequest(http.MethodPost, "/api/users/", io.MultiReader(strings.NewReader(`{"user`), errReader{io.ErrUnexpectedEOF}))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code != http.StatusBadRequest {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

func TestPanic(t *testing.T) {
	var log bytes.Buffer
	a := embedded(t).api(t, slog.New(slog.NewTextHandler(&log, nil)))
	a.Latest = cacheFunc{latest: func(context.Context, iot.DeviceID) (iot.Reading, error) { panic("secret") }}
	handler := a.Handler()
	w := get(handler, "/api/devices/1/latest/")
	if body := w.Body.String(); w.Code != http.StatusInternalServerError || body != `{"detail":"Internal server error."}` {
		t.Errorf("answer: %d %s", w.Code, body)
	}
	id := w.Header().Get("X-Request-Id")
	if text := log.String(); id == "" || !strings.Contains(text, "request_id="+id) ||
		!strings.Contains(text, "panic=secret") || !strings.Contains(text, "limits_test.go") {
		t.Errorf("request %q is not in the log with its panic and stack: %s", id, text)
	}
	if w := get(handler, "/api/users/"); w.Code != http.StatusOK {
		t.Errorf("after it: %d", w.Code)
	}
}

func TestErrorsAreNotShown(t *testing.T) {
	var log bytes.Buffer
	a := embedded(t).api(t, slog.New(slog.NewTextHandler(&log, nil)))
	a.Latest = cacheFunc{latest: func(context.Context, iot.DeviceID) (iot.Reading, error) {
		return iot.Reading{}, errors.New("dial tcp 10.1.2.3:6379: secret")
	}}
	handler := a.Handler()
	for range 100 {
		w := get(handler, "/api/devices/1/latest/")
		if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") != "5" || strings.Contains(w.Body.String(), "secret") {
			t.Fatalf("answer: %d, Retry-After %q, %s", w.Code, w.Header().Get("Retry-After"), w.Body)
		}
	}
	if n := strings.Count(log.String(), "secret"); n != 1 {
		t.Errorf("100 failures are logged %d times", n)
	}
}

func TestRefusalsInTheLog(t *testing.T) {
	var log bytes.Buffer
	a := embedded(t).api(t, slog.New(slog.NewTextHandler(&log, nil)))
	handler := a.Handler()
	ask := func(method, path, contentType, body string, length int64) int {
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		r.Header.Set("Content-Type", contentType)
		r.ContentLength = length
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		return w.Code
	}
	for range 3 {
		for _, got := range []int{
			ask(http.MethodGet, "/api/users/7/", "", "", 0), ask(http.MethodPost, "/api/users/", "application/json", "{}", 2), // a user's
			ask(http.MethodDelete, "/api/users/", "", "", 0),
			ask(http.MethodPost, "/api/users/", "text/plain", "x", 1),
			ask(http.MethodPost, "/api/users/", "application/json", "", maxBody+1),
		} {
			if got < 400 {
				t.Error("status", got)
			}
		}
	}
	for status, want := range map[string]int{"405": 1, "415": 1, "413": 1, "": 3} {
		if n := strings.Count(log.String(), "status="+status); n != want {
			t.Errorf("%d lines with status %q, want %d: %s", n, status, want, log.String())
		}
	}
	if !strings.Contains(log.String(), "route=/api/users/") || !strings.Contains(log.String(), "remote=192.0.2.1") {
		t.Errorf("the log is %s", log.String())
	}
}

// pickyStore is a store that refuses users for what no handler checks.
type pickyStore struct{ iot.MetadataStore }

func (pickyStore) CreateUser(context.Context, iot.User) (iot.User, error) {
	return iot.User{}, fmt.Errorf("create user: a secret rule: %w", iot.ErrInvalid)
}

func TestWhatAStoreRefuses(t *testing.T) {
	a := embedded(t).api(t, nil)
	a.Metadata = pickyStore{}
	if w := post(a.Handler(), strings.NewReader(ada), int64(len(ada))); w.Code != http.StatusBadRequest || w.Body.String() != `{"detail":"Invalid request."}` {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestRequestID(t *testing.T) {
	handler := embedded(t).handler(t)
	for given, kept := range map[string]bool{
		"req-7_A.b": true, strings.Repeat("x", 64): true,
		"": false, strings.Repeat("x", 65): false, "a b": false, `a"b`: false, "ä": false,
	} {
		r := httptest.NewRequest(http.MethodGet, "/api/users/", nil)
		r.Header.Set("X-Request-Id", given)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		got := w.Header().Get("X-Request-Id")
		if got == "" || (got == given) != kept {
			t.Errorf("given %q, answered %q", given, got)
		}
	}
	if a, b := get(handler, "/").Header().Get("X-Request-Id"), get(handler, "/").Header().Get("X-Request-Id"); a == b {
		t.Errorf("two requests have the id %q", a)
	}
}

func TestMetrics(t *testing.T) {
	metrics := prometheus.NewRegistry()
	a := embedded(t).api(t, nil)
	a.Metrics = metrics
	handler := a.Handler()
	for _, path := range []string{"/api/users/", "/api/users", "/api/users/7/", "/api/users/8", "/what/ever", "/else"} {
		get(handler, path)
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequest("BREW", "/api/users/", nil))
	want := `
		# HELP telltale_http_requests_total HTTP requests answered, by route, method and status code.
		# TYPE telltale_http_requests_total counter
		telltale_http_requests_total{code="200",method="GET",route="/api/users/"} 2
		telltale_http_requests_total{code="404",method="GET",route="/api/users/:id/"} 2
		telltale_http_requests_total{code="404",method="GET",route="unmatched"} 2
		telltale_http_requests_total{code="405",method="other",route="/api/users/"} 1
	`
	if err := testutil.GatherAndCompare(metrics, strings.NewReader(want), "telltale_http_requests_total"); err != nil {
		t.Error(err)
	}
}
