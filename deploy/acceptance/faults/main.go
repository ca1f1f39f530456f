// Command faults breaks Telltale and its servers under load, and checks each time that nothing was lost that
// was acknowledged. `make faults` runs all rows of rows.go and writes REPORT.md; each runs like this:
//
//  1. Devices publish through a bridge that subscribes to Mosquitto and through one that listens itself, both
//     running side by side. What got a PUBACK is written to a ledger.
//  2. The fault is injected and lifted, once or several times at random moments, and each time it is looked for
//     what it does: a fault without an effect fails its row (evidence.go). A process whose dependency falls
//     silent names that on /readyz within 5 s. The time is taken until new readings of every device are readable
//     again: stored, and as the latest value.
//  3. Publishing ends, and what was acknowledged is waited for. Then every process accounts for all it took
//     (received = what became of it), every partition is somebody's, and nobody is behind (conservation.go).
//  4. Only then, so that what comes late is seen too, the ledger is compared with what the pages of the HTTP API
//     return: what was acknowledged is stored, once, and unchanged; the latest value is the newest acknowledged
//     reading; every device is registered. On Kafka is everything that was acknowledged, the readings of a device
//     in the order of their publishing, and nothing that is no reading. Every process stayed within its bound of
//     memory. None ended by itself, and those that were stopped ended with exit code 0.
//
// The servers run in containers, by docker-compose.yml of the repository with compose.yml of this folder over
// it, under a project name and on ports of their own. The services run as processes of this machine: so a
// signal hits exactly the process that is meant at that moment, replicas come and go within milliseconds, the
// kernel counts the memory of each, and all that they say to servers and devices passes toxiproxy (proxies.go),
// for which Kafka has a listener for every service.
//
// The rows of all-in-one need no servers. Its data is on a disk that loses power on demand (disk.go), and
// strace has system calls of it fail (strace.go). Where this program may not have these, a row that needs them is
// reported as not run; with TEST_REQUIRE=1 it fails.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"syscall"
	"time"
)

// settings are the flags.
type settings struct {
	pattern, mode     string
	source, allInOne  string
	duration, catchUp time.Duration
	times             int
	seed              uint64
	port              int
	keep, unsynced    bool
}

func main() {
	var s settings
	flag.StringVar(&s.pattern, "fault", "", "run only the rows whose names match this regular expression, and leave REPORT.md as it is")
	flag.StringVar(&s.mode, "mode", "", "run the bridge in this mode only: subscribe or listen")
	flag.DurationVar(&s.duration, "duration", 0, "repeat each fault for this long")
	flag.IntVar(&s.times, "times", 0, "inject each fault this often, at least")
	flag.Uint64Var(&s.seed, "seed", uint64(time.Now().UnixNano()), "of the dice")
	flag.DurationVar(&s.catchUp, "catch-up", catchUpLimit, "how long after the end of publishing what was acknowledged is waited for")
	flag.StringVar(&s.source, "source", "", "build the services, but all-in-one, from this copy of the repository")
	flag.StringVar(&s.allInOne, "all-in-one", "", "build all-in-one from this copy of the repository")
	flag.IntVar(&s.port, "port", 21800, "the first of some 30 ports on 127.0.0.1")
	flag.BoolVar(&s.keep, "keep", false, "leave the servers running, for the next run")
	flag.BoolVar(&s.unsynced, "unsynced", false, "run all-in-one with fsync and fdatasync that do nothing: it must not survive a power cut")
	list := flag.Bool("list", false, "list the rows")
	flag.Parse()
	if *list {
		for _, r := range rows {
			fmt.Println(r.name)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := prepare(ctx, s); err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
		os.Exit(1)
	}
}

// prepare checks the settings, builds the services, and runs the rows.
func prepare(ctx context.Context, s settings) (err error) {
	h := &harness{settings: s, modes: []string{subscribe, listen}}
	if h.chosen, err = regexp.Compile(s.pattern); err != nil {
		return fmt.Errorf("-fault: %w", err)
	}
	switch s.mode {
	case "":
	case subscribe, listen:
		h.modes = []string{s.mode}
	default:
		return errors.New("-mode is neither subscribe nor listen")
	}
	if h.root, err = repositoryRoot(ctx); err != nil {
		return err
	}
	h.source = cmp.Or(h.source, h.root)
	h.allInOne = cmp.Or(h.allInOne, h.root)
	if h.dir, err = os.MkdirTemp("", "telltale-faults-"); err != nil {
		return err
	}
	if err := errors.Join(
		build(ctx, h.source, h.dir, "mqtt-bridge", ingestWriter, cacheUpdater, queryAPI), build(ctx, h.allInOne, h.dir, allInOne),
	); err != nil {
		return err
	}
	return h.run(ctx)
}
