package api

import (
	"context"
	"net/http"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// What one process does at the same time and what one request may cost. A request beyond a limit is
// answered 503, 413 or 408, so that the ones within it are answered in time.
const (
	maxPerStore       = 500      // requests that need the same store, so one that hangs does not hold up the others
	maxReadings       = 50_000   // of the pages being fetched: about 50 MB
	maxRows           = 50_000   // users and devices of the lists being fetched: about 15 MB
	maxLetterRequests = 3        // that fetch dead letters: 4 MB each, and more as JSON
	maxReplayRequests = 4        // that replay dead letters: 4 MB each
	maxSending        = 48 << 20 // bytes of the answers being sent, but for small ones
	maxBodies         = 16 << 20 // bytes of the bodies of all requests
	maxBody           = 1 << 20  // bytes of a request's body

	smallAnswer = 64 << 10               // bytes
	minPage     = iot.MaxPageBytes >> 10 // readings that a page counts as at least, since it may have a few large ones

	bodyTimeout  = 10 * time.Second // for a request's body to arrive
	sendTimeout  = 20 * time.Second // for a client to take an answer
	storeTimeout = 5 * time.Second  // for the stores to answer one request
	cacheTimeout = time.Second      // for the cache, where stored readings can take its place
	countTimeout = 30 * time.Second // for counting all readings
)

// limiter bounds the number of requests being answered with one store.
type limiter struct{ n atomic.Int64 }

// limit bounds the requests that next answers, together with the limiter's others, and the time that
// stores may take for each.
func (l *limiter) limit(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		defer l.n.Add(-1)
		if l.n.Add(1) > maxPerStore {
			return errBusy
		}
		r := c.Request()
		ctx, cancel := context.WithTimeout(r.Context(), storeTimeout)
		defer cancel()
		c.SetRequest(r.WithContext(ctx))
		return next(c)
	}
}

// limitReplays bounds the requests that hold dead letters in memory while they are replayed. The others wait.
func (a *API) limitReplays(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if a.replays.Acquire(c.Request().Context(), 1) != nil {
			return errBusy
		}
		defer a.replays.Release(1)
		return next(c)
	}
}

// throttle lets one event per second through.
type throttle struct{ last atomic.Int64 }

func (t *throttle) allow() bool {
	now, last := time.Now().UnixNano(), t.last.Load()
	return now-last >= int64(time.Second) && t.last.CompareAndSwap(last, now)
}

// recoverPanic answers 500 where a handler panics: one broken request must not end the others.
func recoverPanic(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) (err error) {
		defer func() {
			switch p := recover(); p {
			case nil:
			case http.ErrAbortHandler:
				panic(p) // net/http's own way to cut a connection
			default:
				err = panicked{p, debug.Stack()}
			}
		}()
		return next(c)
	}
}
