package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// harness is one run of the program.
type harness struct {
	settings
	root, dir string
	modes     []string
	chosen    *regexp.Regexp

	dice *rand.Rand
	next iot.DeviceID
	*report
}

// run runs the chosen rows, first those on servers and then those on all-in-one.
func (h *harness) run(ctx context.Context) error {
	h.dice = rand.New(rand.NewPCG(h.seed, 0)) //nolint:gosec // dice, not secrets
	h.next = iot.DeviceID(time.Now().Unix()) * 10_000
	h.report = &report{begin: time.Now(), settings: h.settings}
	fmt.Printf("seed %d; logs and ledgers in %s\n", h.seed, h.dir)
	h.printHeader()
	err := errors.Join(h.runOnServers(ctx), h.runOnAllInOne(ctx))
	if h.pattern == "" && h.mode == "" {
		err = errors.Join(err, h.write(filepath.Join(h.root, "deploy/acceptance/faults/REPORT.md")))
	}
	if n := h.failed(); err == nil && n > 0 {
		err = fmt.Errorf("%d of %d lines failed; logs and ledgers are in %s", n, len(h.outcomes), h.dir)
	}
	return err
}

// rows returns the chosen rows, on all-in-one or not.
func (h *harness) rows(onAllInOne bool) []row {
	return slices.DeleteFunc(slices.Clone(rows), func(r row) bool {
		return r.onAllInOne != onAllInOne || !h.chosen.MatchString(r.name)
	})
}

func (h *harness) runOnServers(ctx context.Context) (err error) {
	chosen := h.rows(false)
	if len(chosen) == 0 {
		return nil
	}
	s := &stack{root: h.root, base: h.port}
	if err := s.up(ctx); err != nil {
		return err
	}
	if !h.keep {
		defer func() { err = errors.Join(err, s.down(context.WithoutCancel(ctx))) }()
	}
	proxies, err := openProxies(s)
	if err != nil {
		return err
	}
	return h.runOn(ctx, newSystem(s, proxies, h.dir, h.modes), chosen)
}

func (h *harness) runOnAllInOne(ctx context.Context) error {
	chosen := h.rows(true)
	if len(chosen) == 0 || !slices.Contains(h.modes, listen) {
		return nil
	}
	y, err := newAllInOne(h.dir)
	if err != nil {
		return err
	}
	y.services[allInOne].unsynced = h.unsynced
	base := y.services[allInOne].settings
	for _, r := range chosen {
		y.services[allInOne].settings = with(base, r.settings...)
		if err := y.renew(); err != nil {
			return fmt.Errorf("before %s: %w", r.name, err)
		}
		if err := h.runOn(ctx, y, []row{r}); err != nil {
			return errors.Join(err, y.closeDisk())
		}
	}
	return y.closeDisk()
}

// runOn runs rows on y.
func (h *harness) runOn(ctx context.Context, y *system, chosen []row) (err error) {
	defer func() { err = errors.Join(err, y.stop()) }()
	for _, r := range chosen {
		t := &trial{system: y, row: r, dir: h.dir, dice: h.dice, duration: h.duration, least: h.times, next: h.next}
		outcomes, err := t.run(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
		h.next = t.next
		h.add(outcomes)
		if slices.ContainsFunc(outcomes, func(o outcome) bool { return o.err != nil }) {
			if err := y.repair(ctx); err != nil {
				return fmt.Errorf("after %s: %w", r.name, err)
			}
		}
		if err := y.tidy(ctx, r); err != nil {
			return fmt.Errorf("after %s: %w", r.name, err)
		}
	}
	return nil
}

// tidy removes what a trial leaves behind that would burden the next one.
func (y *system) tidy(ctx context.Context, r row) error {
	if y.stack == nil {
		return nil
	}
	err := y.stack.empty(ctx)
	if p := y.services[bridgeListen]; p != nil && p.running() && r.crowd > 0 {
		err = errors.Join(err, p.stop()) // Go gives the memory back slowly
	}
	return err
}
