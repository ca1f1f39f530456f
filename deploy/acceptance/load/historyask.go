package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// startOn starts an all-in-one on a folder, of whose files the system has nothing in memory.
func (b *bench) startOn(ctx context.Context, folder string) (*allInOne, error) {
	forget(folder)
	return startAllInOneIn(ctx, b.service("all-in-one"), folder)
}

// startTimed does so, and says how long that takes.
func (b *bench) startTimed(ctx context.Context, folder string, total int, keep func(line)) (*allInOne, error) {
	before := time.Now()
	a, err := b.startOn(ctx, folder)
	if err != nil {
		return nil, err
	}
	took := time.Since(before)
	cpu, rss, err := a.Usage()
	if err != nil {
		return nil, errors.Join(err, a.Stop())
	}
	keep(line{name: "start", what: fmt.Sprintf("all-in-one is ready, %d readings", total), got: took.Seconds(), limit: 3, unit: "s",
		note: fmt.Sprintf("%.2f CPU-s, %s", cpu.Seconds(), mib(rss))})
	forget(folder)
	return a, nil
}

// askMany has a chart of one of so many devices that all have the same, and the count of each.
func (b *bench) askMany(ctx context.Context, folder string, end time.Time, devices, total int, keep func(line)) (err error) {
	a, err := b.startTimed(ctx, folder, total, keep)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Stop()) }()
	if err := a.chart(ctx, "chart-30d", "30 days at 1 Hz", chartOf(iot.DeviceID(1+devices/2), end, 30), 100, 100, keep); err != nil {
		return err
	}
	return a.cost(ctx, "stats", fmt.Sprintf("of each of %d devices, %d in all", devices, total), "/api/readings/stats/", 20, keep)
}

// askCharts has charts of two devices, one of which has a month at 1 Hz, and the other one a year at a reading a minute.
func (b *bench) askCharts(ctx context.Context, folder string, end time.Time, total int, keep func(line)) (err error) {
	a, err := b.startTimed(ctx, folder, total, keep)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Stop()) }()
	if err := a.chart(ctx, "chart-30d", "30 days at 1 Hz", chartOf(100, end, 30), 100, 100, keep); err != nil {
		return err
	}
	forget(folder)
	return a.chart(ctx, "chart-1y", "a year", chartOf(101, end, 365), 100, 30, keep)
}

// chartOf returns the path of a chart of some days.
func chartOf(device iot.DeviceID, end time.Time, days int) string {
	q := url.Values{"metric": {iot.Temperature}, "from": {end.AddDate(0, 0, -days).Format(time.RFC3339)}, "to": {end.Format(time.RFC3339)},
		"points": {"1000"}, "tz": {"Europe/Berlin"}}
	return fmt.Sprintf("/api/devices/%d/series/?%s", device, q.Encode())
}

// chart asks for a chart some times: limit is that of 95 in 100, in ms; of the first, for which the disk is read, it is 300.
func (a *allInOne) chart(ctx context.Context, name, what, path string, times int, limit float64, keep func(line)) error {
	r, err := a.ask(ctx, path, times)
	if err != nil {
		return err
	}
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1e3 }
	keep(line{name: name, what: what + ", 1,000 points", got: ms(r.p95), limit: limit, unit: "ms p95",
		note: fmt.Sprintf("%.2f CPU-ms, p50 %.1f ms", ms(r.cpu), ms(r.p50))})
	keep(line{name: name + "-cold", what: "the first of them, from the disk", got: ms(r.first), limit: 300, unit: "ms"})
	return nil
}

// askExports has exports of all readings from a time on.
func (b *bench) askExports(ctx context.Context, folder string, since time.Time, keep func(line)) (err error) {
	a, err := b.startOn(ctx, folder)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Stop()) }()
	for _, format := range []string{"ndjson", "csv", "parquet"} {
		if err := a.ResetPeak(); err != nil {
			return err
		}
		_, rss, err := a.Usage()
		if err != nil {
			return err
		}
		q := url.Values{"format": {format}, "since": {since.Format(time.RFC3339)}}
		r, err := a.ask(ctx, "/api/readings/export/?"+q.Encode(), 1)
		if err != nil {
			return err
		}
		_, peak, err := a.Usage()
		if err != nil {
			return err
		}
		keep(line{name: "export-" + format, what: fmt.Sprintf("%d readings", r.readings), got: r.cpu.Seconds() / float64(r.readings) * million, limit: 0.8, unit: "CPU-s per M",
			note: fmt.Sprintf("%.1f s, %.1f B a reading", r.first.Seconds(), float64(r.bytes)/float64(r.readings))})
		keep(line{name: "export-" + format + "-rss", what: "growth of the memory", got: float64(peak-rss) / onMiB, limit: 64, unit: "MiB", note: "peak " + mib(peak)})
	}
	return nil
}

// askFleet has what is asked of all devices at once.
func (b *bench) askFleet(ctx context.Context, folder string, total int, keep func(line)) (err error) {
	a, err := b.startOn(ctx, folder)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Stop()) }()
	if err := a.cost(ctx, "stats", fmt.Sprintf("of each of 10,000 devices, %d in all", total), "/api/readings/stats/", 20, keep); err != nil {
		return err
	}
	return a.cost(ctx, "aggregations", "10,000 devices, 24 hours", "/api/readings/aggregations/?range=24h", 400, keep)
}

// cost asks for something some times: limit is that of each in CPU-ms.
func (a *allInOne) cost(ctx context.Context, name, what, path string, limit float64, keep func(line)) error {
	r, err := a.ask(ctx, path, 10)
	if err != nil {
		return err
	}
	keep(line{name: name, what: what, got: float64(r.cpu.Microseconds()) / 1e3, limit: limit, unit: "CPU-ms",
		note: fmt.Sprintf("p95 %.1f ms, the first %.1f ms", float64(r.p95.Microseconds())/1e3, float64(r.first.Microseconds())/1e3)})
	return nil
}

// answer is what a request costs.
type answer struct {
	cpu      time.Duration // of each
	p50, p95 time.Duration // of all but the first one
	first    time.Duration
	bytes    int64
	readings int // of an export
}

// ask sends a request some times, one after the other.
func (a *allInOne) ask(ctx context.Context, path string, times int) (r answer, err error) {
	before, _, err := a.Usage()
	if err != nil {
		return r, err
	}
	var all []time.Duration
	for range times {
		start := time.Now()
		if r.bytes, r.readings, err = read(ctx, a.api+path); err != nil {
			return r, err
		}
		all = append(all, time.Since(start))
	}
	after, _, err := a.Usage()
	r.cpu, r.first = (after-before)/time.Duration(times), all[0]
	if times > 1 {
		all = all[1:]
	}
	r.p50, r.p95 = quantile(all, 0.5), quantile(all, 0.95)
	return r, err
}

// read reads an answer to its end, and returns how long it is, and of an export how many readings it has.
func read(ctx context.Context, address string) (bytes int64, readings int, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return 0, 0, err
	}
	request.Header.Set("Accept-Encoding", "identity")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, 0, err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 500))
		return 0, 0, fmt.Errorf("GET %s: %s %s", address, response.Status, text)
	}
	if bytes, err = io.Copy(io.Discard, response.Body); err != nil {
		return 0, 0, err
	}
	if count := response.Trailer.Get("X-Readings-Count"); count != "" {
		readings, err = strconv.Atoi(count)
	}
	return bytes, readings, err
}
