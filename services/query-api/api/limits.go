package api

import (
	"context"
	"net/http"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"
)

// What one process does at the same time and what one request may cost. A request beyond a limit is
// answered 503, 413 or 408, so that the ones within it are answered in time.
const (
	maxPerStore       = 500      // requests that need the same store, so one that hangs does not hold up the others
	maxRows           = 100_000  // readings of all pages being fetched: about 100 MB
	maxLetterRequests = 8        // requests that fetch dead letters: 4 MB each, and more as JSON
	maxBody           = 1 << 20  // bytes of a request's body
	maxBodies         = 32 << 20 // bytes of all bodies

	bodyTimeout  = 10 * time.Second // for a request's body to arrive
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

// limitLetters bounds the requests that hold dead letters in memory. The others wait.
func (a *API) limitLetters(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if a.letters.Acquire(c.Request().Context(), 1) != nil {
			return errBusy
		}
		defer a.letters.Release(1)
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
