package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
	sqlitereadings "github.com/telltale-iot/telltale/pkg/readings/sqlite"
)

// The history table measures what readings cost that are stored. Each of its rows loads data of its own, waits until they
// are sealed, and asks an all-in-one on them; it has several lines. All seconds are user+sys: those of an insert are of this
// process, which does nothing else meanwhile, those of a request of the all-in-one's.
//
// The targets are those of an idle machine; a chart's is the time that its reader waits, of 95 in 100.

// historyRow is a row of the program, and some lines of that table.
type historyRow struct {
	name, what string
	stored     int // readings, unless BENCH_STORED says how many
	run        func(ctx context.Context, b *bench, stored int, keep func(line)) error
}

var historyRows = []historyRow{
	{
		name: "history-few", what: "20 devices at 1 Hz beside a month of one at 1 Hz and a year of one at a reading a minute: charts and exports",
		stored: 2 * million, run: historyFew,
	},
	{
		name: "history-fleet", what: "10,000 devices at a reading a minute: counts and aggregations",
		stored: 10 * million, run: historyFleet,
	},
	{
		name: "history-many", what: "a month of ever more devices at 1 Hz: start, charts and counts",
		stored: 100 * million, run: historyMany,
	},
	{
		name: "history-drop", what: "a month of devices at 1 Hz, which is removed",
		stored: 50 * million, run: historyDrop,
	},
}

// line is a line of the table.
type line struct {
	name, what string
	got, limit float64 // in unit; limit 0: it has no target
	unit       string
	note       string
}

// history measures the rows that match, and prints their lines.
func (b *bench) history(ctx context.Context, wanted func(name string) bool) error {
	var lines []line
	var failed []error
	for _, r := range historyRows {
		if !wanted(r.name) {
			continue
		}
		stored := cmp.Or(b.stored, r.stored)
		fmt.Fprintf(os.Stderr, "%s: %s (%d readings stored) …\n", r.name, r.what, stored)
		start := time.Now()
		if err := r.run(ctx, b, stored, func(l line) { lines = append(lines, l) }); err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", r.name, err))
			continue
		}
		fmt.Fprintf(os.Stderr, "%s: done after %v\n", r.name, time.Since(start).Round(time.Second))
	}
	if len(lines) > 0 {
		printHistory(os.Stdout, lines)
	}
	return errors.Join(failed...)
}

// lastStored is the time up to which devices have sent: long enough ago that all of it can be sealed.
func lastStored() time.Time { return time.Now().UTC().Truncate(time.Hour).Add(-4 * time.Hour) }

// historyFew has charts and exports of a few devices.
func historyFew(ctx context.Context, b *bench, stored int, keep func(line)) error {
	end := lastStored()
	few := load{devices: 20, every: time.Second, end: end}
	few.ticks = stored / few.devices
	month := load{first: 100, devices: 1, every: time.Second, ticks: 30 * 24 * 60 * 60, end: end}
	year := load{first: 101, devices: 1, every: time.Minute, ticks: 366 * 24 * 60, end: end}

	folder := filepath.Join(b.dir, "few")
	filled, err := b.fill(ctx, folder, few)
	if err != nil {
		return err
	}
	filled.keep(keep, few.devices, 6)
	beside, err := b.fill(ctx, folder, month, year) // late readings, which says nothing of the cost of others
	if err != nil {
		return err
	}
	if err := b.askCharts(ctx, folder, end, filled.total+beside.total, keep); err != nil {
		return err
	}
	const mostExported = 10 * million // at some 21 a second
	since := end.Add(-mostExported / 21 * time.Second)
	if err := b.askExports(ctx, folder, since, keep); err != nil {
		return err
	}
	return os.RemoveAll(folder)
}

// historyFleet has what is asked of all devices at once.
func historyFleet(ctx context.Context, b *bench, stored int, keep func(line)) error {
	fleet := load{devices: 10_000, every: time.Minute, end: lastStored()}
	fleet.ticks = stored / fleet.devices
	folder := filepath.Join(b.dir, "fleet")
	filled, err := b.fill(ctx, folder, fleet)
	if err != nil {
		return err
	}
	filled.keep(keep, fleet.devices, 6.5)
	if err := b.askFleet(ctx, folder, filled.total, keep); err != nil {
		return err
	}
	return os.RemoveAll(folder)
}

// historyMany has a chart, and counts, beside as many readings as are to be stored.
func historyMany(ctx context.Context, b *bench, stored int, keep func(line)) error {
	month := load{devices: 1, every: time.Second, ticks: 31 * 24 * 60 * 60, end: lastStored()}
	folder := filepath.Join(b.dir, "many")
	if _, err := b.fill(ctx, folder, month); err != nil {
		return err
	}
	devices := max(stored/month.ticks, 1)
	if err := copyDevice(ctx, folder, devices); err != nil {
		return err
	}
	if err := b.askMany(ctx, folder, month.end, devices, devices*month.ticks, keep); err != nil {
		return err
	}
	return os.RemoveAll(folder)
}

// filled is what it cost to fill a store.
type filled struct {
	total              int // readings
	inserting, sealing time.Duration
	bytes              int64 // that it has grown by
}

