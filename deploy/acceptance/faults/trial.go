package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/services/simulator/simulator"
)

// row is a fault and what it is done to.
type row struct {
	name   string
	times  int // how often it is injected, at least; 0 is once
	inject func(ctx context.Context, t *trial) error
	note   string // what the row does not show

	faults     simulator.Faults // of the devices
	unordered  bool             // the order of a device's readings is not promised under this fault
	onAllInOne bool
}

// recoveryLimit is how long it may take after a fault was lifted until new readings of all devices are readable.
const recoveryLimit = 90 * time.Second

// catchUpLimit is how long after the end of publishing it may take until all that was acknowledged is stored.
const catchUpLimit = time.Minute

// trial is one run of a row.
type trial struct {
	*system
	row      row
	dir      string
	dice     *rand.Rand
	duration time.Duration
	fleets   []*fleet

	injected int
	lifted   time.Time     // when the last fault was
	recovery time.Duration // the worst
}

// outcome is a line of the report.
type outcome struct {
	fault, mode          string
	injected             int
	acknowledged, stored int
	repeated             int // records on Kafka beyond the first of a reading; the store drops them
	lost                 int
	recovery             time.Duration
	memory               string
	note                 string
	err                  error
}

// run runs the row, and returns an outcome for each mode of the bridge.
func (t *trial) run(ctx context.Context, first iot.DeviceID) ([]outcome, error) {
	if err := t.start(ctx); err != nil {
		return nil, err
	}
	for _, p := range t.services {
		p.forgetPeak()
	}
	before, err := t.endOfTopic(ctx)
	if err != nil {
		return nil, err
	}
	for _, mode := range []string{subscribe, listen} {
		if url := t.devices[mode]; url != "" {
			f, err := startFleet(ctx, t.dir, mode, url, first, t.dice.Uint64(), t.row.faults)
			if err != nil {
				return nil, err
			}
			t.fleets = append(t.fleets, f)
			first += fleetDevices
		}
	}
	failure := t.torment(ctx)
	return t.judge(ctx, before, failure), nil
}

// torment injects the fault, again and again, and waits each time until the system has recovered.
func (t *trial) torment(ctx context.Context) error {
	begin := time.Now()
	if err := t.awaitNew(ctx, begin); err != nil {
		return fmt.Errorf("before any fault: %w", err)
	}
	for t.injected < max(t.row.times, 1) || time.Since(begin) < t.duration {
		if err := t.pause(ctx, time.Second); err != nil {
			return err
		}
		if err := t.row.inject(ctx, t); err != nil {
			return fmt.Errorf("inject the fault: %w", err)
		}
		if err := t.awaitNew(ctx, t.lifted); err != nil {
			return fmt.Errorf("no recovery: %w", err)
		}
		t.recovery = max(t.recovery, time.Since(t.lifted))
	}
	return nil
}

// awaitNew waits until readings of every device that were measured at since or later are readable.
func (t *trial) awaitNew(ctx context.Context, since time.Time) error {
	var g errgroup.Group
	for _, f := range t.fleets {
		g.Go(func() error {
			return eventually(ctx, recoveryLimit, func() error { return f.seen(ctx, t.api, since) })
		})
	}
	return g.Wait()
}

// fault notes that a fault begins, and returns what notes that it is over.
func (t *trial) fault() (lift func()) {
	t.injected++
	return func() { t.lifted = time.Now() }
}

// pause sleeps for a random time.
func (t *trial) pause(ctx context.Context, most time.Duration) error {
	return sleep(ctx, time.Duration(t.dice.Int64N(int64(most))))
}

// judge ends the publishing, lets the system come to rest, and holds what it did against what it promises.
func (t *trial) judge(ctx context.Context, before offsets, failure error) []outcome {
	var outcomes []outcome
	for _, f := range t.fleets {
		o := outcome{fault: t.row.name, mode: f.mode, injected: t.injected, recovery: t.recovery, note: t.row.note}
		o.err = errors.Join(failure, t.check(ctx, f, before, &o))
		outcomes = append(outcomes, o)
	}
	memory, err := t.memory()
	err = errors.Join(err, t.conservation(ctx))
	for i := range outcomes {
		outcomes[i].memory = memory
		outcomes[i].err = errors.Join(outcomes[i].err, err)
	}
	return outcomes
}
