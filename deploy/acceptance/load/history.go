package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
	sqlitereadings "github.com/telltale-iot/telltale/pkg/readings/sqlite"
)

// The history table measures what readings cost that are stored, in the embedded store: it loads its own data into two
// folders, waits until they are sealed, and asks an all-in-one on each. All seconds are user+sys: those of an insert are
// of this process, which does nothing else, those of a request of the all-in-one's.
//
// The targets are those of an idle machine; a chart's is the time that its reader waits, of 95 in 100.

// historyRow names that table where a pattern selects rows.
const historyRow = "history"

// line is a line of that table.
type line struct {
	name, what string
	got, limit float64 // in unit; limit 0: it has no target
	unit       string
	note       string
}

// answer is what a request costs.
type answer struct {
	cpu      time.Duration // of each
	p50, p95 time.Duration
	first    time.Duration // of the first one
}

// history loads its data and measures them; keep is called with each line.
func (b *bench) history(ctx context.Context, keep func(line)) error {
	end := time.Now().UTC().Truncate(time.Hour).Add(-4 * time.Hour) // so that all of it is sealed
	few := load{devices: 20, every: time.Second}
	few.ticks = b.stored / few.devices
	month := load{first: 100, devices: 1, every: time.Second, ticks: 30 * 24 * 60 * 60}
	year := load{first: 101, devices: 1, every: time.Minute, ticks: 366 * 24 * 60}
	fleet := load{devices: 10_000, every: time.Minute}
	fleet.ticks = b.stored / fleet.devices

	folder := filepath.Join(b.dir, "few")
	if err := b.fill(ctx, folder, end, keep, few); err != nil {
		return err
	}
	if err := b.fill(ctx, folder, end, nil, month, year); err != nil {
		return err
	}
	if err := b.askFew(ctx, folder, end, few.ticks*few.devices+month.ticks+year.ticks, keep); err != nil {
		return err
	}
	if err := b.drop(ctx, folder, keep); err != nil {
		return err
	}
	folder = filepath.Join(b.dir, "fleet")
	if err := b.fill(ctx, folder, end, keep, fleet); err != nil {
		return err
	}
	return b.askFleet(ctx, folder, keep)
}

