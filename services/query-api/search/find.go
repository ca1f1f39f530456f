package search

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// Search is one request: a query, and where to look.
type Search struct {
	Query   *Query
	Devices []iot.DeviceID // only theirs; nil: of all
	From    time.Time      // only with From <= At
	To      time.Time      // only with At < To
	Limit   int            // readings in the page, 1 or more
	After   Cursor         // only what comes after it, newest first
	Budget  time.Duration  // after which the page ends; a little more is used where else it would not get anywhere
}

// Page is a part of what was found, newest first.
type Page struct {
	Readings []iot.Reading
	// Total is how many readings were found: all of them where Complete is true, and else those found so far.
	Total    int
	Complete bool
	Next     Cursor // where the next page starts; zero at the end
}

// Cursor is where a search goes on, and what it knows by then. The zero Cursor is the start.
type Cursor struct {
	place    iot.Cursor
	passed   int // that were found up to the place
	total    int
	complete bool
}

// IsZero reports whether c is the start, or in Page.Next the end, of a search.
func (c Cursor) IsZero() bool { return c.place.IsZero() }

// String returns c in a form that is opaque to clients and safe in a URL; "" for the zero Cursor.
func (c Cursor) String() string {
	if c.IsZero() {
		return ""
	}
	s := fmt.Sprintf("%s.%d.%d", c.place, c.passed, c.total)
	if c.complete {
		s += "."
	}
	return s
}

// ParseCursor is the inverse of String. A text that String does not return is iot.ErrInvalid.
func ParseCursor(s string) (c Cursor, err error) {
	text, complete := strings.CutSuffix(s, ".")
	c.complete = complete
	place, counts, _ := strings.Cut(text, ".")
	passed, total, _ := strings.Cut(counts, ".")
	c.place, err = iot.ParseCursor(place)
	if s != "" && err == nil {
		c.passed, _ = strconv.Atoi(passed)
		c.total, _ = strconv.Atoi(total)
	}
	if err != nil || c.passed < 0 || c.total < 0 || c.String() != s {
		return Cursor{}, fmt.Errorf("cursor %.60q: %w", s, iot.ErrInvalid)
	}
	return c, nil
}

// Stores are asked for one span of time after the other, each as long as it takes about a spanTime to look through. After
// each it is known how far the search has come, also where the store has left out all readings of it.
const (
	firstSpan = time.Hour
	spanTime  = 100 * time.Millisecond
)

// Find returns the page that s asks for. It counts what it finds beyond the first page of a walk, as far as the
// budget reaches; further pages end when they are full, and repeat that count.
func Find(ctx context.Context, store iot.HistoryReader, s Search) (Page, error) {
	began := time.Now()
	f := finder{Search: s, deadline: began.Add(s.Budget), next: s.After, found: s.After.passed}
	end, to, width := began, s.To, firstSpan
	for _, t := range []time.Time{s.To, s.After.place.At} {
		if !t.IsZero() && t.Before(end) {
			end = t
		}
	}
	for {
		from := end.Add(-width).Truncate(firstSpan)
		last := !from.After(s.From) || from.UnixMilli() <= 0
		if last {
			from = s.From
		}
		q := iot.ScanQuery{Devices: s.Devices, From: from, To: to, Newest: true, After: s.After.place, May: s.Query.May}
		if err := store.ScanReadings(ctx, q, f.take); err != nil {
			return Page{}, fmt.Errorf("search readings: %w", err)
		}
		if f.stopped {
			return f.page(false), nil
		}
		if last {
			return f.page(true), nil
		}
		f.reached(iot.Cursor{At: from, Device: 1}) // the last that can be there
		now := time.Now()
		switch took := now.Sub(began); {
		case now.After(f.deadline):
			return f.page(false), nil
		case took < spanTime/2:
			width *= 2
		case took > spanTime && width > firstSpan:
			width /= 2
		}
		began, end, to = now, from, from
	}
}

// finder makes a page.
type finder struct {
	Search
	deadline time.Time
	found    int // up to where it is, since the start of the walk
	looked   int // readings that it looked at
	readings []iot.Reading
	bytes    int
	full     bool   // a reading was found that the page has no room for
	next     Cursor // behind the last reading of the page or, while it is not full, behind the last that was looked at
	stopped  bool
}

func (f *finder) take(r *iot.Reading) (more bool, err error) {
	if f.Query.Match(r) {
		f.add(r)
	}
	f.reached(r.Cursor())
	f.looked++
	const rarely = 64 // the clock costs as much as a reading
	f.stopped = f.full && !f.After.IsZero() || f.looked%rarely == 0 && time.Now().After(f.deadline)
	return !f.stopped, nil
}

// add puts a reading that was found into the page, or only counts it.
func (f *finder) add(r *iot.Reading) {
	f.found++
	size := r.ContentBytes()
	if len(f.readings) == f.Limit || len(f.readings) > 0 && f.bytes+size > iot.MaxPageBytes {
		f.full = true
	}
	if f.full {
		return
	}
	f.bytes += size
	kept := *r
	kept.Metrics, kept.Attributes = slices.Clone(r.Metrics), slices.Clone(r.Attributes)
	f.readings = append(f.readings, kept)
}

// reached notes that all readings up to a place were looked at.
func (f *finder) reached(place iot.Cursor) {
	if !f.full {
		f.next.place, f.next.passed = place, f.found
	}
}

// page returns what was found. ended: there is nothing left to look at.
func (f *finder) page(ended bool) Page {
	p := Page{Readings: f.readings, Total: f.found, Complete: ended || f.After.complete}
	if f.After.complete || !ended && f.After.total > f.found {
		p.Total = f.After.total
	}
	if f.full || !ended {
		p.Next = f.next
		p.Next.total, p.Next.complete = p.Total, p.Complete
	}
	return p
}
