package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/telltale-iot/telltale/deploy/acceptance/history"
	"github.com/telltale-iot/telltale/pkg/iot"
)

// sealing has all-in-one seal the readings of an hour as soon as they are there and the hour is over.
var sealing = []string{"SEAL_AFTER=1s"}

const (
	pastDevices  = 4
	pastReadings = 2000
	pastGap      = 200 * time.Millisecond // between messages: they arrive for some two seconds

	movingReadings = 16_000 // move for about a second
)

// past is readings of the last days, weeks or months, which are published beside those of the fleets.
type past struct {
	*history.Load
	published chan struct{} // closed when all are acknowledged, and err says how that went
	err       error
	charts    history.Charts // of what is not stored any more
}

// newPast makes a past by a plan, of devices of its own.
func (t *trial) newPast(p history.Plan) *history.Load {
	p.First, p.Devices, p.Seed = t.next, pastDevices, t.dice.Uint64()
	t.next += pastDevices
	return history.NewLoad(p)
}

// lately is readings of the last days and some of the weeks before, some percent of which are stored already.
func lately(old int) history.Plan {
	now := time.Now()
	return history.Plan{Readings: pastReadings, From: now.Add(-36 * time.Hour), To: now, Late: 40 * 24 * time.Hour, Old: old}
}

// publishPast has load arrive, with a gap between messages. What is answered about it is checked at the end of the trial.
func (t *trial) publishPast(ctx context.Context, load *history.Load, gap time.Duration) *past {
	p := &past{Load: load, published: make(chan struct{})}
	t.pasts = append(t.pasts, p)
	go func() {
		p.err = p.Publish(ctx, t.devices[listen], gap)
		close(p.published)
	}()
	return p
}

// withPast has readings of the past arrive, and be sealed, while a fault is injected.
func withPast(inject injection) injection {
	return func(ctx context.Context, t *trial) error {
		t.publishPast(ctx, t.newPast(lately(0)), pastGap)
		return errors.Join(sleep(ctx, pastGap), t.pause(ctx, time.Second), inject(ctx, t))
	}
}

// findOld has all-in-one, which has not run yet, find what a past has of an earlier version. The rest of it arrives when it runs.
func (t *trial) findOld(ctx context.Context, plan history.Plan, gap time.Duration) error {
	load := t.newPast(plan)
	t.publishPast(ctx, load, gap)
	return history.WriteOld(ctx, filepath.Join(t.data, "readings.db"), load.Old)
}

// migrate has all-in-one find the file of an earlier version, and ends it while its readings move to their months and others come
// to them.
func migrate(end injection) injection {
	return func(ctx context.Context, t *trial) error {
		plan := lately(60)
		plan.Readings = movingReadings
		p := t.services[allInOne]
		if err := errors.Join(t.findOld(ctx, plan, pastGap/2), p.start()); err != nil {
			return err
		}
		for range 3 {
			alive := eventually(ctx, recoveryLimit, func() error { return p.alive(ctx) })
			if err := errors.Join(alive, t.pause(ctx, time.Second), end(ctx, t)); err != nil {
				return err
			}
		}
		return nil
	}
}

// checkPasts is nil when all that is answered about the pasts is exact.
func (t *trial) checkPasts(ctx context.Context) error {
	for _, p := range t.pasts {
		readings, err := t.stored(ctx, p, t.catchUp)
		if err == nil {
			err = errors.Join(history.Compare(ctx, t.api, readings, t.dice.Uint64(), p.devices()...), p.charts.Check(ctx, t.api))
		}
		if err != nil {
			return fmt.Errorf("the past: %w", err)
		}
	}
	return nil
}

// stored waits until all of p is published, and then up to a limit until it is stored, and returns it.
func (t *trial) stored(ctx context.Context, p *past, limit time.Duration) (readings []history.Reading, err error) {
	select {
	case <-p.published:
	case <-time.After(catchUpLimit):
		return nil, errors.New("not all is acknowledged")
	}
	if p.err != nil {
		return nil, fmt.Errorf("publish: %w", p.err)
	}
	return readings, eventually(ctx, limit, func() (err error) {
		if readings, err = history.Read(ctx, t.api, p.devices()...); err == nil {
			err = p.Check(readings)
		}
		return err
	})
}

func (p *past) devices() []iot.DeviceID {
	var all []iot.DeviceID
	for key := range p.Want {
		all = append(all, key.Device)
	}
	slices.Sort(all)
	return slices.Compact(all)
}
