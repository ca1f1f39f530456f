package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/services/simulator/simulator"
)

// allInOneMinutely and allInOneSecondly are what people have at home or in a shop: few readings, on an SD card.
func allInOneMinutely(ctx context.Context, b *bench, start starter) (figures, error) {
	return b.allInOneDisk(ctx, start, simulator.Config{Devices: 10_000, Connections: 20, Rate: 1.0 / 60})
}

func allInOneSecondly(ctx context.Context, b *bench, start starter) (figures, error) {
	return b.allInOneDisk(ctx, start, simulator.Config{Devices: 20, Connections: 20, Rate: 1})
}

// allInOneDisk counts what is written to the disk while devices publish at their own pace, for twice as long as other
// rows, and how long after its publishing a reading is in an answer of the API. Each device has published before: that
// registers it, which is written only once.
func (b *bench) allInOneDisk(ctx context.Context, start starter, load simulator.Config) (f figures, err error) {
	a, err := b.startAllInOne(ctx, start)
	if err != nil {
		return f, err
	}
	load.URL = a.mqtt
	first := load
	first.Rate, first.Count = 0, int64(load.Devices)
	if _, err := b.publish(ctx, first); err != nil {
		return a.finish(f, err)
	}
	if _, err := await(ctx, first.Count, a.stored); err != nil {
		return a.finish(f, err)
	}
	before, err := a.Written()
	if err != nil {
		return a.finish(f, err)
	}
	watching, stop := context.WithCancel(ctx)
	defer stop()
	watched := make(chan error, 1)
	var delays []time.Duration
	go func() {
		var err error
		delays, err = a.watchAll(watching)
		watched <- err
	}()
	load.Duration = 2 * b.seconds
	report, err := b.publish(ctx, load)
	if err == nil {
		_, err = await(ctx, first.Count+report.Acknowledged, a.stored)
	}
	stop()
	if err = errors.Join(err, <-watched); err != nil {
		return a.finish(f, err)
	}
	after, err := a.Written()
	f = figures{n: int(report.Acknowledged), rate: report.Rate(), written: after - before}
	f.p50, f.p99 = quantile(delays, 0.5), quantile(delays, 0.99)
	f.note = fmt.Sprintf("%d of %d readings watched", len(delays), report.Acknowledged)
	return a.finish(f, err)
}

// watchAll returns, when ctx ends, how long after its publishing each new reading was first seen. It looks 20 times a
// second at the readings of the last seconds.
func (a *allInOne) watchAll(ctx context.Context) (delays []time.Duration, err error) {
	const back = 3 * time.Second
	type seen struct {
		device iot.DeviceID
		at     time.Time
	}
	known := map[seen]bool{}
	begin := time.Now()
	err = poll(ctx, 50*time.Millisecond, func() (bool, error) {
		since := time.Now().Add(-back)
		if since.Before(begin) {
			since = begin
		}
		var readings []struct {
			Device    iot.DeviceID `json:"device_id"`
			Timestamp time.Time    `json:"timestamp"`
		}
		query := url.Values{"limit": {"10000"}, "since": {since.UTC().Format(time.RFC3339Nano)}}
		if err := getJSON(ctx, a.api+"/api/readings/?"+query.Encode(), &readings); err != nil {
			return false, err
		}
		now := time.Now()
		for _, r := range readings {
			if s := (seen{r.Device, r.Timestamp}); !known[s] {
				known[s] = true
				delays = append(delays, now.Sub(r.Timestamp))
			}
		}
		return false, nil
	})
	if ctx.Err() != nil {
		err = nil
	}
	return delays, err
}
