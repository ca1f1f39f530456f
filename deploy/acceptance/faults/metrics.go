package main

import (
	"bytes"
	"context"
	"fmt"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// families is what a process says on /metrics.
type families map[string]*dto.MetricFamily

func (p *service) metrics(ctx context.Context) (families, error) {
	body, err := get(ctx, "http://"+p.ops+"/metrics")
	if err != nil {
		return nil, err
	}
	return parseMetrics(body)
}

func parseMetrics(text []byte) (families, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	return parser.TextToMetricFamilies(bytes.NewReader(text))
}

// sum adds up the counters or gauges of a family, those with a label of a value where that is given. A family that
// is not there is an error: it must not pass for 0.
func (f families) sum(name string, label ...string) (total float64, err error) {
	family := f[name]
	if family == nil {
		return 0, fmt.Errorf("it has no metric %s", name)
	}
	for _, m := range family.GetMetric() {
		if len(label) == 0 || labelOf(m, label[0]) == label[1] {
			total += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return total, nil
}

func labelOf(m *dto.Metric, name string) string {
	for _, l := range m.GetLabel() {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}

// counts returns a metric of p.
func (p *service) counts(ctx context.Context, name string, label ...string) (float64, error) {
	f, err := p.metrics(ctx)
	if err == nil {
		var n float64
		if n, err = f.sum(name, label...); err == nil {
			return n, nil
		}
	}
	return 0, fmt.Errorf("%s: %w", p.name, err)
}
