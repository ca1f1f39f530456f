package api

import (
	"cmp"
	"context"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/readingjson"
	"github.com/telltale-iot/telltale/pkg/timeouts"
	"github.com/telltale-iot/telltale/services/query-api/search"
)

// searchReadings answers with what a query finds, as far as it comes in the time for it.
func (a *API) searchReadings(ctx context.Context, r *request) (*answer, error) {
	began := time.Now()
	s := search.Search{
		Query:   r.query.search("q"),
		Devices: r.query.devices("device_id"),
		Limit:   r.query.limit(defaultReadings),
		After:   r.query.searchCursor(),
		Budget:  timeouts.Search,
	}
	s.From, s.To = r.query.dates(began)
	if err := r.query.err(); err != nil {
		return nil, err
	}
	release, err := take(ctx, a.limits.searches, 1)
	if err != nil {
		return nil, err
	}
	defer release()
	if end, ok := ctx.Deadline(); ok { // it may have waited
		s.Budget = min(s.Budget, time.Until(end)/2)
	}
	page, err := search.Find(ctx, r.Readings, s)
	if err != nil {
		return nil, err
	}
	if !page.Next.IsZero() {
		r.linkNext(page.Next.String())
	}
	return encode(http.StatusOK, page, func(dst []byte, page search.Page) []byte {
		dst = strconv.AppendInt(append(dst, `{"total":`...), int64(page.Total), 10)
		dst = appendList(append(dst, `,"results":`...), page.Readings, readingjson.Append)
		dst = strconv.AppendInt(append(dst, `,"took_ms":`...), time.Since(began).Milliseconds(), 10)
		dst = strconv.AppendBool(append(dst, `,"complete":`...), page.Complete)
		return append(dst, '}')
	}), nil
}

const msgRange = "Must not be given together with from_date or to_date."

// ranges are how far back one may look by name.
var ranges = map[string]time.Duration{"1h": time.Hour, "24h": 24 * time.Hour, "7d": 7 * 24 * time.Hour}

// search reads a query; one for all readings where none is given.
func (p *params) search(name string) *search.Query {
	q, err := search.Parse(p.get(name))
	if err != nil {
		p.fail(name, err.Error())
	}
	return q
}

// dates reads between which times to search, and has the next page's link say so where it was a range until now.
func (p *params) dates(now time.Time) (from, to time.Time) {
	from, to = p.between("from_date", "to_date")
	name := p.get("range")
	if name == "" {
		return from, to
	}
	length, ok := ranges[name]
	switch {
	case !ok:
		p.failChoice("range", name, slices.SortedFunc(maps.Keys(ranges), func(a, b string) int { return cmp.Compare(ranges[a], ranges[b]) })...)
	case !from.IsZero() || !to.IsZero():
		p.fail("range", msgRange)
	}
	from = iot.CeilMillis(now.Add(-length))
	p.pairs = slices.DeleteFunc(p.pairs, func(q param) bool { return q.name == "range" || q.name == "from_date" })
	p.pairs = append(p.pairs, param{"from_date", string(readingjson.AppendTime(nil, from))})
	return from, to
}

// searchCursor reads where a search goes on.
func (p *params) searchCursor() search.Cursor {
	cursor, err := search.ParseCursor(p.get("cursor"))
	if err != nil {
		p.fail("cursor", msgCursor)
	}
	return cursor
}