// fill inserts loads into the store in a folder, and has it seal them as they come: a store has no more rows than a few
// million.
func (b *bench) fill(ctx context.Context, folder string, loads ...load) (f filled, err error) {
	store, err := b.openStore(ctx, folder, iot.Retention{})
	if err != nil {
		return f, err
	}
	before, err := size(folder)
	if err != nil {
		return f, errors.Join(err, store.Close())
	}
	for _, l := range loads {
		used, sealing, err := l.insert(ctx, store, func() (time.Duration, error) { return seal(ctx, store, folder) })
		if err != nil {
			return f, errors.Join(err, store.Close())
		}
		f.total, f.inserting, f.sealing = f.total+l.ticks*l.devices, f.inserting+used, f.sealing+sealing
	}
	if err := errors.Join(b.rest(ctx, store, folder), store.Close()); err != nil {
		return f, err
	}
	after, err := size(folder)
	f.bytes = after - before
	return f, err
}

// rest maintains store until the size of its folder has been the same for some seconds: free pages are given back.
func (b *bench) rest(ctx context.Context, store *sqlitereadings.Store, folder string) error {
	const still = 5
	last, same := int64(-1), 0
	return maintain(ctx, store, time.Second, func() (bool, error) {
		n, err := size(folder)
		if same++; n != last {
			last, same = n, 0
		}
		return same == still, err
	})
}

func (f filled) keep(keep func(line), devices int, target float64) {
	perMillion := func(d time.Duration) float64 { return d.Seconds() / float64(f.total) * million }
	keep(line{
		name: fmt.Sprintf("ingest-%d", devices), what: fmt.Sprintf("%d readings inserted and sealed", f.total),
		got: perMillion(f.inserting + f.sealing), limit: target, unit: "CPU-s per M",
		note: fmt.Sprintf("insert %.2f, seal %.2f", perMillion(f.inserting), perMillion(f.sealing)),
	})
	keep(line{
		name: fmt.Sprintf("size-%d", devices), what: "bytes a reading, sealed, with rollups",
		got: float64(f.bytes) / float64(f.total), limit: 6, unit: "B", note: mib(f.bytes),
	})
}

// openStore opens the store in a folder, which is created when it is missing.
func (b *bench) openStore(ctx context.Context, folder string, retention iot.Retention) (*sqlitereadings.Store, error) {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, err
	}
	store, err := sqlitereadings.Open(filepath.Join(folder, "readings"), sqlitereadings.Options{Log: b.log, Retention: retention})
	if err != nil {
		return nil, err
	}
	if err := store.Prepare(ctx); err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return store, nil
}

// maintain maintains store until done is true, which is asked every so often.
func maintain(ctx context.Context, store *sqlitereadings.Store, every time.Duration, done func() (bool, error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 20*time.Minute, errors.New("the store is not done after 20 minutes"))
	defer cancel()
	maintaining, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- store.Maintain(maintaining) }()
	err := poll(ctx, every, done)
	stop()
	return errors.Join(err, <-ended)
}

// historyDrop has a store remove a month, beside which there is a device with readings of the last days.
func historyDrop(ctx context.Context, b *bench, stored int, keep func(line)) error {
	now := time.Now().UTC()
	begin := time.Date(now.Year(), now.Month()-2, 1, 0, 0, 0, 0, time.UTC)
	old := load{devices: 1, every: time.Second, ticks: 28 * 24 * 60 * 60, end: begin.AddDate(0, 1, 0)}
	devices := max(stored/old.ticks, 1)
	recent := load{first: iot.DeviceID(devices + 1), devices: 1, every: time.Minute, ticks: 2 * 24 * 60, end: lastStored()}
	folder := filepath.Join(b.dir, "drop")
	if _, err := b.fill(ctx, folder, old, recent); err != nil {
		return err
	}
	if err := copyDevice(ctx, folder, devices); err != nil {
		return err
	}
	before, err := size(folder)
	if err != nil {
		return err
	}
	store, err := b.openStore(ctx, folder, iot.Retention{Readings: 3 * iot.Day})
	if err != nil {
		return err
	}
	start, cpu := time.Now(), ownCPU()
	month := filepath.Join(folder, "readings", begin.Format("2006-01")+".db")
	err = maintain(ctx, store, 5*time.Millisecond, func() (bool, error) {
		inUse, err := isInUse(month)
		return !inUse, err
	})
	took := time.Since(start)
	cpu = ownCPU() - cpu
	if err := errors.Join(err, store.Close()); err != nil {
		return err
	}
	after, err := size(folder)
	if err != nil {
		return err
	}
	if after >= before/2 {
		return fmt.Errorf("%d of %d bytes are left of a month that was removed", after, before)
	}
	keep(line{
		name: "drop", what: fmt.Sprintf("a month of %d readings, and its space is free", old.ticks*devices), got: took.Seconds(), limit: 1, unit: "s",
		note: fmt.Sprintf("%s of %s freed, %.2f CPU-s", mib(before-after), mib(before), cpu.Seconds()),
	})
	return os.RemoveAll(folder)
}

// isInUse reports whether a file is there, or removed and still open in this process: its space is not free.
func isInUse(path string) (bool, error) {
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		return true, err
	}
	open, err := os.ReadDir("/proc/self/fd")
	for _, fd := range open {
		if target, err := os.Readlink(filepath.Join("/proc/self/fd", fd.Name())); err == nil && strings.HasPrefix(target, path) {
			return true, nil
		}
	}
	return false, err
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
