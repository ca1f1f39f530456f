package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"time"

	"github.com/telltale-iot/telltale/deploy/acceptance/ledger"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/services/simulator/simulator"
)

// fleetOf is the size of a fleet.
type fleetOf struct {
	devices, connections int
	rate                 float64 // readings per second of each device; 0: as fast as they are acknowledged
	count                int64   // readings of all devices together; 0: no end
}

var fleetSize = fleetOf{devices: 20, connections: 4, rate: 10}

// fleet is devices that publish to a bridge in one mode, during one trial.
type fleet struct {
	*simulator.Simulator
	mode  string
	first iot.DeviceID
	size  fleetOf
	file  string // of the ledger
	stop  context.CancelFunc
	ended chan struct{} // closed when all is published, and err says how that went
	err   error
}

// addFleet lets devices publish until the trial ends, or their count is reached.
func (t *trial) addFleet(ctx context.Context, mode string, size fleetOf) (*fleet, error) {
	f := &fleet{mode: mode, first: t.next, size: size, ended: make(chan struct{})}
	t.next += iot.DeviceID(size.devices)
	f.file = filepath.Join(t.dir, fmt.Sprintf("ledger-%d.jsonl", f.first))
	var err error
	f.Simulator, err = simulator.New(simulator.Config{
		URL: t.devices[mode], ClientID: "faults-" + mode, Connections: size.connections, InFlight: 500, Devices: size.devices,
		FirstDevice: f.first, Rate: size.rate, Count: size.count, Seed: t.dice.Uint64(), Ledger: f.file, Faults: t.row.faults,
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	ctx, f.stop = context.WithCancel(ctx)
	go func() {
		f.err = f.Run(ctx)
		close(f.ended)
	}()
	t.fleets = append(t.fleets, f)
	return f, nil
}

// published returns what was published, once stop was called and the last acknowledgements are there.
func (f *fleet) published() (*ledger.Ledger, error) {
	<-f.ended
	if f.err != nil {
		return nil, fmt.Errorf("publish: %w", f.err)
	}
	return ledger.Read(f.file)
}

// seen is nil when readings of all devices that were measured at since or later can be read at api, among the
// stored ones and as the latest of their device.
func (f *fleet) seen(ctx context.Context, api string, since time.Time) error {
	for _, path := range []string{storedSince(since), "/api/readings/latest_all/"} {
		n, err := f.shown(ctx, api, path, since)
		if err != nil {
			return err
		}
		if n < f.size.devices {
			return fmt.Errorf("%s: of %d devices that publish by %s, %d have something new", path, f.size.devices, f.mode, n)
		}
	}
	return nil
}

// storedSince is the path of what is stored of readings that were measured at since or later.
func storedSince(since time.Time) string {
	return "/api/readings/?limit=10000&since=" + since.UTC().Format("2006-01-02T15:04:05.000Z")
}

// shown returns of how many devices a path at api shows readings that were measured at since or later.
func (f *fleet) shown(ctx context.Context, api, path string, since time.Time) (int, error) {
	var readings []struct {
		Device    iot.DeviceID `json:"device_id"`
		Timestamp time.Time    `json:"timestamp"`
	}
	if err := getJSON(ctx, api+path, &readings); err != nil {
		return 0, err
	}
	devices := map[iot.DeviceID]bool{}
	for _, r := range readings {
		if f.has(r.Device) && !r.Timestamp.Before(since) {
			devices[r.Device] = true
		}
	}
	return len(devices), nil
}

func (f *fleet) has(id iot.DeviceID) bool {
	return id >= f.first && id < f.first+iot.DeviceID(f.size.devices)
}

// registered is nil when the API knows all devices.
func (f *fleet) registered(ctx context.Context, api string) error {
	for i := range f.size.devices {
		if _, err := get(ctx, fmt.Sprintf("%s/api/devices/%d/", api, f.first+iot.DeviceID(i))); err != nil {
			return err
		}
	}
	return nil
}

// get returns the body of an answer with 200.
func get(ctx context.Context, url string) ([]byte, error) {
	status, body, err := fetch(ctx, url)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("GET %s: %d: %.200s", url, status, body)
	}
	return body, err
}

func statusOf(ctx context.Context, url string) (int, error) {
	status, _, err := fetch(ctx, url)
	return status, err
}

func fetch(ctx context.Context, url string) (status int, body []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	body, err = io.ReadAll(response.Body)
	return response.StatusCode, body, err
}

func getJSON(ctx context.Context, url string, v any) error {
	body, err := get(ctx, url)
	if err == nil {
		err = json.Unmarshal(body, v)
	}
	return err
}
