package api

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/timeouts"
	"github.com/telltale-iot/telltale/services/query-api/promql"
)

// TestDashboard asks for what the dashboard of temperatures asks for, as Grafana does.
func TestDashboard(t *testing.T) {
	text, err := os.ReadFile("../../../deploy/grafana/dashboards/temperature.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &dashboard); err != nil || len(dashboard.Panels) == 0 {
		t.Fatalf("%+v, %v", dashboard, err)
	}
	s := embedded(t)
	if _, err := s.metadata.EnsureDevices(t.Context(), []iot.Identity{{ID: 1}}, iot.Admission{}); err != nil {
		t.Fatal(err)
	}
	for i := range 300 {
		s.insert(t, reading(1, i*10))
	}
	handler := s.handler(t)
	ask := func(path string, form url.Values) (answered struct {
		Status string
		Data   json.RawMessage
	}) {
		t.Helper()
		path = "/api/prometheus/api/v1/" + path + "?" + form.Encode()
		w := get(handler, path)
		if err := json.Unmarshal(w.Body.Bytes(), &answered); err != nil || w.Code != http.StatusOK || answered.Status != "success" {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
		return answered
	}
	first := reading(1, 0).At
	for _, panel := range dashboard.Panels {
		for _, target := range panel.Targets {
			query := strings.NewReplacer("$name", ".*", "$__interval", "15m").Replace(target.Expr)
			for _, step := range []string{"15m", "10"} { // of buckets, of values
				form := url.Values{"query": {query}, "start": {first.Format(time.RFC3339)}, "end": {first.Add(time.Hour).Format(time.RFC3339)}, "step": {step}}
				if data := string(ask("query_range", form).Data); !strings.Contains(data, `"values":[[`) {
					t.Errorf("%s: %s: %s", panel.Title, query, data)
				}
			}
		}
	}
	if data := string(ask("label/name/values", url.Values{"match[]": {"temperature"}, "end": {first.Format(time.RFC3339)}}).Data); data != `["Device 1"]` {
		t.Errorf("the variable has %s", data)
	}
}

// crowd is a store of devices without an end.
type crowd struct {
	iot.MetadataStore
	asked chan struct{} // each time, as long as somebody listens
}

func (s crowd) Devices(_ context.Context, q iot.DeviceQuery) ([]iot.Device, error) {
	select {
	case s.asked <- struct{}{}:
	default:
	}
	page := make([]iot.Device, q.Limit)
	for i := range page {
		page[i].ID = q.After + iot.DeviceID(i) + 1
	}
	return page, nil
}

// TestPrometheusClientsThatLeave: they take no place from others.
func TestPrometheusClientsThatLeave(t *testing.T) {
	a := embedded(t).api(t, nil)
	store := crowd{a.Metadata, make(chan struct{})}
	a.Metadata = store
	addr, _ := start(t, a)
	for _, path := range []string{"series?match[]={name=~%22x%22}", "label/name/values", "metadata", "query?query=t"} {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		sendGet(t, c, prometheusPrefix+path)
		<-store.asked
		_ = c.Close()
		free, cancel := context.WithTimeout(t.Context(), timeouts.StoreRequest/2)
		if a.limits.prometheus.Acquire(free, maxPromQueries) != nil {
			t.Errorf("%s still takes a place", path)
		} else {
			a.limits.prometheus.Release(maxPromQueries)
		}
		cancel()
	}
}

func TestSelectorsOfARequest(t *testing.T) {
	handler := embedded(t).handler(t)
	query := strings.Repeat("match[]=t&", promql.MaxSelectors)
	if w := get(handler, prometheusPrefix+"series?"+query); w.Code != http.StatusOK {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	for _, path := range []string{"series?", "label/name/values?", "metadata?"} {
		if w := get(handler, prometheusPrefix+path+query+"match[]=t"); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "bad_data") {
			t.Errorf("%s, one too many: %d %s", path, w.Code, w.Body)
		}
	}
}
