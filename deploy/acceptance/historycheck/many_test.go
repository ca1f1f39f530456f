package historycheck

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/telltale-iot/telltale/services/simulator/simulator"
)

const (
	maxChartMemory  = 150 << 20              // of the process
	maxChartDelay   = 500 * time.Millisecond // of 95 charts in 100
	maxPublishDelay = time.Second            // from publish until readable, of 99 readings in 100
	dashboardEvery  = time.Second            // a client asks for its chart
)

// TestManyCharts: 50 clients look at charts of 30 days while a thousand readings a second arrive.
//
// The delays are those of a machine that does nothing else; this process takes a part of it too.
func TestManyCharts(t *testing.T) {
	onlyLong(t)
	const (
		clients  = 50
		duration = time.Minute
	)
	month := load{first: 1, devices: 1, every: time.Second, ticks: 30 * 24 * 60 * 60, from: time.Now().Add(-31 * 24 * time.Hour).Truncate(time.Hour)}
	s := start(t, "SEAL_AFTER=10s")
	s.publish(t, month.len(), month)
	s.awaitSealed(t)
	s.restart(t)
	var mu sync.Mutex
	var charts, published []time.Duration
	ctx, stop := context.WithTimeout(t.Context(), duration)
	defer stop()
	var g errgroup.Group
	for client := range clients {
		g.Go(func() error {
			from := month.from.Add(time.Duration(client) * time.Minute) // nobody has the chart of another
			path := fmt.Sprintf("/api/devices/1/series/?metric=temperature&points=1000&tz=Europe/Berlin&from=%s&to=%s",
				from.UTC().Format(time.RFC3339), from.Add(30*24*time.Hour).UTC().Format(time.RFC3339))
			pause(ctx, dashboardEvery*time.Duration(client)/clients)
			for ctx.Err() == nil {
				begin := time.Now()
				response, err := s.ask(t.Context(), path)
				if err != nil {
					return err
				}
				_, err = io.Copy(io.Discard, response.Body)
				response.Body.Close()
				if err != nil {
					return err
				}
				took := time.Since(begin)
				mu.Lock()
				charts = append(charts, took)
				mu.Unlock()
				pause(ctx, dashboardEvery-took)
			}
			return nil
		})
	}
	g.Go(func() (err error) {
		published, err = s.publishAndRead(ctx, 5000)
		return err
	})
	before, _, err := s.Usage()
	if err != nil {
		t.Fatal(err)
	}
	n := s.simulate(t, simulator.Config{Devices: 100, FirstDevice: 1000, Connections: 10, Rate: 10, Duration: duration})
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	cpu, peak, err := s.Usage()
	if err != nil {
		t.Fatal(err)
	}
	chart, publish := quantile(charts, 0.95), quantile(published, 0.99)
	t.Logf("%d charts: p50 %v, p95 %v; %d readings, %d watched from publish until readable: p50 %v, p99 %v; memory %d MB; %.1f CPU-s in %v",
		len(charts), quantile(charts, 0.5), chart, n, len(published), quantile(published, 0.5), publish, peak>>20, (cpu - before).Seconds(), duration)
	if peak > maxChartMemory {
		t.Errorf("%d MB of memory", peak>>20)
	}
	if chart > maxChartDelay || publish > maxPublishDelay {
		t.Errorf("charts take %v, and readings %v until they are readable", chart, publish)
	}
}

// publishAndRead publishes readings of a device one by one until ctx ends, and returns how long each took until it was readable.
func (s *system) publishAndRead(ctx context.Context, device int) (delays []time.Duration, err error) {
	c, err := connect(s.mqtt, "watched")
	if err != nil {
		return nil, err
	}
	defer c.Disconnect(100)
	for ctx.Err() == nil {
		begin := time.Now()
		c.Publish("sensors/data", 1, false, fmt.Sprintf(`{"device_id":%d,"timestamp":%d,"temperature":%d}`, device, begin.UnixMilli(), len(delays)))
		for readable := false; !readable; {
			pause(context.Background(), 5*time.Millisecond)
			if time.Since(begin) > waitTimeout {
				return nil, fmt.Errorf("reading %d cannot be read", len(delays))
			}
			response, err := s.ask(context.Background(), fmt.Sprintf("/api/readings/?device_id=%d&limit=1", device))
			if err != nil {
				return nil, err
			}
			var readings []struct{ Temperature float64 }
			err = json.NewDecoder(response.Body).Decode(&readings)
			response.Body.Close()
			if err != nil {
				return nil, err
			}
			readable = len(readings) == 1 && readings[0].Temperature == float64(len(delays))
		}
		delays = append(delays, time.Since(begin))
	}
	return delays, nil
}

func quantile(all []time.Duration, q float64) time.Duration {
	if len(all) == 0 {
		return 0
	}
	return slices.Sorted(slices.Values(all))[int(q*float64(len(all)-1))].Round(100 * time.Microsecond)
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
