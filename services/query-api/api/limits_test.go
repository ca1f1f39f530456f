package api

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/timeouts"
	"github.com/telltale-iot/telltale/services/query-api/series"
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
		{http.MethodGet, "/api/devices/1/series/", func(a *API) *semaphore.Weighted { return a.limits.charts.large }, maxLargeCharts, series.MaxNumbers},
		{http.MethodGet, "/api/devices/1/series/?metric=m", func(a *API) *semaphore.Weighted { return a.limits.charts.small }, maxSmallCharts, 5 * defaultPoints},
		{http.MethodGet, "/api/devices/1/series/?metric=m", func(a *API) *semaphore.Weighted { return a.limits.values.small }, maxFewValues, 1},
		{http.MethodGet, "/api/readings/aggregations/", func(a *API) *semaphore.Weighted { return a.limits.charts.large }, maxLargeCharts, series.MaxNumbers},
		{http.MethodGet, "/api/readings/aggregations/", func(a *API) *semaphore.Weighted { return a.limits.values.small }, maxFewValues, 1},
		{http.MethodGet, "/api/dead-letters/", func(a *API) *semaphore.Weighted { return a.limits.deadLetterPages }, maxDeadLetterPages, 1},
		{http.MethodGet, "/api/dead-letters/00000000000000000000000000000001/", func(a *API) *semaphore.Weighted { return a.limits.deadLetterPages }, maxDeadLetterPages, 1},
		{http.MethodGet, "/api/readings/search/", func(a *API) *semaphore.Weighted { return a.limits.searches }, maxSearches, 1},
		{http.MethodGet, prometheusPrefix + "query?query=1", func(a *API) *semaphore.Weighted { return a.limits.prometheus }, maxPromQueries, 1},
		{http.MethodGet, "/api/readings/retention/?readings=90d", func(a *API) *semaphore.Weighted { return a.limits.dryRuns }, maxDryRuns, 1},
		{http.MethodPost, "/api/mappings/test/", func(a *API) *semaphore.Weighted { return a.limits.mappingTests }, maxMappingTests, 1},
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
			ask := func(ctx context.Context) *http.Request {
				r := httptest.NewRequestWithContext(ctx, tt.method, tt.path, strings.NewReader(`{"topic": "t", "payload": "1"}`))
				r.Header.Set("Content-Type", "application/json")
				return r
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel() // instead of waiting for the timeout
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, ask(ctx))
			if w.Code != http.StatusServiceUnavailable {
				t.Errorf("a request beyond the limit: %d", w.Code)
			}
			room.Release(1)
			w = httptest.NewRecorder()
			if handler.ServeHTTP(w, ask(t.Context())); w.Code != http.StatusOK {
				t.Errorf("a request within it: %d %s", w.Code, w.Body)
			}
			room.Release(tt.all - tt.cost)
			if !room.TryAcquire(tt.all) {
				t.Error("an answered request still holds room")
			}
		})
	}
}

// slowStore takes its time.
type slowStore struct {
	ReadingStore
	chunks int           // that are read
	pause  time.Duration // before each
}

func (s slowStore) Horizon(context.Context) (time.Time, error) { return time.Time{}, nil }

func (s slowStore) ReadBuckets(ctx context.Context, _ iot.BucketQuery, take func(iot.Buckets) error) error {
	for range s.chunks {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(s.pause):
		}
		if err := take(iot.Buckets{Device: 1, Metric: "m"}); err != nil {
			return err
		}
	}
	return nil
}

// TestSlowHistory: what takes long is answered as long as it goes on, for timeouts.HistoryRequest.
func TestSlowHistory(t *testing.T) {
	const path = "/api/devices/1/series/?metric=m&from=2026-03-01&to=2026-03-02&interval=1h"
	for _, tt := range []struct {
		what   string
		store  slowStore
		status int
		takes  time.Duration
		detail string
	}{
		{"slow", slowStore{chunks: 9, pause: 2 * time.Second}, http.StatusOK, 18 * time.Second, ""},
		{"too slow", slowStore{chunks: 100, pause: 2 * time.Second}, http.StatusServiceUnavailable, timeouts.HistoryRequest, errTakesTooLong.detail},
		{"hanging", slowStore{chunks: 1, pause: time.Hour}, http.StatusServiceUnavailable, timeouts.StoreRequest, errAway.detail},
	} {
		t.Run(tt.what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := embedded(t).api(t, nil)
				a.Readings = tt.store
				start, w := time.Now(), get(a.Handler(), path)
				if took := time.Since(start); w.Code != tt.status || took != tt.takes || !strings.Contains(w.Body.String(), tt.detail) {
					t.Errorf("%d %s, after %v", w.Code, w.Body, took)
				}
			})
		})
	}
}

func TestSmallPagesDoNotWait(t *testing.T) {
	a := embedded(t).api(t, nil)
	handler := a.Handler()
	if !a.limits.pages.large.TryAcquire(maxLargePages) || !a.limits.lists.large.TryAcquire(maxLargeLists) ||
		!a.limits.charts.large.TryAcquire(maxLargeCharts) || !a.limits.values.large.TryAcquire(maxManyValues) {
		t.Fatal("some room is taken before any request")
	}
	for _, path := range []string{"/api/readings/", "/api/devices/1/readings/?limit=1000", "/api/devices/?limit=1000", "/api/users/?limit=1", "/api/devices/1/series/?metric=temperature,humidity"} {
		if w := get(handler, path); w.Code != http.StatusOK {
			t.Errorf("%s, while large pages are fetched: %d %s", path, w.Code, w.Body)
		}
	}
}
