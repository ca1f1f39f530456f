package writer

import (
	"context"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/timeouts"
)

// usageEvery is how often the store is asked what it takes: it counts the readings of a day for that.
const usageEvery = time.Minute

// usage shows what the store takes. What is not known is NaN, so that no alert takes it for 0.
type usage struct {
	store interface {
		Usage(ctx context.Context) (iot.Usage, error)
	}
	log *slog.Logger

	mu     sync.Mutex
	latest *iot.Usage
}

var usageMetrics = []struct {
	description *prometheus.Desc
	value       func(iot.Usage) float64 // less than 0: not known
}{
	{describe("size_bytes", "What readings and rollups take on the disk of the store."), func(u iot.Usage) float64 { return float64(u.Readings + u.Rollups) }},
	{describe("max_bytes", "What they may take: DATA_MAX_BYTES, infinite without it."), func(u iot.Usage) float64 {
		if u.MaxBytes == 0 {
			return math.Inf(1)
		}
		return float64(u.MaxBytes)
	}},
	{describe("free_bytes", "What is free on the disk of the store, NaN where that is not known."), func(u iot.Usage) float64 { return float64(u.Free) }},
	{describe("growth_bytes_per_day", "What the readings of the last whole day take, without what the retention removes in a day; NaN where that is not known."), func(u iot.Usage) float64 { return float64(u.PerDay) }},
	{describe("days_until_full", "When the disk is full at this rate, or DATA_MAX_BYTES reached; NaN where that is not known."), iot.Usage.DaysUntilFull},
}

func describe(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("telltale_store_"+name, help, nil, nil)
}

// Describe implements prometheus.Collector.
func (u *usage) Describe(descriptions chan<- *prometheus.Desc) {
	for _, m := range usageMetrics {
		descriptions <- m.description
	}
}

// Collect implements prometheus.Collector.
func (u *usage) Collect(metrics chan<- prometheus.Metric) {
	u.mu.Lock()
	latest := u.latest
	u.mu.Unlock()
	if latest == nil {
		return
	}
	for _, m := range usageMetrics {
		value := m.value(*latest)
		if value < 0 {
			value = math.NaN()
		}
		metrics <- prometheus.MustNewConstMetric(m.description, prometheus.GaugeValue, value)
	}
}

// run asks the store until ctx ends. While it does not answer there are no figures.
func (u *usage) run(ctx context.Context) error {
	again := time.NewTicker(usageEvery)
	defer again.Stop()
	for {
		u.ask(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-again.C:
		}
	}
}

func (u *usage) ask(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, timeouts.CountRequest)
	defer cancel()
	latest, err := u.store.Usage(ctx)
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.latest = &latest; err != nil {
		u.latest = nil
		u.log.Debug("the store does not say what it takes", "error", err)
	}
}
