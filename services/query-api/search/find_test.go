package search

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// memory is a store in which everything takes its time.
type memory struct {
	iot.HistoryReader
	readings []iot.Reading // newest first
	block    time.Duration // to look at the summary of one of an hour and a device
	reading  time.Duration // to hand one to take
	scanned  int           // that were
	err      error
}

func (m *memory) insert(readings ...iot.Reading) {
	m.readings = append(m.readings, readings...)
	slices.SortFunc(m.readings, func(a, b iot.Reading) int { return compare(b.Cursor(), a.Cursor()) })
}

func compare(a, b iot.Cursor) int {
	if c := a.At.Compare(b.At); c != 0 {
		return c
	}
	return int(a.Device - b.Device)
}

func (m *memory) ScanReadings(_ context.Context, q iot.ScanQuery, take func(*iot.Reading) (bool, error)) error {
	type hour struct {
		device iot.DeviceID
		at     time.Time
	}
	blocks := map[hour][]iot.Reading{}
	var selected []iot.Reading
	for _, r := range m.readings {
		if r.At.Before(q.From) || !q.To.IsZero() && !r.At.Before(q.To) || !q.After.IsZero() && compare(r.Cursor(), q.After) >= 0 ||
			q.Devices != nil && !slices.Contains(q.Devices, r.Device) {
			continue
		}
		selected = append(selected, r)
		h := hour{r.Device, r.At.Truncate(time.Hour)}
		blocks[h] = append(blocks[h], r)
	}
	may := map[hour]bool{}
	for h, readings := range blocks {
		time.Sleep(m.block)
		may[h] = q.May(summarize(readings))
	}
	for _, r := range selected {
		if !may[hour{r.Device, r.At.Truncate(time.Hour)}] {
			continue
		}
		time.Sleep(m.reading)
		m.scanned++
		if more, err := take(&r); err != nil || !more {
			return err
		}
		clear(r.Metrics) // they were take's only meanwhile
	}
	return m.err
}

func measured(device iot.DeviceID, at time.Time, value float64) iot.Reading {
	return iot.Reading{Device: device, At: at.UTC().Truncate(time.Millisecond), Metrics: []iot.Metric{{Name: "n", Value: value}}}
}

// counted is what a page says of its search.
type counted struct {
	Total    int
	Complete bool
}

// walk follows a search to its end, and returns all that it found, and what each page said.
func walk(t *testing.T, store *memory, s Search) (found []iot.Cursor, pages []counted) {
	t.Helper()
	for {
		copied := &memory{readings: make([]iot.Reading, len(store.readings)), block: store.block, reading: store.reading}
		for i, r := range store.readings {
			r.Metrics = slices.Clone(r.Metrics)
			copied.readings[i] = r
		}
		began := time.Now()
		page, err := Find(t.Context(), copied, s)
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > s.Budget+time.Second {
			t.Errorf("a page took %v", took)
		}
		for _, r := range page.Readings {
			found = append(found, r.Cursor())
			if !s.Query.Match(&r) {
				t.Errorf("it found %+v", r)
			}
		}
		next, err := ParseCursor(page.Next.String())
		if err != nil || next.String() != page.Next.String() {
			t.Fatalf("cursor %+v: %+v, %v", page.Next, next, err)
		}
		if pages = append(pages, counted{page.Total, page.Complete}); next.IsZero() {
			return found, pages
		}
		if s.After == next {
			t.Fatalf("it does not get anywhere: %v", next)
		}
		s.After = next
	}
}

