package readingstest

import (
	"maps"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
)

var walkTests = []historyTest{
	{"who reads while readings arrive, new and old ones, and the store is maintained, misses nothing and sees nothing twice", func(t *testing.T, h *history) {
		for name, walk := range map[string]func(t *testing.T, h *history, met func(place)){
			"pages":        walkPages,
			"oldest first": func(t *testing.T, h *history, met func(place)) { walkScan(t, h, iot.ScanQuery{}, met) },
			"newest first": func(t *testing.T, h *history, met func(place)) { walkScan(t, h, iot.ScanQuery{Newest: true}, met) },
			"samples":      walkSamples,
		} {
			t.Run(name, func(t *testing.T) { walkWhileInserting(t, h, walk) })
		}
	}},
	{"what is counted meanwhile never falls", func(t *testing.T, h *history) {
		most := map[time.Duration]int64{} // by the width of buckets; 0: readings
		whileInserting(t, h, func(acknowledged func() map[place]bool) {
			for _, width := range []time.Duration{0, iot.Quarter, iot.Day} {
				before := int64(len(acknowledged()))
				n := countAll(t, h, width)
				if n < max(before, most[width]) {
					t.Errorf("%d are counted in %v, after %d were, and %d were acknowledged", n, width, most[width], before)
				}
				most[width] = n
			}
		})
	}},
}

// walkWhileInserting checks that walk meets what was acknowledged before it, and nothing twice.
func walkWhileInserting(t *testing.T, h *history, walk func(t *testing.T, h *history, met func(place))) {
	whileInserting(t, h, func(acknowledged func() map[place]bool) {
		before, met := acknowledged(), map[place]bool{}
		walk(t, h, func(p place) {
			if met[p] {
				t.Errorf("%+v comes twice", p)
			}
			met[p] = true
		})
		for p := range before {
			if !met[p] {
				t.Errorf("%+v was acknowledged and is missed", p)
			}
		}
	})
}

func walkPages(t *testing.T, h *history, met func(place)) {
	for q := (iot.ReadingQuery{Limit: 97}); ; {
		page := find(t, h, q)
		for _, r := range page.Readings {
			met(placeOf(r))
		}
		if q.After = page.Next; q.After.IsZero() {
			return
		}
	}
}

func walkScan(t *testing.T, h *history, q iot.ScanQuery, met func(place)) {
	for _, r := range scan(t, h, q) {
		met(placeOf(r))
	}
}

func walkSamples(t *testing.T, h *history, met func(place)) {
	for series, samples := range samples(t, h, iot.SampleQuery{Metrics: []string{iot.Temperature}}) {
		for _, s := range samples {
			met(place{series.device, s.at})
		}
	}
}

// whileInserting calls read again and again while readings with a temperature are inserted and the store is maintained.
func whileInserting(t *testing.T, h *history, read func(acknowledged func() map[place]bool)) {
	const batches, ofBatch = 15, 40
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	var mu sync.Mutex
	all := map[place]bool{}
	acknowledged := func() map[place]bool {
		mu.Lock()
		defer mu.Unlock()
		return maps.Clone(all)
	}
	var inserting, maintaining sync.WaitGroup
	inserted := make(chan struct{})
	inserting.Go(func() {
		defer close(inserted)
		for l := newLoad(seed); len(l.sent) < batches*ofBatch; {
			batch := l.batch(ofBatch)
			for i := range batch { // a reading that a server stamped may be moved to where a walk was already
				batch[i].Stamped, batch[i].Origin = iot.StampDevice, 0
				batch[i].Metrics = []iot.Metric{metric(iot.Temperature, valueOf(batch[i], iot.Temperature))}
			}
			insert(t, h, batch...)
			mu.Lock()
			for _, r := range batch {
				all[placeOf(r)] = true
			}
			mu.Unlock()
		}
	})
	maintaining.Go(func() {
		for going(inserted) {
			h.maintain(t)
		}
	})
	for going(inserted) && !t.Failed() {
		read(acknowledged)
	}
	inserting.Wait()
	maintaining.Wait()
	read(acknowledged)
}

// going reports whether done is still open.
func going(done <-chan struct{}) bool {
	select {
	case <-done:
		return false
	default:
		return true
	}
}

// countAll counts the readings, or the temperatures in buckets of this width.
func countAll(t *testing.T, h *history, width time.Duration) (n int64) {
	t.Helper()
	if width == 0 {
		counts, err := h.CountReadings(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range counts {
			n += c.Count
		}
		return n
	}
	for _, list := range buckets(t, h, iot.BucketQuery{SampleQuery: iot.SampleQuery{Metrics: []string{iot.Temperature}}, Width: width}) {
		for _, b := range list {
			n += b.Count
		}
	}
	return n
}