// fill inserts loads into the store in a folder, and has it seal them. It keeps what they cost when there is one.
func (b *bench) fill(ctx context.Context, folder string, end time.Time, keep func(line), loads ...load) (err error) {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	store, err := sqlitereadings.Open(filepath.Join(folder, "readings"), sqlitereadings.Options{Log: b.log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	if err := store.Prepare(ctx); err != nil {
		return err
	}
	total, cpu := 0, time.Duration(0)
	for _, l := range loads {
		used, err := l.insert(ctx, store, end)
		if err != nil {
			return err
		}
		total, cpu = total+l.ticks*l.devices, cpu+used
	}
	asRows, err := size(folder)
	if err != nil {
		return err
	}
	sealing, err := seal(ctx, store, folder)
	if err != nil {
		return err
	}
	sealed, err := size(folder)
	if err != nil || keep == nil {
		return err
	}
	perMillion := func(d time.Duration) float64 { return d.Seconds() / float64(total) * million }
	devices, target := loads[0].devices, 6.0
	if devices > 1000 {
		target = 6.5
	}
	keep(line{
		name: fmt.Sprintf("ingest-%d", devices), what: fmt.Sprintf("InsertReadings, %d readings of %d devices in turn", total, devices),
		got: perMillion(cpu), limit: target, unit: "CPU-s per M",
		note: fmt.Sprintf("sealing them: %.2f", perMillion(sealing)),
	})
	keep(line{
		name: fmt.Sprintf("size-%d", devices), what: "bytes a reading, sealed, with rollups",
		got: float64(sealed) / float64(total), limit: 6, unit: "B",
		note: fmt.Sprintf("as rows %.1f", float64(asRows)/float64(total)),
	})
	return nil
}

// seal has store seal all that it has, and returns the CPU time. It is over when no reading is a row any more, and the
// folder does not change for some seconds; and an error when nothing is sealed for a minute.
func seal(ctx context.Context, store *sqlitereadings.Store, folder string) (cpu time.Duration, err error) {
	maintaining, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	before := ownCPU()
	go func() { ended <- store.Maintain(maintaining) }()
	last, since := int64(-1), time.Now()
	err = poll(ctx, time.Second, func() (bool, error) {
		n, err := hotRows(ctx, folder)
		if n != last {
			last, since = n, time.Now()
		}
		if err == nil && time.Since(since) > time.Minute {
			err = fmt.Errorf("%d readings are not sealed", n)
		}
		return n == 0, err
	})
	if err == nil {
		err = whenStill(ctx, folder, func(int64) {})
	}
	cpu = ownCPU() - before
	stop()
	return cpu, errors.Join(err, <-ended)
}

// whenStill returns when the size of a folder has been the same for some seconds; seen is called with each that it has.
func whenStill(ctx context.Context, folder string, seen func(int64)) error {
	const still = 8
	last, same := int64(-1), 0
	return poll(ctx, time.Second, func() (bool, error) {
		n, err := size(folder)
		if same++; n != last {
			last, same = n, 0
		}
		seen(n)
		return same >= still, err
	})
}

// size returns what the files in a folder take on the disk.
func size(folder string) (n int64, err error) {
	err = filepath.WalkDir(folder, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasSuffix(path, "-wal") || strings.HasSuffix(path, "-shm") {
			return err
		}
		info, err := entry.Info()
		if errors.Is(err, os.ErrNotExist) { // it was removed meanwhile
			return nil
		}
		if err == nil {
			n += info.Size()
		}
		return err
	})
	return n, err
}

// askFew has charts and exports of a few devices, one of which has a month at 1 Hz, and another a year at one a minute.
func (b *bench) askFew(ctx context.Context, folder string, end time.Time, total int, keep func(line)) (err error) {
	forget(folder)
	before := time.Now()
	a, err := startAllInOneIn(ctx, b.service("all-in-one"), folder)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Stop()) }()
	cpu, _, err := a.Usage()
	if err != nil {
		return err
	}
	keep(line{name: "start", what: fmt.Sprintf("all-in-one is ready, %d readings", total), got: time.Since(before).Seconds(), limit: 3, unit: "s", note: fmt.Sprintf("%.2f CPU-s", cpu.Seconds())})

	chart := func(name, what string, device, days, points, times int, limit float64) error {
		q := url.Values{"metric": {iot.Temperature}, "from": {end.AddDate(0, 0, -days).Format(time.RFC3339)}, "to": {end.Format(time.RFC3339)},
			"points": {fmt.Sprint(points)}, "tz": {"Europe/Berlin"}}
		r, err := a.ask(ctx, fmt.Sprintf("/api/devices/%d/series/?%s", device, q.Encode()), times)
		if err != nil {
			return err
		}
		keep(line{name: name, what: what, got: float64(r.p95.Microseconds()) / 1e3, limit: limit, unit: "ms p95",
			note: fmt.Sprintf("%.2f CPU-ms, p50 %.1f ms, the first, cold, %.1f ms", float64(r.cpu.Microseconds())/1e3, float64(r.p50.Microseconds())/1e3, float64(r.first.Microseconds())/1e3)})
		return nil
	}
	if err := chart("chart-30d", "30 days at 1 Hz, 1,000 points", 100, 30, 1000, 100, 100); err != nil {
		return err
	}
	if err := chart("chart-1y", "a year, 1,000 points", 101, 365, 1000, 50, 30); err != nil {
		return err
	}
	for _, format := range []string{"ndjson", "csv", "parquet"} {
		_, rss, err := a.Usage()
		if err != nil {
			return err
		}
		r, err := a.ask(ctx, "/api/readings/export/?format="+format, 1)
		if err != nil {
			return err
		}
		_, peak, err := a.Usage()
		if err != nil {
			return err
		}
		keep(line{name: "export-" + format, what: fmt.Sprintf("all %d readings", total), got: r.cpu.Seconds() / float64(total) * million, limit: 0.8, unit: "CPU-s per M",
			note: fmt.Sprintf("%.1f s, RSS peak +%s", r.first.Seconds(), mib(peak-rss))})
	}
	return nil
}

