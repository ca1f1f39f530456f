package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/telltale-iot/telltale/deploy/acceptance/process"
	"github.com/telltale-iot/telltale/pkg/proxytest"
	"github.com/telltale-iot/telltale/services/simulator/simulator"
)

// allInOne is a running all-in-one on embedded parts.
type allInOne struct {
	*process.Process
	mqtt, api, data string
}

// startAllInOne starts one in an empty folder.
func (b *bench) startAllInOne(ctx context.Context, start starter) (*allInOne, error) {
	data, err := os.MkdirTemp(b.dir, "data-")
	if err != nil {
		return nil, err
	}
	return startAllInOneIn(ctx, start, data)
}

func startAllInOneIn(ctx context.Context, start starter, data string) (*allInOne, error) {
	addrs, err := proxytest.FreeAddrs(3)
	if err != nil {
		return nil, err
	}
	p, err := start(ctx, "DATA_DIR="+data, "MQTT_LISTEN_ADDR="+addrs[0], "HTTP_ADDR="+addrs[1], "KAFKA_LISTEN_ADDR="+addrs[2])
	if err != nil {
		return nil, err
	}
	return &allInOne{Process: p, mqtt: "tcp://" + addrs[0], api: "http://" + addrs[1], data: data}, nil
}

// finish is the function of that name, and frees the disk.
func (a *allInOne) finish(f figures, err error) (figures, error) {
	f, err = finish(a.Process, f, err)
	return f, errors.Join(err, os.RemoveAll(a.data))
}

// allInOnePaced publishes at a fixed rate.
func allInOnePaced(ctx context.Context, b *bench, start starter) (figures, error) {
	return b.allInOneIntake(ctx, start, simulator.Config{Connections: 10, Rate: 20, Duration: b.seconds})
}

// allInOneFull has four publishers with as much in flight as they may.
func allInOneFull(ctx context.Context, b *bench, start starter) (figures, error) {
	return b.allInOneIntake(ctx, start, simulator.Config{Connections: 4, Count: int64(b.readings)})
}

// allInOneIntake publishes, and then waits until everything is counted as stored.
func (b *bench) allInOneIntake(ctx context.Context, start starter, load simulator.Config) (f figures, err error) {
	a, err := b.startAllInOne(ctx, start)
	if err != nil {
		return f, err
	}
	load.URL, load.Devices = a.mqtt, devices
	report, err := b.publish(ctx, load)
	if err != nil {
		return a.finish(f, err)
	}
	f = ofPublishers(report)
	last := time.Now()
	_, err = await(ctx, report.Acknowledged, a.stored)
	f.note = fmt.Sprintf("all stored %.1f s after the last PUBACK", time.Since(last).Seconds())
	return a.finish(f, err)
}

// stored returns the number of readings that the API counts.
func (a *allInOne) stored(ctx context.Context) (int64, error) {
	var stats struct {
		Total int64 `json:"total_readings"`
	}
	err := getJSON(ctx, a.api+"/api/readings/stats/", &stats)
	return stats.Total, err
}

// allInOneReadable publishes at a fixed rate and watches some of the devices over HTTP. A reading carries the
// moment when it was published; it was readable at the latest when it was first seen.
func allInOneReadable(ctx context.Context, b *bench, start starter) (f figures, err error) {
	const fleet, watched = 200, 4
	a, err := b.startAllInOne(ctx, start)
	if err != nil {
		return f, err
	}
	var mu sync.Mutex
	var delays []time.Duration
	watching, stop := context.WithCancel(ctx)
	defer stop()
	watchers, watching := errgroup.WithContext(watching)
	for id := 1; id <= watched; id++ {
		watchers.Go(func() error {
			seen, err := a.watch(watching, id)
			mu.Lock()
			defer mu.Unlock()
			delays = append(delays, seen...)
			return err
		})
	}
	report, err := b.publish(ctx, simulator.Config{URL: a.mqtt, Devices: fleet, Connections: 10, Rate: 10, Duration: b.seconds})
	stop()
	if err = errors.Join(err, watchers.Wait()); err != nil {
		return a.finish(f, err)
	}
	f = ofPublishers(report)
	f.p50, f.p99 = quantile(delays, 0.5), quantile(delays, 0.99)
	f.note = fmt.Sprintf("%d of %d readings watched", len(delays), report.Acknowledged)
	return a.finish(f, nil)
}

// watch returns, when ctx ends, how long after its publishing each new reading of a device was first seen.
func (a *allInOne) watch(ctx context.Context, id int) (delays []time.Duration, err error) {
	var last time.Time
	url := fmt.Sprintf("%s/api/devices/%d/readings/?limit=20", a.api, id)
	err = poll(ctx, 10*time.Millisecond, func() (bool, error) {
		var readings []struct {
			Timestamp time.Time `json:"timestamp"`
		}
		if err := getJSON(ctx, url, &readings); err != nil {
			return false, err
		}
		now := time.Now()
		for _, r := range readings { // newest first
			if !r.Timestamp.After(last) {
				break
			}
			delays = append(delays, now.Sub(r.Timestamp))
		}
		if len(readings) > 0 {
			last = readings[0].Timestamp
		}
		return false, nil
	})
	if ctx.Err() != nil {
		err = nil
	}
	return delays, err
}

// getJSON reads an answer into v. What does not exist yet leaves v as it is.
func getJSON(ctx context.Context, url string, v any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	switch response.StatusCode {
	case http.StatusOK:
		return json.NewDecoder(response.Body).Decode(v)
	case http.StatusNotFound:
		return nil
	default:
		return fmt.Errorf("GET %s: %s", url, response.Status)
	}
}
