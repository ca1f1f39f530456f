// Command attacks does to Telltale what a stranger who reaches a port may do, and checks each time that nobody
// else suffers. `make attacks` runs all rows of rows.go and prints a table; each runs like this:
//
//  1. The process under attack is a new one: mqtt-bridge as the endpoint of devices, or all-in-one. What
//     is behind a bridge, Kafka and the stores, is an all-in-one that all rows share. Everything is on loopback.
//  2. A device fleet publishes at QoS 1 all the time, and keeps a ledger of what it got a PUBACK for.
//  3. The attack runs, from raw sockets with bytes made by hand: a client library would not send them. It
//     says itself whether the answers are those that the protocol asks for.
//  4. Meanwhile the fleet keeps its connections, gets 99 of 100 PUBACKs within a second, and what the row
//     probes goes on. The kernel's peak of the resident memory stays under half of the manifests' limit, where a row has none
//     of its own.
//  5. When the attackers have gone, no more than 20 MB are in use beyond what was before, and everything that was
//     acknowledged is stored, once and unchanged.
//  6. The attack begins again, and amid it a SIGTERM ends the process with exit code 0. Its log has grown by
//     no more than a stranger may cause.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"regexp"
	"syscall"
	"time"

	"github.com/telltale-iot/telltale/deploy/acceptance/process"
)

func main() {
	pattern := flag.String("attack", "", "run only the rows whose names match this regular expression")
	seed := flag.Uint64("seed", 1, "of the dice")
	keep := flag.Bool("keep", false, "keep logs and ledgers")
	list := flag.Bool("list", false, "list the rows")
	flag.Parse()
	if *list {
		for _, r := range rows {
			fmt.Printf("%-28s %s\n", r.name, r.what)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *pattern, *seed, *keep); err != nil {
		fmt.Fprintln(os.Stderr, "attacks:", err)
		os.Exit(1)
	}
}

// run runs the rows that match pattern, and prints the table of them.
func run(ctx context.Context, pattern string, seed uint64, keep bool) (err error) {
	chosen, err := regexp.Compile(pattern)
	if err != nil {
		return fmt.Errorf("-attack: %w", err)
	}
	s := &site{dice: rand.New(rand.NewPCG(seed, 0))} //nolint:gosec // dice, not secrets
	if s.dir, err = os.MkdirTemp("", "telltale-attacks-"); err != nil {
		return err
	}
	if keep {
		fmt.Fprintln(os.Stderr, "logs and ledgers are in", s.dir)
	} else {
		defer func() { err = errors.Join(err, os.RemoveAll(s.dir)) }()
	}
	if err := process.Build(ctx, s.dir, "all-in-one", "mqtt-bridge"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()

	var attacks []row
	for _, r := range rows {
		if chosen.MatchString(r.name) {
			attacks = append(attacks, r)
		}
	}
	begin, failed := time.Now(), 0
	printHeader()
	next := s.prepare(ctx, attacks)
	for _, r := range attacks {
		t, err := next()
		if err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
		o, err := s.try(ctx, r, t)
		if err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
		o.print()
		if len(o.wrong) > 0 {
			failed++
		}
	}
	fmt.Printf("%d rows in %v, %d failed\n", len(attacks), time.Since(begin).Round(time.Second), failed)
	if failed > 0 {
		return fmt.Errorf("%d of %d rows failed", failed, len(attacks))
	}
	return nil
}
