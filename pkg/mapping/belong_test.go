package mapping_test

import (
	"slices"
	"testing"
)

// TestFiltersOf: what a device may publish to says no other device's topic.
func TestFiltersOf(t *testing.T) {
	set := load(t)
	for _, tt := range []struct {
		device  string
		in      []string
		out     []string
		nothing bool
	}{
		{device: "42", in: []string{"sensors/42/+", "tele/42/SENSOR", "zigbee2mqtt/42"}, out: []string{"sensors/data", "sensors/+/data", "senml/42", "v1/gateway/telemetry", "chirpstack/event/up"}},
		{device: "plant/line1", in: []string{"spBv1.0/plant/NDATA/line1", "zigbee2mqtt/plant/line1"}, out: []string{"sensors/plant/line1", "tele/plant/line1/SENSOR"}},
		{device: "plant/line1/press", in: []string{"spBv1.0/plant/DDATA/line1/press"}},
		{device: "shellyplus1-a8032ab12345", in: []string{"shellyplus1-a8032ab12345/status/+"}},
		{device: "events", in: []string{"sensors/events/+"}},
		{device: "sensors", out: []string{"sensors/events/rpc", "sensors/data"}},
		{device: "homeassistant", out: []string{"homeassistant/+/+/config"}},
		{device: "a+b", nothing: true},
		{device: "#", nothing: true},
	} {
		got := set.FiltersOf(tt.device)
		for _, f := range tt.in {
			if !slices.Contains(got, f) {
				t.Errorf("%s: no %s in %q", tt.device, f, got)
			}
		}
		for _, f := range tt.out {
			if slices.Contains(got, f) {
				t.Errorf("%s: %s in %q", tt.device, f, got)
			}
		}
		if tt.nothing && len(got) > 0 {
			t.Errorf("%s: %q", tt.device, got)
		}
	}
	gateways := set.FiltersOfGateways()
	want := []string{"sensors/data", "v1/gateway/telemetry", "senml", "chirpstack/event/up", "chirpstack/event/status"}
	slices.Sort(gateways)
	slices.Sort(want)
	if !slices.Equal(gateways, want) {
		t.Errorf("gateways: %q, want %q", gateways, want)
	}
}
