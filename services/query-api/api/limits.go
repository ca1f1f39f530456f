package api

import (
	"cmp"
	"context"
	"net/http"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"
	"golang.org/x/sync/semaphore"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/timeouts"
	"github.com/telltale-iot/telltale/services/query-api/series"
)

// What one process does at the same time and what one request may cost. A request beyond a limit is
// answered 503, 429, 413 or 408, so that the ones within it are answered in time.
const (
	maxPerStore        = 500      // requests that need the same store, so one that hangs does not hold up the others
	maxLargePages      = 20_000   // readings of the pages being fetched that are large: about 20 MB
	maxSmallPages      = 30_000   // readings of the others, which do not wait for them: about 30 MB
	maxLargeLists      = 40_000   // users and devices of the lists being fetched that are large: about 12 MB
	maxSmallLists      = 10_000   // users and devices of the others, which do not wait for them: about 3 MB
	maxDeadLetterPages = 3        // requests that fetch dead letters: 4 MB each, and more as JSON
	maxReplayRequests  = 4        // that replay dead letters: 4 MB each
	maxSearches        = 4        // at the same time: 10 MB each, and as much CPU as they get for timeouts.Search
	maxPromQueries     = 4        // for Grafana: 20 MB each
	maxParts           = 2        // that pick devices out of what there is of all: 40 MB each, of 100,000 devices
	maxDryRuns         = 1        // of retentions: a CPU for a second, and some MB
	maxMappingTests    = 4        // that test rules: 8 MB each
	maxProviderLogins  = 20       // that wait for the OpenID Connect provider; one client has half of them at most
	maxSending         = 48 << 20 // bytes of the answers being sent, but for small ones
	maxBodies          = 16 << 20 // bytes of the bodies of all requests, as they come and decompressed
	maxBody            = 1 << 20  // bytes of a request's body

	maxLargeCharts = 3 * series.MaxNumbers // numbers of the charts being made that are large: about 50 MB with their JSON
	maxSmallCharts = 500_000               // numbers of the others, which do not wait for them: about 20 MB
	maxManyValues  = series.MaxValues      // that are read one by one for requests which read many: about 24 MB for percentiles
	maxFewValues   = 1_000_000             // for the others, which do not wait for them: about 8 MB

	maxCompressors   = 4 // about 1 MB each
	maxDecompressors = 4 // about 40 kB each; a body takes one for some milliseconds

	minCompressed = 1 << 10                // bytes; a shorter answer is one packet either way
	smallAnswer   = 64 << 10               // bytes
	minPage       = iot.MaxPageBytes >> 10 // readings that a page counts as at least, since it may have a few large ones
	smallPage     = 1000                   // readings, users or devices of a page that is not large, at most
	smallChart    = 20_000                 // numbers of a chart that is not large, at most: four series of 1,000 points
	fewValues     = 100_000                // values that are not many, at most: a day at 1 Hz

	headerTimeout = 5 * time.Second  // for a request's header to arrive
	bodyTimeout   = 10 * time.Second // for its body to arrive; then the stores have timeouts.StoreRequest
	cacheTimeout  = time.Second      // of that, for the cache, where stored readings can take its place
	keysTimeout   = time.Second      // for the keys of devices, which are left out else
	sendTimeout   = 20 * time.Second // for a client to take an answer
)

