package main

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/telltale-iot/telltale/deploy/acceptance/ledger"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/services/simulator/simulator"
)

// The fleet is small, so that it is the attack that costs, and its 99th percentile is still of some readings.
const (
	fleetDevices     = 4
	fleetConnections = 2
	fleetRate        = 20 // readings per second of each device
)

// fleet is the devices that must not suffer.
type fleet struct {
	*simulator.Simulator
	file  string // of the ledger
	stop  context.CancelFunc
	ended chan error
}

// startFleet lets devices publish until stop is called.
func (s *site) startFleet(ctx context.Context, url string) (*fleet, error) {
	first := s.device + 1
	s.device += fleetDevices
	f := &fleet{file: filepath.Join(s.dir, fmt.Sprintf("ledger-%d.jsonl", first)), ended: make(chan error, 1)}
	var err error
	f.Simulator, err = simulator.New(simulator.Config{
		URL: url, ClientID: "fleet", Connections: fleetConnections, Devices: fleetDevices, FirstDevice: firstDevice + first,
		Rate: fleetRate, Seed: s.dice.Uint64(), Ledger: f.file,
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	ctx, f.stop = context.WithCancel(ctx)
	go func() { f.ended <- f.Run(ctx) }()
	return f, nil
}

// firstDevice is above the ids that attackers publish for.
const firstDevice iot.DeviceID = 1_000_000

// publish waits until n more readings are acknowledged.
func (f *fleet) publish(ctx context.Context, n int64) error {
	begin := f.Report().Acknowledged
	return eventually(ctx, func() error {
		if acknowledged := f.Report().Acknowledged - begin; acknowledged < n {
			return fmt.Errorf("the fleet got %d of %d PUBACKs", acknowledged, n)
		}
		return nil
	})
}

// end ends the publishing, and returns what was published.
func (f *fleet) end() (*ledger.Ledger, error) {
	f.stop()
	if err := <-f.ended; err != nil {
		return nil, fmt.Errorf("publish: %w", err)
	}
	return ledger.Read(f.file)
}

// opTimeout is how long an operation may take that has no shorter limit.
const opTimeout = 30 * time.Second

// eventually calls try until it returns nil, and returns its last error when that takes too long.
func eventually(ctx context.Context, try func() error) error {
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("after %v: %w", opTimeout, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
