package main

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// systemState is the answer of /api/system/, as far as it is looked at here.
type systemState struct {
	Problems []string
	Services []struct {
		Name, Instance, Version string
		Ready, Gone             bool
		Problems                []string
	}
	Pipeline []struct {
		Counts   string
		Received int64 `json:"received_total"`
		Outcomes map[string]int64
		InFlight int64 `json:"in_flight"`
		AddsUp   bool  `json:"adds_up"`
	}
	Topics []struct {
		Topic  string
		Groups []struct {
			Group string
			Lag   *int64
		}
	}
	Conservation conservation
	Storage      []struct {
		Name  string
		Bytes int64
		Free  *int64 `json:"free_bytes"`
	}
	MQTT struct {
		Listens bool
		Address string
	}
}

type conservation struct {
	AddsUp                               *bool `json:"adds_up"`
	Since                                *string
	Received, Stored, Merged, Duplicates int64
	Before                               int64 `json:"in_flight_before"`
	DeadLetters                          int64 `json:"dead_letters"`
	Failed                               int64
	InFlight                             int64 `json:"in_flight"`
	Tolerance                            int64
	Detail                               string
}

// TestSystem: what /api/system/ says is what was published, for all four services.
func TestSystem(t *testing.T) {
	s := freeAddrs(t)
	p := start(t, t.TempDir(), s)
	var state systemState
	await := func(what string, ok func() bool) {
		t.Helper()
		defer func() {
			if t.Failed() {
				t.Logf("the last state: %+v", state)
			}
		}()
		eventually(t, time.Minute, what, func() bool {
			state = systemState{}
			status, err := p.get("/api/system/", &state)
			return err == nil && status == http.StatusOK && ok()
		})
	}
	await("all services say that they are ready, and are counted", func() bool {
		var ready []string
		for _, s := range state.Services {
			if s.Ready && !s.Gone && s.Version != "" {
				ready = append(ready, s.Name)
			}
		}
		return slices.Equal(ready, []string{"cache-updater", "ingest-writer", "mqtt-bridge", "query-api"}) && state.Conservation.Since != nil
	})
	if !state.MQTT.Listens || state.MQTT.Address != s["MQTT_LISTEN_ADDR"] {
		t.Errorf("MQTT: %+v, want that it listens on %s", state.MQTT, s["MQTT_LISTEN_ADDR"])
	}

	const batches, each = 50, 20
	for i := range batches {
		var batch strings.Builder
		for k := range each - 1 {
			fmt.Fprintf(&batch, `{"temperature": %d, "timestamp": %d},`, k, 1_700_000_000_000+i*each+k)
		}
		publish(t, s["MQTT_LISTEN_ADDR"], "sensors/7/data", "["+batch.String()+`{"temperature": "junk"}]`)
	}
	publish(t, s["MQTT_LISTEN_ADDR"], "sensors/7/data", `{"temperature": 0, "timestamp": 1700000000000}`)  // again
	publish(t, s["MQTT_LISTEN_ADDR"], "sensors/7/data", `{"temperature": 99, "timestamp": 1700000000000}`) // a conflict
	publish(t, s["MQTT_LISTEN_ADDR"], "sensors/7/data", `{"humidity": 50, "timestamp": 1700000000000}`)    // of the same moment
	res, err := http.Post(p.api+"/api/devices/8/readings/", "application/json", strings.NewReader(`[{"temperature": 1}, {"temperature": "junk"}]`))
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()

	want := conservation{
		Received: batches*each + 3 + 2, Stored: batches*(each-1) + 1, Merged: 1, Duplicates: 1, DeadLetters: batches + 1 + 1,
	}
	await("all is counted, and adds up exactly", func() bool {
		got := state.Conservation
		return got.AddsUp != nil && *got.AddsUp && got.Received == want.Received && got.Tolerance == 0
	})
	got := state.Conservation
	got.AddsUp, got.Since, got.Detail = nil, nil, ""
	if got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	counts := map[string]int64{}
	for _, stage := range state.Pipeline {
		counts[stage.Counts] = stage.Received
		if !stage.AddsUp || stage.InFlight != 0 {
			t.Errorf("%+v", stage)
		}
	}
	onKafka := int64(batches*(each-1) + 3 + 1)
	for name, want := range map[string]int64{
		"bridge_readings": batches*each + 3, "http_readings": 2, "writer_readings": onKafka, "updater_readings": onKafka, "registrar_readings": onKafka,
	} {
		if counts[name] != want {
			t.Errorf("%s: %d, want %d", name, counts[name], want)
		}
	}
	lags := map[string]int64{}
	for _, topic := range state.Topics {
		for _, g := range topic.Groups {
			lags[topic.Topic+" "+g.Group] = -1
			if g.Lag != nil {
				lags[topic.Topic+" "+g.Group] = *g.Lag
			}
		}
	}
	for _, group := range []string{"raw-data ingest-writer", "raw-data cache-updater", "raw-data device-registry", "raw-data.dlq dead-letters"} {
		if lag, known := lags[group]; !known || lag != 0 {
			t.Errorf("lag of %s: %d, known: %v", group, lag, known)
		}
	}
	await("it is known what all stores take", func() bool {
		sizes := map[string]int64{}
		for _, store := range state.Storage {
			sizes[store.Name] = store.Bytes
		}
		return len(sizes) == 3 && sizes["log"] > 0 && state.Storage[0].Name == "readings" && state.Storage[0].Free != nil
	})
}