// limits bound what all requests together may use while they are answered. A request that would exceed one waits until
// others end, for timeouts.StoreRequest at most, or is answered 503 at once where the comment says so.
type limits struct {
	metadata, readings, latest, deadLetters, kafka limiter // requests to one store; beyond: 503
	history                                        limiter // requests to the readings that may take long; beyond: 503

	bodies          *semaphore.Weighted // bytes of the bodies of requests; beyond: 503
	pages           pageRoom            // readings of the pages being fetched
	lists           pageRoom            // users and devices of the lists being fetched
	exports         *slots              // requests that fetch files; beyond: 503, or 429
	charts          pageRoom            // numbers of the charts being made
	values          pageRoom            // that are being read one by one for charts
	imports         *slots              // requests that send files; beyond: 503, or 429
	streams         *slots              // clients that follow what happens; beyond: 503, or 429
	providerLogins  *slots              // requests that wait for the OpenID Connect provider; beyond: sent back to log in
	deadLetterPages *semaphore.Weighted // requests that fetch dead letters
	replays         *semaphore.Weighted // requests that replay dead letters
	searches        *semaphore.Weighted // searches for readings
	prometheus      *semaphore.Weighted // queries of Prometheus' kind
	parts           *semaphore.Weighted // requests that pick devices out of what there is of all
	dryRuns         *semaphore.Weighted // of retentions
	rules           limiter             // requests that need no store; beyond: 503
	mappingTests    *semaphore.Weighted // requests that test rules
	sending         *semaphore.Weighted // bytes of the answers being sent; beyond: 503
	compressors     compressors         // of answers
	decompressors   decompressors       // of bodies
}

func newLimits() limits {
	return limits{
		history:         limiter{within: timeouts.HistoryRequest},
		bodies:          semaphore.NewWeighted(maxBodies),
		pages:           newPageRoom(maxLargePages, maxSmallPages, smallPage, minPage),
		lists:           newPageRoom(maxLargeLists, maxSmallLists, smallPage, 1),
		charts:          newPageRoom(maxLargeCharts, maxSmallCharts, smallChart, 1),
		values:          newPageRoom(maxManyValues, maxFewValues, fewValues, 1),
		exports:         newSlots(maxExports, maxExports/2, errManyExports, errYourExports),
		imports:         newSlots(maxImports, maxImports/2, errManyImports, errYourImport),
		streams:         newSlots(maxStreams, maxYourStreams, errManyStreams, errYourStreams),
		providerLogins:  newSlots(maxProviderLogins, maxProviderLogins/2, errBusy, errBusy),
		deadLetterPages: semaphore.NewWeighted(maxDeadLetterPages),
		replays:         semaphore.NewWeighted(maxReplayRequests),
		searches:        semaphore.NewWeighted(maxSearches),
		prometheus:      semaphore.NewWeighted(maxPromQueries),
		parts:           semaphore.NewWeighted(maxParts),
		dryRuns:         semaphore.NewWeighted(maxDryRuns),
		mappingTests:    semaphore.NewWeighted(maxMappingTests),
		sending:         semaphore.NewWeighted(maxSending),
		compressors:     newCompressors(),
		decompressors:   newDecompressors(),
	}
}

// pageRoom is the room for pages of one kind, or for charts. Large ones wait for one another, and small ones do not wait behind
// them.
type pageRoom struct {
	large, small *semaphore.Weighted
	most         int // of a small one
	least        int // that one counts as
}

func newPageRoom(large, small int64, most, least int) pageRoom {
	return pageRoom{semaphore.NewWeighted(large), semaphore.NewWeighted(small), most, least}
}

// take takes the room for a page of so many.
func (p pageRoom) take(ctx context.Context, n int) (release func(), err error) {
	room := p.small
	if n > p.most {
		room = p.large
	}
	return take(ctx, room, int64(max(n, p.least)))
}

// take takes n of room until release is called. It waits for that while ctx lasts, and then returns errBusy.
func take(ctx context.Context, room *semaphore.Weighted, n int64) (release func(), err error) {
	if room.Acquire(ctx, n) != nil {
		return nil, errBusy
	}
	return func() { room.Release(n) }, nil
}

// limiter bounds the number of requests being answered with one store, and the time of each.
type limiter struct {
	requests atomic.Int64
	within   time.Duration // 0: timeouts.StoreRequest
}

// ask has h answer r, within the bounds of the limiter and of the time that stores may take for a request.
func (l *limiter) ask(r *request, h handler) (*answer, error) {
	defer l.requests.Add(-1)
	if l.requests.Add(1) > maxPerStore {
		return nil, errBusy
	}
	ctx, cancel := context.WithTimeout(r.Request().Context(), cmp.Or(l.within, timeouts.StoreRequest))
	defer cancel()
	return h(ctx, r)
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
