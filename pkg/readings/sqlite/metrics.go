package sqlite

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct{ sealed prometheus.Counter }

// newMetrics counts what s does, where registry is not nil for all to see.
func newMetrics(registry prometheus.Registerer, s *Store) metrics {
	promauto.With(registry).NewGaugeFunc(prometheus.GaugeOpts{
		Name: "telltale_store_hot_rows",
		Help: "Readings that are rows: they are not sealed yet.",
	}, func() float64 {
		s.state.RLock()
		defer s.state.RUnlock()
		return float64(s.rows)
	})
	return metrics{sealed: promauto.With(registry).NewCounter(prometheus.CounterOpts{
		Name: "telltale_store_sealed_readings_total",
		Help: "Readings that were sealed into blocks, once more for each time that something was added to them.",
	})}
}
