package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/services/simulator/simulator"
)

// row is a fault and what it is done to.
type row struct {
	name   string
	times  int       // how often inject is called, at least; 0 is once
	before injection // is called when nothing runs yet, where there is one
	inject injection
	note   string // what the row does not show, or whoever reads the table should know

	faults     simulator.Faults // of the devices
	only       string           // the mode of the bridge whose devices it concerns; the others' show that it does not
	fleet      fleetOf          // of each mode; zero is fleetSize
	crowd      int              // connections of devices; each may take some of the bridge's memory
	bound      int64            // of the memory of each process, where it is not the usual one
	unordered  bool             // the order of a device's readings is not promised under this fault
	onAllInOne bool
	settings   []string // of all-in-one, beside the usual ones
	trimmed    bool     // the log is so short that what was acknowledged need not be in it any more
}

const (
	// recoveryLimit is how long it may take after a fault was lifted until new readings of all devices are readable.
	recoveryLimit = 90 * time.Second
	// catchUpLimit is how long after the end of publishing it may take until all that was acknowledged is stored.
	catchUpLimit = time.Minute
)

// trial is one run of a row.
type trial struct {
	*system
	row      row
	dir      string // of the ledgers
	dice     *rand.Rand
	duration time.Duration // for which the fault is repeated
	catchUp  time.Duration // how long what was acknowledged is waited for
	least    int           // how often it is injected, at least
	next     iot.DeviceID  // the first that no fleet has yet
	fleets   []*fleet

	injected int
	lifted   time.Time     // when the last fault was
	recovery time.Duration // the worst

	before     offsets             // the end of the topic before the trial
	topicSince time.Time           // when the topic was made anew, if it was
	losses     map[string][]window // by mode: times of which a fault may cost readings that were acknowledged
	rejected   int64               // dead letters that there must be, at least
	junk       int                 // records on the topic that are no readings
	poisoned   strings.Builder     // a ledger of the good neighbours of what is bad
	retired    []*service          // replicas that ran for a while
	pasts      []*past             // what is published beside the fleets
}

// window is a time.
type window struct{ from, to time.Time }

// mayLose excuses the loss of readings that devices in a mode dated from one moment to another.
func (t *trial) mayLose(mode string, from, to time.Time) {
	if t.losses == nil {
		t.losses = map[string][]window{}
	}
	t.losses[mode] = append(t.losses[mode], window{from, to})
}

// outcome is a line of the report.
type outcome struct {
	fault, mode          string
	notRun               bool // on this machine; the note says why
	untouched            bool // the fault was not on the path of these devices
	injected             int
	acknowledged, stored int
	repeated             int // records on Kafka beyond the first of a reading; the stores drop them
	twice                int // readings stored more than once
	lost                 int
	recovery             time.Duration
	memory               string
	note                 string
	err                  error
}

// run runs the row, and returns an outcome for each mode of the bridge.
func (t *trial) run(ctx context.Context) ([]outcome, error) {
	var failure error
	if t.row.before != nil {
		failure = t.row.before(ctx, t)
	}
	if err := t.start(ctx); err != nil {
		return nil, errors.Join(failure, err)
	}
	for _, p := range t.services {
		p.forgetPeak()
	}
	var deadLettersEnd offsets
	if err := eventually(ctx, catchUpLimit, func() (err error) { // services create the topics
		t.before, err = t.endOf(ctx, topic)
		if err == nil {
			deadLettersEnd, err = t.endOf(ctx, deadLetters)
		}
		return err
	}); err != nil {
		return nil, err
	}
	for _, mode := range []string{subscribe, listen} {
		if t.devices[mode] != "" {
			if _, err := t.addFleet(ctx, mode, cmp.Or(t.row.fleet, fleetSize)); err != nil {
				return nil, err
			}
		}
	}
	if failure == nil {
		failure = t.torment(ctx)
	}
	if failure == nil && t.rejected > 0 {
		failure = eventually(ctx, catchUpLimit, func() error { return t.checkDeadLetters(ctx, deadLettersEnd) })
	}
	return t.judge(ctx, failure), ctx.Err()
}

// torment injects the fault, again and again, and waits each time until the system has recovered.
func (t *trial) torment(ctx context.Context) error {
	begin := time.Now()
	if err := t.awaitNew(ctx, begin); err != nil {
		return fmt.Errorf("before any fault: %w", err)
	}
	for n := 0; n < max(t.row.times, t.least, 1) || time.Since(begin) < t.duration; n++ {
		if err := t.pause(ctx, time.Second); err != nil {
			return err
		}
		if err := t.row.inject(ctx, t); err != nil {
			return fmt.Errorf("inject the fault: %w", err)
		}
		if err := t.recover(ctx); err != nil {
			return err
		}
	}
	return nil
}

// recover waits until the system has recovered from the last fault, and keeps the longest time that took.
func (t *trial) recover(ctx context.Context) error {
	if err := t.awaitNew(ctx, t.lifted); err != nil {
		return fmt.Errorf("no recovery: %w", err)
	}
	t.recovery = max(t.recovery, time.Since(t.lifted))
	return nil
}

// thrice injects a fault three times: the second time when the system has recovered from the first, the third time
// while it may still be catching up. Whoever calls it waits for the last recovery.
func (t *trial) thrice(ctx context.Context, fault func() error) error {
	err := fault()
	if err == nil {
		err = errors.Join(t.recover(ctx), t.pause(ctx, time.Second))
	}
	for range 2 {
		if err == nil {
			err = errors.Join(fault(), t.pause(ctx, 3*time.Second))
		}
	}
	return err
}

// awaitNew waits until readings of every device that were measured at since or later are readable.
func (t *trial) awaitNew(ctx context.Context, since time.Time) error {
	var g errgroup.Group
	for _, f := range t.fleets {
		if f.size.count > 0 {
			continue // it has an end
		}
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

// judge ends the publishing, lets the system come to rest, and compares what it did with what it promises.
func (t *trial) judge(ctx context.Context, failure error) []outcome {
	for _, f := range t.fleets {
		f.stop()
	}
	if errors.Is(failure, errNotHere) {
		o := outcome{fault: t.row.name, mode: "-", notRun: true, note: failure.Error()}
		if os.Getenv("TEST_REQUIRE") == "1" {
			o.err = failure
		}
		return []outcome{o}
	}
	found, err := t.check(ctx)
	memory, beyond := t.memory()
	var outcomes []outcome
	for i, f := range t.fleets {
		o := outcome{
			fault: t.row.name, mode: f.mode, injected: t.injected, recovery: t.recovery, memory: memory, note: t.row.note,
			untouched: t.row.only != "" && t.row.only != f.mode,
			err:       errors.Join(failure, beyond, err),
		}
		if i < len(found) {
			found[i].fill(&o)
		}
		outcomes = append(outcomes, o)
	}
	return merge(outcomes)
}

// merge makes one line of all fleets in a mode.
func merge(outcomes []outcome) []outcome {
	var merged []outcome
	for _, o := range outcomes {
		i := 0
		for i < len(merged) && merged[i].mode != o.mode {
			i++
		}
		if i == len(merged) {
			merged = append(merged, o)
			continue
		}
		m := &merged[i]
		m.acknowledged, m.stored, m.repeated = m.acknowledged+o.acknowledged, m.stored+o.stored, m.repeated+o.repeated
		m.twice, m.lost, m.err = m.twice+o.twice, m.lost+o.lost, errors.Join(m.err, o.err)
	}
	return merged
}
