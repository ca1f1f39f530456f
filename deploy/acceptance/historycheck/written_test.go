package historycheck

import (
	"log/slog"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/services/simulator/simulator"
)

// TestWritten: devices at home, or in a shop, do not wear out an SD card.
func TestWritten(t *testing.T) {
	onlyLong(t)
	for _, fleet := range []struct {
		name    string
		config  simulator.Config
		most    float64 // bytes that are written to the disk for each reading
		minutes int
	}{
		{"10,000 devices, a reading of each a minute", simulator.Config{Devices: 10_000, Connections: 20, Rate: 1.0 / 60}, 3000, 2},
		{"20 devices, a reading of each a second", simulator.Config{Devices: 20, Connections: 20, Rate: 1}, 8000, 1},
	} {
		t.Run(fleet.name, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			first := fleet.config // registers them, which is written once
			first.Rate, first.Count = 0, int64(first.Devices)
			registered := s.simulate(t, first)
			s.awaitStored(t, registered)
			before, err := s.Written()
			if err != nil {
				t.Fatal(err)
			}
			fleet.config.Duration = time.Duration(fleet.minutes) * time.Minute
			n := s.simulate(t, fleet.config)
			s.awaitStored(t, registered+n)
			after, err := s.Written()
			if err != nil {
				t.Fatal(err)
			}
			each := float64(after-before) / float64(n)
			t.Logf("%d readings: %.0f B of each are written", n, each)
			if each > fleet.most {
				t.Errorf("%.0f B are written for a reading, want %.0f at most", each, fleet.most)
			}
		})
	}
}

// simulate publishes as a fleet does, and returns how many readings were acknowledged.
func (s *system) simulate(t *testing.T, config simulator.Config) int {
	t.Helper()
	config.URL = s.mqtt
	fleet, err := simulator.New(config, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := fleet.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	return int(fleet.Report().Acknowledged)
}
