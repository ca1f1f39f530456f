package api

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
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
	if _, err := s.metadata.EnsureDevices(t.Context(), []iot.Identity{{ID: 1}}); err != nil {
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
