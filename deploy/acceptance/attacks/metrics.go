package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

var client = http.Client{Timeout: 5 * time.Second}

// collect has t collect its garbage.
func (t *target) collect(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+t.OpsAddr()+"/debug/pprof/heap?gc=1", nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("a profile of the heap: %s", response.Status)
	}
	_, err = io.Copy(io.Discard, response.Body)
	return err
}

// refusals is the counter of what strangers were refused, by reason.
const refusals = "telltale_bridge_refusals_total"

// counts is nil when something was refused for every one of reasons.
func (t *target) counts(reasons []string) error {
	if len(reasons) == 0 {
		return nil
	}
	response, err := client.Get("http://" + t.OpsAddr() + "/metrics")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(response.Body)
	if err != nil {
		return err
	}
	counted := map[string]float64{}
	for _, m := range families[refusals].GetMetric() {
		for _, l := range m.GetLabel() {
			if l.GetName() == "reason" {
				counted[l.GetValue()] += m.GetCounter().GetValue()
			}
		}
	}
	var errs []error
	for _, reason := range reasons {
		if counted[reason] == 0 {
			errs = append(errs, fmt.Errorf("nothing is counted as %s; counted are %v", reason, counted))
		}
	}
	return errors.Join(errs...)
}
