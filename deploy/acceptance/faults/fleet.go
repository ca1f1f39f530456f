package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/telltale-iot/telltale/deploy/acceptance/ledger"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/services/simulator/simulator"
)

// fleet is the devices that publish to a bridge in one mode, during one trial.
type fleet struct {
	mode   string
	first  iot.DeviceID
	ledger string // the file
	*simulator.Simulator
	stop  context.CancelFunc
	ended chan error
}

const (
	fleetDevices = 20
	fleetRate    = 10.0 // readings per second of each device
)

// startFleet lets devices publish to url until stop is called.
func startFleet(ctx context.Context, dir, mode, url string, first iot.DeviceID, seed uint64, faults simulator.Faults) (*fleet, error) {
	f := &fleet{mode: mode, first: first, ended: make(chan error, 1)}
	f.ledger = filepath.Join(dir, fmt.Sprintf("ledger-%d.jsonl", first))
	var err error
	f.Simulator, err = simulator.New(simulator.Config{
		URL: url, ClientID: "faults-" + mode, Connections: 4, InFlight: 500, Devices: fleetDevices, FirstDevice: first,
		Rate: fleetRate, Seed: seed, Ledger: f.ledger, Faults: faults,
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	ctx, f.stop = context.WithCancel(ctx)
	go func() { f.ended <- f.Run(ctx) }()
	return f, nil
}

// finish stops publishing, and returns what was published once the last acknowledgements are there.
func (f *fleet) finish() (*ledger.Ledger, error) {
	f.stop()
	if err := <-f.ended; err != nil {
		return nil, fmt.Errorf("publish: %w", err)
	}
	return ledger.Read(f.ledger)
}

// reading is what is looked at of a reading of the API.
type reading struct {
	Device    iot.DeviceID `json:"device_id"`
	Timestamp time.Time    `json:"timestamp"`
}

// seen is nil when readings of all devices that were measured at since or later can be read at api, among the
// stored ones and as the latest of their device.
func (f *fleet) seen(ctx context.Context, api string, since time.Time) error {
	for _, path := range []string{
		"/api/readings/?limit=10000&since=" + since.UTC().Format("2006-01-02T15:04:05.000Z"), "/api/readings/latest_all/",
	} {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		body, err := get(ctx, api+path)
		cancel()
		if err != nil {
			return err
		}
		var readings []reading
		if err := json.Unmarshal(body, &readings); err != nil {
			return fmt.Errorf("GET %s: %w", path, err)
		}
		devices := map[iot.DeviceID]bool{}
		for _, r := range readings {
			if r.Device >= f.first && r.Device < f.first+fleetDevices && !r.Timestamp.Before(since) {
				devices[r.Device] = true
			}
		}
		if len(devices) < fleetDevices {
			return fmt.Errorf("%s: only %d of %d devices (%s) have sent anything new", path, len(devices), fleetDevices, f.mode)
		}
	}
	return nil
}
