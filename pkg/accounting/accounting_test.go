package accounting_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/telltale-iot/telltale/pkg/accounting"
)

func TestAccount(t *testing.T) {
	t.Run("what was received is in flight until it is finished", func(t *testing.T) {
		metrics := prometheus.NewPedanticRegistry()
		a := accounting.New(metrics, "things", "Things", "kept", "dropped")
		a.Receive(5)
		a.Finish(3, 2, 1)
		a.FinishOne(1)
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
		a := accounting.New(metrics, "things", "Things", "kept")
		a.Receive(5)
		a.Finish(5, 4)
		if gap := gap(t, metrics); gap != 1 {
			t.Errorf("the difference is %v, want 1", gap)
		}
	})

	t.Run("there is no difference in any scrape", func(t *testing.T) {
		metrics := prometheus.NewRegistry()
		a := accounting.New(metrics, "things", "Things", "kept", "dropped")
		var work sync.WaitGroup
		for range 4 {
			work.Go(func() {
				for i := range 10_000 {
					a.Receive(3)
					a.Finish(3, 2, 1)
					a.Receive(1)
					a.FinishOne(i % 2)
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
