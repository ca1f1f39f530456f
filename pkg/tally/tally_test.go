package tally_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/telltale-iot/telltale/pkg/tally"
)

func TestTally(t *testing.T) {
	t.Run("what was taken is in flight until it is settled", func(t *testing.T) {
		metrics := prometheus.NewPedanticRegistry()
		c := tally.New(metrics, "things", "Things", "kept", "dropped")
		c.Take(5)
		c.Settle(3, 2, 1)
		c.SettleOne(1)
		err := testutil.GatherAndCompare(metrics, strings.NewReader(`
# HELP things_in_flight Things taken in, of which nothing has become yet.
# TYPE things_in_flight gauge
things_in_flight 1
# HELP things_received_total Things taken in.
# TYPE things_received_total counter
things_received_total 5
# HELP things_total Things by what became of them.
# TYPE things_total counter
things_total{outcome="dropped"} 2
things_total{outcome="kept"} 2
`))
		if err != nil {
			t.Error(err)
		}
	})

	t.Run("what is forgotten shows as a difference", func(t *testing.T) {
		metrics := prometheus.NewRegistry()
		c := tally.New(metrics, "things", "Things", "kept")
		c.Take(5)
		c.Settle(5, 4)
		if gap := gap(t, metrics); gap != 1 {
			t.Errorf("the difference is %v, want 1", gap)
		}
	})

	t.Run("there is no difference in any scrape", func(t *testing.T) {
		metrics := prometheus.NewRegistry()
		c := tally.New(metrics, "things", "Things", "kept", "dropped")
		var work sync.WaitGroup
		for range 4 {
			work.Go(func() {
				for i := range 10_000 {
					c.Take(3)
					c.Settle(3, 2, 1)
					c.Take(1)
					c.SettleOne(i % 2)
				}
			})
		}
		for range 100 {
			if gap := gap(t, metrics); gap != 0 {
				t.Errorf("the difference is %v", gap)
			}
		}
		work.Wait()
	})
}

// gap is what was received, without what is known to have become of it.
func gap(t *testing.T, metrics *prometheus.Registry) (gap float64) {
	t.Helper()
	families, err := metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			switch f.GetName() {
			case "things_received_total":
				gap += m.GetCounter().GetValue()
			case "things_total":
				gap -= m.GetCounter().GetValue()
			case "things_in_flight":
				gap -= m.GetGauge().GetValue()
			}
		}
	}
	return gap
}
