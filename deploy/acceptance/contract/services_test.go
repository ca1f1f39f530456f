package contract

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"testing"
)

// TestServices: each service of the deployment says that it runs, and that what it counts adds up. Other tests send records
// past the services, so for the whole it may be that nobody can say it, but not that something is missing.
func TestServices(t *testing.T) {
	type state struct {
		Services []struct {
			Name, Version string
			Ready         bool
		}
		Pipeline []struct {
			Service, Counts string
			AddsUp          bool `json:"adds_up"`
		}
		Conservation struct {
			AddsUp *bool `json:"adds_up"`
			Detail string
		}
		MQTT *struct{ Listens bool }
	}
	eventually(t, func() error {
		var s state // what is looked at here of much more
		if a := call(t, http.MethodGet, "/api/system/", ""); a.status != http.StatusOK {
			return fmt.Errorf("status %d: %s", a.status, a.body)
		} else if err := json.Unmarshal([]byte(a.body), &s); err != nil {
			t.Fatal(err)
		}
		var ready []string
		for _, service := range s.Services {
			if service.Ready && service.Version != "" {
				ready = append(ready, service.Name)
			}
		}
		slices.Sort(ready)
		if want := []string{"cache-updater", "ingest-writer", "mqtt-bridge", "query-api"}; !slices.Equal(slices.Compact(ready), want) {
			return fmt.Errorf("these are ready: %v", ready)
		}
		if s.MQTT == nil || s.MQTT.Listens != sut.listen {
			return fmt.Errorf("MQTT: %+v, and it listens: %v", s.MQTT, sut.listen)
		}
		for _, stage := range s.Pipeline {
			if !stage.AddsUp {
				t.Errorf("%s of %s do not add up", stage.Counts, stage.Service)
			}
		}
		if adds := s.Conservation.AddsUp; adds != nil && !*adds {
			t.Errorf("it does not add up: %s", s.Conservation.Detail)
		}
		return nil
	})
}