// drop has an all-in-one remove what is older than two days: the month and the year of single devices.
func (b *bench) drop(ctx context.Context, folder string, keep func(line)) (err error) {
	before, err := size(folder)
	if err != nil {
		return err
	}
	start := time.Now()
	a, err := startAllInOneIn(ctx, b.service("all-in-one"), folder, "RETENTION_READINGS=2d")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Stop()) }()
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	after, freed := before, time.Duration(0)
	if err := whenStill(ctx, folder, func(n int64) {
		if n < after {
			after, freed = n, time.Since(start)
		}
	}); err != nil {
		return err
	}
	if freed == 0 {
		return errors.New("nothing of what is too old was removed")
	}
	cpu, _, err := a.Usage()
	keep(line{name: "drop", what: "what is older than 2 days goes, from the start on", got: freed.Seconds(), limit: 60, unit: "s",
		note: fmt.Sprintf("%s of %s freed, %.2f CPU-s with the start", mib(before-after), mib(before), cpu.Seconds())})
	return err
}

// askFleet has what is asked of all devices at once.
func (b *bench) askFleet(ctx context.Context, folder string, keep func(line)) (err error) {
	a, err := startAllInOneIn(ctx, b.service("all-in-one"), folder)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Stop()) }()
	for _, q := range []struct {
		name, what, path string
		limit            float64
	}{
		{"stats", "readings of each of 10,000 devices", "/api/readings/stats/", 20},
		{"aggregations", "10,000 devices, 24 hours", "/api/readings/aggregations/?range=24h", 400},
	} {
		r, err := a.ask(ctx, q.path, 10)
		if err != nil {
			return err
		}
		keep(line{name: q.name, what: q.what, got: float64(r.cpu.Microseconds()) / 1e3, limit: q.limit, unit: "CPU-ms",
			note: fmt.Sprintf("p95 %.1f ms, the first %.1f ms", float64(r.p95.Microseconds())/1e3, float64(r.first.Microseconds())/1e3)})
	}
	return nil
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
		if err := read(ctx, a.api+path); err != nil {
			return r, err
		}
		all = append(all, time.Since(start))
	}
	after, _, err := a.Usage()
	r = answer{cpu: (after - before) / time.Duration(times), first: all[0]}
	if times > 1 {
		all = all[1:]
	}
	r.p50, r.p95 = quantile(all, 0.5), quantile(all, 0.95)
	return r, err
}

// read reads an answer to its end.
func read(ctx context.Context, address string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	request.Header.Set("Accept-Encoding", "identity")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 500))
		return fmt.Errorf("GET %s: %s %s", address, response.Status, text)
	}
	_, err = io.Copy(io.Discard, response.Body)
	return err
}

func printHistory(w io.Writer, lines []line) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	defer func() { _ = t.Flush() }()
	_, _ = fmt.Fprintln(t, "history\twhat\tmeasured\ttarget\t\tnote")
	for _, l := range lines {
		target, verdict := "–", ""
		if l.limit > 0 {
			if target, verdict = fmt.Sprintf("%g", l.limit), "met"; l.got > l.limit {
				verdict = "MISSED"
			}
		}
		_, _ = fmt.Fprintf(t, "%s\t%s\t%.2f %s\t%s\t%s\t%s\n", l.name, l.what, l.got, l.unit, target, verdict, l.note)
	}
}
