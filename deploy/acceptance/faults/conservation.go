package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// conservation waits until each process has accounted for everything that it took, by its own counters since
// its start.
func (t *trial) conservation(ctx context.Context) error {
	var errs []error
	for _, name := range t.names() {
		p := t.services[name]
		if err := eventually(ctx, 20*time.Second, func() error { return p.conserves(ctx) }); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// conserves is nil when what the process has received is what became of it, and nothing is on its way.
func (p *service) conserves(ctx context.Context) error {
	body, err := get(ctx, "http://"+p.ops+"/metrics")
	if err != nil {
		return err
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(body))
	if err != nil {
		return err
	}
	total := func(name string) (sum float64) {
		for _, m := range families[name].GetMetric() {
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
		return sum
	}
	received := total("telltale_bridge_readings_received_total")
	produced, dead, failed, flying := total("telltale_bridge_readings_produced_total"), total("telltale_bridge_dead_letters_total"),
		total("telltale_bridge_readings_failed_total"), total("telltale_bridge_readings_in_flight")
	if received != produced+dead+failed || flying != 0 {
		return fmt.Errorf("%v readings received, but %v produced + %v dead letters + %v failed, and %v in flight", received, produced, dead, failed, flying)
	}
	if lag := total("telltale_kafka_consumer_lag_records"); lag != 0 {
		return fmt.Errorf("%v records behind", lag)
	}
	return nil
}
