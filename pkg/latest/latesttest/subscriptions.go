package latesttest

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/latest"
)

var subscriptionTests = []test{
	{"subscribers get what was accepted from then on, and nothing else", func(t *testing.T, c latest.Cache) {
		put(t, c, long, reading(1, base, 0))
		one, two := subscribe(t.Context(), t, c), subscribe(t.Context(), t, c)

		accepted := []iot.Reading{reading(1, base.Add(time.Second), 1), reading(1, base.Add(2*time.Second), 2), reading(2, base, 3)}
		expired := reading(3, base, 4)
		expired.Received = now().Add(-long)
		put(t, c, long, accepted[0])
		put(t, c, long, reading(1, base, 4), expired)
		put(t, c, long, accepted[0])
		put(t, c, long, reading(1, base.Add(1500*time.Millisecond), 4), accepted[1], accepted[0])
		put(t, c, long, accepted[2])

		for _, changes := range []<-chan iot.Reading{one, two} {
			for _, want := range accepted {
				if diff := cmp.Diff(kept(want), next(t, changes)); diff != "" {
					t.Errorf("change (-want +got):\n%s", diff)
				}
			}
		}
	}},

	{"repeating a batch publishes nothing and changes nothing", func(t *testing.T, c latest.Cache) {
		batch := []iot.Reading{reading(1, base, 1), reading(1, base.Add(time.Second), 2), reading(2, base, 3)}
		put(t, c, long, batch...)
		changes := subscribe(t.Context(), t, c)
		for range 3 {
			put(t, c, long, batch...)
		}
		last := reading(3, base, 4)
		put(t, c, long, last)
		if diff := cmp.Diff(kept(last), next(t, changes)); diff != "" {
			t.Errorf("first change (-want +got):\n%s", diff)
		}
		checkAll(t, c, batch[1], batch[2], last)
	}},

	{"a subscriber that does not read holds up nobody, is cut off, and sees no gap before", func(t *testing.T, c latest.Cache) {
		slow := subscribe(t.Context(), t, c)
		const devices, rounds = 500, 40
		last := make([]iot.Reading, devices)
		for round := range rounds {
			for i := range last {
				last[i] = reading(iot.DeviceID(1+i), base.Add(time.Duration(round)*time.Millisecond), float64(round))
			}
			put(t, c, long, last...)
		}
		checkAll(t, c, last...)

		seen := 0
		perDevice := make(map[iot.DeviceID]float64)
		for deadline := time.After(patience); ; seen++ {
			var r iot.Reading
			ok := false
			select {
			case r, ok = <-slow:
			case <-deadline:
				t.Fatalf("not cut off within %v, after %d changes", patience, seen)
			}
			if !ok {
				break
			}
			if round, _ := r.Metric(iot.Temperature); round != perDevice[r.Device] {
				t.Fatalf("device %d: change %v where %v is next", r.Device, round, perDevice[r.Device])
			}
			perDevice[r.Device]++
		}
		if seen == 0 || seen >= devices*rounds {
			t.Errorf("got %d changes of %d before the end", seen, devices*rounds)
		}
	}},

	{"a subscription ends with its context, and others go on", func(t *testing.T, c latest.Cache) {
		ctx, cancel := context.WithCancel(t.Context())
		ending, staying := subscribe(ctx, t, c), subscribe(t.Context(), t, c)
		cancel()
		awaitEnd(t, ending)
		want := reading(1, base, 1)
		put(t, c, long, want)
		if diff := cmp.Diff(kept(want), next(t, staying)); diff != "" {
			t.Errorf("change (-want +got):\n%s", diff)
		}
	}},

	{"closing the cache ends its subscriptions", func(t *testing.T, c latest.Cache) {
		changes := subscribe(t.Context(), t, c)
		if err := c.Close(); err != nil {
			t.Fatalf("Close: %v", err)
		}
		awaitEnd(t, changes)
	}},
}
