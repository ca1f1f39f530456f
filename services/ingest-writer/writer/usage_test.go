package writer

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/telltale-iot/telltale/pkg/iot"
)

type answer struct {
	usage iot.Usage
	err   error
}

func (a *answer) Usage(context.Context) (iot.Usage, error) { return a.usage, a.err }

// TestUsage: the metrics are what the store says, and no numbers of what it does not know.
func TestUsage(t *testing.T) {
	store := &answer{}
	u := &usage{store: store, log: slog.New(slog.DiscardHandler)}
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(u)
	for _, c := range []struct {
		answer
		want map[string]float64
	}{
		{answer{iot.Usage{Readings: 300, Rollups: 20, Free: 1000, PerDay: 10, MaxBytes: 400}, nil}, map[string]float64{
			"telltale_store_size_bytes": 320, "telltale_store_max_bytes": 400, "telltale_store_free_bytes": 1000,
			"telltale_store_growth_bytes_per_day": 10, "telltale_store_days_until_full": 8,
		}},
		{answer{iot.Usage{Readings: 300, Free: -1, PerDay: -1}, nil}, map[string]float64{
			"telltale_store_size_bytes": 300, "telltale_store_max_bytes": math.Inf(1), "telltale_store_free_bytes": math.NaN(),
			"telltale_store_growth_bytes_per_day": math.NaN(), "telltale_store_days_until_full": math.NaN(),
		}},
		{answer{iot.Usage{}, errors.New("away")}, map[string]float64{}},
	} {
		*store = c.answer
		u.ask(t.Context())
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]float64{}
		for _, f := range families {
			got[f.GetName()] = f.GetMetric()[0].GetGauge().GetValue()
		}
		if diff := cmp.Diff(c.want, got, cmpopts.EquateNaNs()); diff != "" {
			t.Errorf("of %+v (-want +got):\n%s", c.answer, diff)
		}
	}
}
