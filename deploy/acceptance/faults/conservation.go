package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// conservation waits until each process has accounted for everything that it took, by its own counters since
// its start.
func (t *trial) conservation(ctx context.Context) error {
	var errs []error
	for _, name := range t.names() {
		p := t.services[name]
		if err := eventually(ctx, catchUpLimit, func() error { return p.conserves(ctx) }); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// conserves is nil when, of all that the process counts as received, it says what became of it, nothing is on
// its way, and it is not behind.
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
	kinds := 0
	for name, received := range families {
		kind, ok := strings.CutSuffix(name, "_received_total")
		flying := families[kind+"_in_flight"]
		if !ok || flying == nil {
			continue
		}
		kinds++
		if in, became, left := sum(received), sum(families[kind+"_total"]), sum(flying); in != became || left != 0 {
			return fmt.Errorf("%s: %v received, %v of them became something, %v in flight", kind, in, became, left)
		}
	}
	if kinds == 0 {
		return errors.New("it counts nothing that it receives")
	}
	if behind := sum(families["telltale_kafka_consumer_lag_records"]); behind != 0 {
		return fmt.Errorf("%v records behind", behind)
	}
	return nil
}

// sum adds up the counters or gauges of a family.
func sum(family *dto.MetricFamily) (total float64) {
	for _, m := range family.GetMetric() {
		total += m.GetCounter().GetValue() + m.GetGauge().GetValue()
	}
	return total
}
