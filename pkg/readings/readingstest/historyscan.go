package readingstest

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// oldCrowd returns readings of 5 devices over more than a day: with a metric of few values, one that few of them have, and
// some attributes.
func oldCrowd(random *rand.Rand) (all []iot.Reading) {
	for i := range 1000 {
		r := reading(iot.DeviceID(1+i%5), 0, float64(random.IntN(40)))
		r.At = monthEnd.Add(time.Duration(i/5) * 10 * time.Minute)
		if random.IntN(100) == 0 {
			r.Metrics = append(r.Metrics, metric("voltage", float64(random.IntN(4))))
		}
		if random.IntN(100) == 0 {
			r.Attributes = []iot.Attribute{attribute("site", "roof")}
		}
		all = append(all, r)
	}
	return all
}

var scanTests = []historyTest{
	{"what a refused summary leaves out is only what it says", func(t *testing.T, h *history) {
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		random := rand.New(rand.NewPCG(seed, 1))
		all := oldCrowd(random)
		insert(t, h, all...)
		for range 2 {
			for range 5 {
				q := iot.ScanQuery{Newest: random.IntN(2) == 0}
				var refused []iot.Summary
				q.May = func(s iot.Summary) bool {
					if random.IntN(2) == 0 {
						s.Metrics = slices.Clone(s.Metrics)
						refused = append(refused, s)
						return false
					}
					return true
				}
				wantOnlyRefused(t, all, scan(t, h, q), &refused)
			}
			t.Log("maintained")
			h.maintain(t)
		}
	}},
	{"so a search by summaries finds all that there is", func(t *testing.T, h *history) {
		all := oldCrowd(rand.New(rand.NewPCG(1, 1)))
		insert(t, h, all...)
		h.maintain(t)
		for _, c := range []struct {
			name  string
			may   func(s iot.Summary) bool
			wants func(r iot.Reading) bool
		}{
			{"a great value", func(s iot.Summary) bool { return hasMore(s, iot.Temperature, 38) },
				func(r iot.Reading) bool { v, _ := r.Metric(iot.Temperature); return v > 38 }},
			{"a rare metric", func(s iot.Summary) bool { return hasMore(s, "voltage", 2) },
				func(r iot.Reading) bool { v, _ := r.Metric("voltage"); return v > 2 }},
			{"a text", func(s iot.Summary) bool { return s.Text }, func(r iot.Reading) bool { return len(r.Attributes) > 0 }},
			{"a device", func(s iot.Summary) bool { return s.Device == 3 }, func(r iot.Reading) bool { return r.Device == 3 }},
		} {
			var want []iot.Reading
			for _, r := range all {
				if c.wants(r) {
					want = append(want, r)
				}
			}
			got := slices.DeleteFunc(scan(t, h, iot.ScanQuery{May: c.may}), func(r iot.Reading) bool { return !c.wants(r) })
			wantSameReadings(t, c.name, got, want)
		}
	}},
	{"a scan ends at once where its context does, or the one who takes it fails, and leaves nothing behind", func(t *testing.T, h *history) {
		insert(t, h, oldCrowd(rand.New(rand.NewPCG(1, 1)))...)
		for range 2 {
			for name, scan := range scans(h) {
				t.Run(name, func(t *testing.T) {
					for range 6 { // more often than a store has connections
						wantEnd(t, scan)
					}
				})
			}
			h.maintain(t)
		}
		wantInserted(t, insert(t, h, reading(1, 0, 20)), iot.Inserted{New: 1})
	}},
	{"those who wait in the middle of scans hold up nobody", func(t *testing.T, h *history) {
		insert(t, h, oldCrowd(rand.New(rand.NewPCG(1, 1)))...)
		h.maintain(t)
		release, ended := make(chan struct{}), make(chan error)
		for range iot.MaxWaitingScans {
			waits := make(chan struct{})
			go func() {
				ended <- h.ScanReadings(t.Context(), iot.ScanQuery{}, func(*iot.Reading) (bool, error) {
					close(waits)
					<-release
					return false, nil
				})
			}()
			<-waits
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, counted := h.CountReadings(ctx)
		_, found := h.FindReadings(ctx, iot.ReadingQuery{Limit: 10})
		read := h.ReadSamples(ctx, iot.SampleQuery{}, func(iot.Samples) error { return nil })
		if err := errors.Join(counted, found, read); err != nil {
			t.Error(err)
		}
		close(release)
		for range iot.MaxWaitingScans {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	}},
}

// wantOnlyRefused checks that all but what refused is of is in got.
func wantOnlyRefused(t *testing.T, all, got []iot.Reading, refused *[]iot.Summary) {
	t.Helper()
	met := map[place]bool{}
	for _, r := range got {
		if met[placeOf(r)] {
			t.Fatalf("device %v at %v comes twice", r.Device, r.At)
		}
		met[placeOf(r)] = true
	}
	missed, most := 0, 0
	for _, s := range *refused {
		most += s.Count
	}
	for _, r := range all {
		if met[placeOf(r)] {
			continue
		}
		missed++
		if !slices.ContainsFunc(*refused, func(s iot.Summary) bool { return describes(s, r) }) {
			t.Errorf("%+v is left out, and no summary that was refused says so", r)
		}
	}
	if missed > most || missed+len(got) != len(all) {
		t.Errorf("%d of %d are found, and %d left out, where %d were refused", len(got), len(all), missed, most)
	}
}

// describes reports whether r may be one of those that s is of.
func describes(s iot.Summary, r iot.Reading) bool {
	if s.Device != r.Device || r.At.Before(s.From) || r.At.After(s.To) || len(r.Attributes) > 0 && !s.Text {
		return false
	}
	for _, m := range r.Metrics {
		if !slices.ContainsFunc(s.Metrics, func(s iot.MetricRange) bool { return s.Name == m.Name && s.Min <= m.Value && m.Value <= s.Max }) {
			return false
		}
	}
	return true
}

// hasMore reports whether a value of metric that s is of may be more than most.
func hasMore(s iot.Summary, metric string, most float64) bool {
	return slices.ContainsFunc(s.Metrics, func(m iot.MetricRange) bool { return m.Name == metric && m.Max > most })
}

// scans are the ways to read a store, of all that it has. take is called with each chunk.
func scans(h *history) map[string]func(ctx context.Context, take func() error) error {
	return map[string]func(ctx context.Context, take func() error) error{
		"oldest first": func(ctx context.Context, take func() error) error {
			return h.ScanReadings(ctx, iot.ScanQuery{}, func(*iot.Reading) (bool, error) { return true, take() })
		},
		"newest first": func(ctx context.Context, take func() error) error {
			return h.ScanReadings(ctx, iot.ScanQuery{Newest: true}, func(*iot.Reading) (bool, error) { return true, take() })
		},
		"of a device": func(ctx context.Context, take func() error) error {
			return h.ScanReadings(ctx, iot.ScanQuery{Devices: []iot.DeviceID{2}}, func(*iot.Reading) (bool, error) { return true, take() })
		},
		"samples": func(ctx context.Context, take func() error) error {
			return h.ReadSamples(ctx, iot.SampleQuery{}, func(iot.Samples) error { return take() })
		},
		"quarters": func(ctx context.Context, take func() error) error {
			return h.ReadBuckets(ctx, iot.BucketQuery{Width: iot.Quarter}, func(iot.Buckets) error { return take() })
		},
		"days": func(ctx context.Context, take func() error) error {
			return h.ReadBuckets(ctx, iot.BucketQuery{Width: iot.Day}, func(iot.Buckets) error { return take() })
		},
	}
}

// wantEnd checks that scan ends where it is to.
func wantEnd(t *testing.T, scan func(ctx context.Context, take func() error) error) {
	t.Helper()
	errTaken, taken := errors.New("taken enough"), 0
	err := scan(t.Context(), func() error {
		if taken++; taken == 3 {
			return errTaken
		}
		return nil
	})
	if !errors.Is(err, errTaken) || taken != 3 {
		t.Errorf("the third call of take failed: %v after %d calls, want its error", err, taken)
	}
	taken = 0
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	err = scan(ctx, func() error {
		taken++
		cancel()
		return nil
	})
	if !errors.Is(err, context.Canceled) || taken != 1 {
		t.Errorf("the context ended in the first call of take: %v after %d calls, want %v", err, taken, context.Canceled)
	}
	err = scan(cancelled(t), func() error {
		t.Error("take is called though the context has ended")
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("the context had ended: %v, want %v", err, context.Canceled)
	}
}
