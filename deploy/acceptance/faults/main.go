// Faults breaks things under load and checks that nothing acknowledged was lost.
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

	"github.com/telltale-iot/telltale/pkg/iot"
)

const second = time.Second

type settings struct {
	pattern, mode, source, report string
	duration                      time.Duration
	seed                          uint64
	port                          int
	keep, list                    bool
}

func main() {
	var c settings
	flag.StringVar(&c.pattern, "fault", "", "run only the rows whose names match this regular expression")
	flag.StringVar(&c.mode, "mode", "", "run the bridge in this mode only: subscribe or listen")
	flag.DurationVar(&c.duration, "duration", 0, "repeat each fault for this long")
	flag.Uint64Var(&c.seed, "seed", uint64(time.Now().UnixNano()), "of the dice")
	flag.StringVar(&c.source, "source", "", "build the services from this copy of the repository")
	flag.StringVar(&c.report, "report", "", "write the table to this file too")
	flag.IntVar(&c.port, "port", 21800, "the first of the ports that are used on 127.0.0.1")
	flag.BoolVar(&c.keep, "keep", false, "leave the servers running, for the next run")
	flag.BoolVar(&c.list, "list", false, "list the rows")
	flag.Parse()
	if c.list {
		for _, r := range rows {
			fmt.Println(r.name)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := c.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
		os.Exit(1)
	}
}

func (c settings) run(ctx context.Context) (err error) {
	chosen, err := regexp.Compile(c.pattern)
	if err != nil {
		return fmt.Errorf("-fault: %w", err)
	}
	modes := []string{subscribe, listen}
	switch c.mode {
	case "":
	case subscribe, listen:
		modes = []string{c.mode}
	default:
		return errors.New("-mode is neither subscribe nor listen")
	}
	root, err := repositoryRoot(ctx)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "telltale-faults-")
	if err != nil {
		return err
	}
	if c.source == "" {
		c.source = root
	}
	if err := build(ctx, c.source, dir); err != nil {
		return err
	}
	s := &stack{root: root, base: c.port}
	if err := s.up(ctx); err != nil {
		return err
	}
	if !c.keep {
		defer func() { err = errors.Join(err, s.down(context.WithoutCancel(ctx))) }()
	}
	links, err := openLinks(s)
	if err != nil {
		return err
	}
	y := newSystem(s, links, dir, modes)
	defer func() { err = errors.Join(err, y.stop()) }()

	fmt.Printf("seed %d, logs in %s\n", c.seed, dir)
	dice := rand.New(rand.NewPCG(c.seed, 0)) //nolint:gosec // dice, not secrets
	first := iot.DeviceID(time.Now().Unix()) * 1000
	failed := 0
	for _, r := range rows {
		if !chosen.MatchString(r.name) {
			continue
		}
		begin := time.Now()
		t := &trial{system: y, row: r, dir: dir, dice: dice, duration: c.duration}
		outcomes, err := t.run(ctx, first)
		if err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
		first += 100
		for _, o := range outcomes {
			fmt.Printf("%+v %v\n", o, time.Since(begin))
			if o.err != nil {
				failed++
			}
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d rows failed; logs in %s", failed, dir)
	}
	return nil
}