func parse(t *testing.T, query string) *Query {
	t.Helper()
	q, err := Parse(query)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func TestFind(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	store := new(memory)
	for i := range 10 {
		store.insert(measured(1, now.Add(-time.Duration(i)*90*time.Minute), float64(i)), measured(2, now.Add(-time.Duration(i)*90*time.Minute), float64(i)))
	}
	for _, c := range []struct {
		name  string
		s     Search
		found int
		pages []counted
	}{
		{"all", Search{Query: parse(t, "")}, 20, []counted{{Total: 20, Complete: true}}},
		{"some", Search{Query: parse(t, "n:>5")}, 8, []counted{{Total: 8, Complete: true}}},
		{"none", Search{Query: parse(t, "n:>50")}, 0, []counted{{Total: 0, Complete: true}}},
		{"of a device", Search{Query: parse(t, "n:>5"), Devices: []iot.DeviceID{2}}, 4, []counted{{Total: 4, Complete: true}}},
		{"a range of time", Search{Query: parse(t, ""), From: now.Add(-90 * time.Minute), To: now}, 2, []counted{{Total: 2, Complete: true}}},
		{"a range of time without any", Search{Query: parse(t, ""), From: now.Add(time.Hour)}, 0, []counted{{Total: 0, Complete: true}}},
		{"a range of time that is none", Search{Query: parse(t, ""), From: now, To: now.Add(-100 * time.Hour)}, 0, []counted{{Total: 0, Complete: true}}},
		{"long ago", Search{Query: parse(t, ""), To: time.UnixMilli(5)}, 0, []counted{{Total: 0, Complete: true}}},
		{"pages", Search{Query: parse(t, ""), Limit: 8}, 20, []counted{{Total: 20, Complete: true}, {Total: 20, Complete: true}, {Total: 20, Complete: true}}},
		{"a full page and no more", Search{Query: parse(t, "n:>5"), Limit: 8}, 8, []counted{{Total: 8, Complete: true}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.s.Budget = time.Hour; c.s.Limit == 0 {
				c.s.Limit = 100
			}
			found, pages := walk(t, store, c.s)
			if diff := cmp.Diff(c.pages, pages); diff != "" || len(found) != c.found {
				t.Errorf("%d found\n%s", len(found), diff)
			}
		})
	}
}

// TestWalkInTime: whatever a page's budget and limit, a walk finds everything once, newest first, while new readings come.
func TestWalkInTime(t *testing.T) {
	seed := rand.Uint64()
	for round := range uint64(15) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, round))
			store := &memory{block: time.Duration(random.IntN(4)) * 10 * time.Millisecond, reading: time.Duration(random.IntN(3)) * 8 * time.Millisecond}
			query := parse(t, []string{"", "n:>90", "n:<50 -n:<40", "n:>1000"}[random.IntN(4)])
			var want []iot.Cursor
			past := []time.Duration{time.Hour, 1000 * time.Hour}[random.IntN(2)] // in one span, or in many
			for range 1 + random.IntN(1000) {
				at := time.Now().Add(-time.Duration(random.Int64N(int64(past))))
				r := measured(iot.DeviceID(1+random.IntN(3)), at, float64(random.IntN(100)))
				if store.insert(r); query.Match(&r) {
					want = append(want, r.Cursor())
				}
			}
			slices.SortFunc(want, func(a, b iot.Cursor) int { return compare(b, a) })
			s := Search{Query: query, Limit: 1 + random.IntN(300), Budget: 2 * time.Second}
			found, pages := walk(t, store, s)
			if diff := cmp.Diff(want, found); diff != "" {
				t.Errorf("seed %d, round %d (-stored +found):\n%s", seed, round, diff)
			}
			if last := pages[len(pages)-1]; !last.Complete || last.Total != len(want) {
				t.Errorf("seed %d, round %d: at the end of %d: %+v", seed, round, len(want), last)
			}
			for i, p := range pages[1:] {
				if before := pages[i]; p.Total < before.Total || before.Complete && (p.Total != before.Total || !p.Complete) {
					t.Errorf("seed %d, round %d: %+v behind %+v", seed, round, p, before)
				}
			}
		})
	}
}

// TestWalkReadsOnce: the pages of a walk do not read all that is behind them, as the first one does.
func TestWalkReadsOnce(t *testing.T) {
	store := new(memory)
	for i := range 1000 {
		store.insert(measured(1, time.UnixMilli(int64(i)), 1))
	}
	page, err := Find(t.Context(), store, Search{Query: parse(t, ""), Limit: 10, Budget: time.Hour})
	if err != nil || store.scanned != 1000 {
		t.Fatalf("the first page has scanned %d: %v", store.scanned, err)
	}
	store.scanned = 0
	if _, err := Find(t.Context(), store, Search{Query: parse(t, ""), Limit: 10, Budget: time.Hour, After: page.Next}); err != nil || store.scanned != 11 {
		t.Errorf("the second page has scanned %d: %v", store.scanned, err)
	}
}

func TestPageBytes(t *testing.T) {
	store := new(memory)
	for i := range 5 {
		r := measured(1, time.UnixMilli(int64(i)), 1)
		r.Attributes = []iot.Attribute{{Name: "a", Value: string(make([]byte, iot.MaxPageBytes/2-100))}}
		store.insert(r)
	}
	found, pages := walk(t, store, Search{Query: parse(t, ""), Limit: 10, Budget: time.Hour})
	if len(found) != 5 || len(pages) != 3 {
		t.Errorf("%d found on %d pages", len(found), len(pages))
	}
}

func TestFindFails(t *testing.T) {
	away := errors.New("away")
	if _, err := Find(t.Context(), &memory{err: away}, Search{Query: parse(t, ""), Limit: 1, Budget: time.Second}); !errors.Is(err, away) {
		t.Error(err)
	}
}

func TestParseCursor(t *testing.T) {
	c := Cursor{place: iot.Cursor{At: time.UnixMilli(5).UTC(), Device: 7}, passed: 3, total: 9, complete: true}
	if got, err := ParseCursor(c.String()); err != nil || got != c {
		t.Errorf("%+v, %v", got, err)
	}
	place := c.place.String()
	for _, s := range []string{".", "x", ".1.2", place, place + ".1", place + ".-1.2", place + ".1.2..", place + ".01.2", place + ".1.2 ", place + ".1.9999999999999999999"} {
		if c, err := ParseCursor(s); !errors.Is(err, iot.ErrInvalid) {
			t.Errorf("%s: %+v, %v", s, c, err)
		}
	}
	if c, err := ParseCursor(""); err != nil || !c.IsZero() {
		t.Errorf("%+v, %v", c, err)
	}
}

func ExampleParse() {
	_, err := Parse("temperature:> 25")
	fmt.Println(err)
	// Output: Expected a value right behind the > at 14, found a space.
}
