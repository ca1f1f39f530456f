// Load measures what the services cost: it starts each as a process of its own against real servers, puts
// a load on it for a bounded time, and prints a table of rate, CPU time, memory and latency beside the
// targets. CPU time is user+sys of the service's process, as /proc counts it (Linux), from its start on, so
// it holds on a machine that does other things too; rates and latencies do not.
//
// How fast a machine is differs by half from one to the next, and from hour to hour on one that others use. So each
// service is measured beside a floor: a process that does the same work for the same load on the same servers with as
// little code as can be (see floors), in the same run. The ratio of the two is what can be compared.
//
//	go run ./deploy/acceptance/load -row bridge-listen
//
// The servers are named by BENCH_… variables, or the TEST_… ones of the tests: MQTT_URL, KAFKA_BROKERS,
// MONGODB_URI, REDIS_URL, MYSQL_URL. A row whose server is not named is not run, and says so. Each run uses
// topics, databases and client ids of its own and removes them; in Redis it leaves keys of device ids from
// 4,000,000,000 on, which expire.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/telltale-iot/telltale/deploy/acceptance/process"
)

// bench is one run of the program.
type bench struct {
	name     string // in the names of everything that the run creates
	dir      string // of binaries, logs and data
	topics   int    // that were created
	readings int    // of the rows that move a given number
	stored   int    // of the load of a row of the history table; 0: what the row has
	seconds  time.Duration
	log      *slog.Logger // of what runs inside this process
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if name := os.Getenv(floorVariable); name != "" {
		if err := runFloor(ctx, name); err != nil {
			fmt.Fprintln(os.Stderr, "load:", err)
			os.Exit(1)
		}
		return
	}
	pattern := flag.String("row", "", "run only the rows whose names match this regular expression")
	list := flag.Bool("list", false, "list the rows")
	verbose := flag.Bool("v", false, "log what the load generators do, and keep the services' logs")
	readings := flag.Int("readings", fromEnv("BENCH_READINGS", 300_000), "readings moved by rows that move a given number (BENCH_READINGS)")
	seconds := flag.Int("seconds", fromEnv("BENCH_SECONDS", 15), "seconds of load in rows that last a given time (BENCH_SECONDS)")
	stored := flag.Int("stored", fromEnv("BENCH_STORED", 0), "readings that a row of the history table stores; 0: as many as the row has (BENCH_STORED)")
	flag.Parse()

	b := &bench{
		name:     "bench_" + strconv.FormatUint(uint64(rand.Uint32()), 36),
		readings: *readings,
		stored:   *stored,
		seconds:  time.Duration(*seconds) * time.Second,
		log:      slog.New(slog.DiscardHandler),
	}
	if *verbose {
		b.log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	if *list {
		for _, r := range rows {
			fmt.Printf("%-24s %s\n", r.name, r.what)
		}
		for _, r := range historyRows {
			fmt.Printf("%-24s %s\n", r.name, r.what)
		}
		return
	}
	if err := b.run(ctx, *pattern, *verbose); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

func fromEnv(variable string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(variable)); err == nil {
		return n
	}
	return otherwise
}

// run measures the rows that match pattern and prints them.
func (b *bench) run(ctx context.Context, pattern string, keep bool) (err error) {
	wanted, err := regexp.Compile(pattern)
	if err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp("", b.name+"-"); err != nil {
		return err
	}
	if keep {
		fmt.Fprintln(os.Stderr, "logs are in", b.dir)
	} else {
		defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	}
	if err := process.Build(ctx, b.dir, needed(wanted)...); err != nil {
		return err
	}

	var failed []error
	var done []outcome
	for _, r := range rows {
		if !wanted.MatchString(r.name) {
			continue
		}
		if missing := missingServers(r.needs); len(missing) > 0 {
			done = append(done, outcome{row: r, why: "not run: no " + strings.Join(missing, ", ")})
			continue
		}
		fmt.Fprintf(os.Stderr, "%s: %s …\n", r.name, r.what)
		start := time.Now()
		f, err := r.measure(ctx, b)
		if err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", r.name, err))
			done = append(done, outcome{row: r, why: "failed"})
			continue
		}
		fmt.Fprintf(os.Stderr, "%s: done after %v\n", r.name, time.Since(start).Round(time.Second))
		done = append(done, outcome{row: r, figures: f})
	}
	if len(done) > 0 {
		printTable(os.Stdout, done)
	}
	failed = append(failed, b.history(ctx, wanted.MatchString))
	return errors.Join(failed...)
}

// needed are the services of the rows that are wanted.
func needed(wanted *regexp.Regexp) (names []string) {
	if slices.ContainsFunc(historyRows, func(r historyRow) bool { return wanted.MatchString(r.name) }) {
		names = append(names, "all-in-one")
	}
	for _, r := range rows {
		if r.service != "" && wanted.MatchString(r.name) && !slices.Contains(names, r.service) {
			names = append(names, r.service)
		}
	}
	return names
}

// outcome is a row of the table.
type outcome struct {
	row     row
	figures figures
	why     string // there are no figures
}

func printTable(w io.Writer, done []outcome) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	defer func() { _ = t.Flush() }()
	_, _ = fmt.Fprintln(t, "row\trate\tCPU\tits floor\tratio\tRSS peak\tp50\tp99\tto disk\ttarget\t\tnote")
	for _, o := range done {
		if o.why != "" {
			_, _ = fmt.Fprintln(t, o.row.name+strings.Repeat("\t–", 9)+"\t\t"+o.why)
			continue
		}
		r, f, verdict := o.row, o.figures, "met"
		if missed := r.target.missed(r, f); missed != "" {
			verdict = "MISSED: " + missed
		}
		for _, cell := range []string{
			r.name, orDash(f.rate, perSecond), r.cpuText(r.cpuPer(f.n, f.cpu)), r.cpuText(r.cpuPer(f.floorN, f.floorCPU)),
			orDash(r.ratio(f), twice), orDash(f.rss, mib), orDash(f.p50, milliseconds), orDash(f.p99, milliseconds),
			orDash(f.writtenPer(), kilobytes), r.target.text(r), verdict, f.note,
		} {
			_, _ = fmt.Fprint(t, cell, "\t")
		}
		_, _ = fmt.Fprintln(t)
	}
}

func orDash[T cmp.Ordered](v T, format func(T) string) string {
	var zero T
	if v == zero {
		return "–"
	}
	return format(v)
}

func perSecond(rate float64) string { return fmt.Sprintf("%.0f/s", rate) }

func twice(ratio float64) string { return fmt.Sprintf("%.2f", ratio) }

func kilobytes(perReading int64) string { return fmt.Sprintf("%.1f kB", float64(perReading)/1e3) }

func mib(bytes int64) string { return fmt.Sprintf("%.0f MiB", float64(bytes)/(1<<20)) }

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1e3)
}

// server returns the URL of a server, or "".
func server(variable string) string {
	return cmp.Or(os.Getenv("BENCH_"+variable), os.Getenv("TEST_"+variable))
}
