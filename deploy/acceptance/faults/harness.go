package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// harness is one run of the program.
type harness struct {
	settings
	root, dir string
	modes     []string
	chosen    *regexp.Regexp
	*report
}

// lane is rows that run one after the other, on a Telltale of their own.
type lane struct {
	*harness
	dice *rand.Rand
	next iot.DeviceID
}

// run runs the chosen rows: those on servers, and beside them those on all-in-one. Both wait for most of their time.
func (h *harness) run(ctx context.Context) error {
	h.report = &report{begin: time.Now(), settings: h.settings}
	fmt.Printf("seed %d; logs and ledgers in %s\n", h.seed, h.dir)
	h.printHeader()
	var onServers, onAllInOne error
	var lanes sync.WaitGroup
	lanes.Go(func() { onServers = h.lane(0).runOnServers(ctx) })
	lanes.Go(func() { onAllInOne = h.lane(1).runOnAllInOne(ctx) })
	lanes.Wait()
	h.sort()
	err := errors.Join(onServers, onAllInOne)
	if h.pattern == "" && h.mode == "" {
		err = errors.Join(err, h.write(filepath.Join(h.root, "deploy/acceptance/faults/REPORT.md")))
	}
	if n := h.failed(); err == nil && n > 0 {
		err = fmt.Errorf("%d of %d lines failed; logs and ledgers are in %s", n, len(h.outcomes), h.dir)
	}
	return err
}

// lane returns the lane of a number: its dice fall as they do without the other one, and its devices, the ledgers of which
// lie in one folder, are others.
func (h *harness) lane(number int64) *lane {
	const day = 24 * 60 * 60
	return &lane{
		harness: h,
		dice:    rand.New(rand.NewPCG(h.seed, uint64(number))), //nolint:gosec // dice, not secrets
		next:    iot.DeviceID(time.Now().Unix()+number*day) * 10_000,
	}
}

// rows returns the chosen rows, on all-in-one or not.
func (h *harness) rows(onAllInOne bool) []row {
	return slices.DeleteFunc(slices.Clone(rows), func(r row) bool {
		return r.onAllInOne != onAllInOne || !h.chosen.MatchString(r.name)
	})
}

func (l *lane) runOnServers(ctx context.Context) (err error) {
	chosen := l.rows(false)
	if len(chosen) == 0 {
		return nil
	}
	s := &stack{root: l.root, base: l.port}
	if err := s.up(ctx); err != nil {
		return err
	}
	if !l.keep {
		defer func() { err = errors.Join(err, s.down(context.WithoutCancel(ctx))) }()
	}
	proxies, err := openProxies(s)
	if err != nil {
		return err
	}
	return l.runOn(ctx, newSystem(s, proxies, l.dir, l.modes), chosen)
}

func (l *lane) runOnAllInOne(ctx context.Context) error {
	chosen := l.rows(true)
	if len(chosen) == 0 || !slices.Contains(l.modes, listen) {
		return nil
	}
	y, err := newAllInOne(l.dir)
	if err != nil {
		return err
	}
	y.services[allInOne].unsynced = l.unsynced
	base := y.services[allInOne].settings
	for _, r := range l.repeated(chosen) {
		y.services[allInOne].settings = with(base, r.settings...)
		if err := y.renew(); err != nil {
			return fmt.Errorf("before %s: %w", r.name, err)
		}
		if err := l.runOn(ctx, y, []row{r}); err != nil {
			return errors.Join(err, y.closeDisk())
		}
	}
	return y.closeDisk()
}

// repeated returns rows, those that begin before all-in-one runs as often as their faults are to be injected: each trial has
// one beginning.
func (l *lane) repeated(chosen []row) (all []row) {
	for _, r := range chosen {
		n := 1
		if r.before != nil {
			n = max(l.times, 1)
		}
		all = append(all, slices.Repeat([]row{r}, n)...)
	}
	return all
}

// runOn runs rows on y.
func (l *lane) runOn(ctx context.Context, y *system, chosen []row) (err error) {
	defer func() { err = errors.Join(err, y.stop()) }()
	for _, r := range chosen {
		t := &trial{system: y, row: r, dir: l.dir, dice: l.dice, next: l.next, catchUp: l.catchUp}
		if r.before == nil {
			t.duration, t.least = l.duration, l.times
		}
		outcomes, err := t.run(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
		l.next = t.next
		l.add(outcomes)
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
