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
)

// past is readings of the last days and weeks, which are published beside those of the fleets.
type past struct {
	*history.Load
	published chan error
}

// newPast makes a past, some percent of which are stored already.
func (t *trial) newPast(old int) *history.Load {
	now := time.Now()
	first := t.next
	t.next += pastDevices
	return history.NewLoad(history.Plan{
		First: first, Devices: pastDevices, Readings: pastReadings, From: now.Add(-36 * time.Hour), To: now, Late: 40 * 24 * time.Hour,
		Old: old, Seed: t.dice.Uint64(),
	})
}

// publishPast has load arrive. What is answered about it is checked at the end of the trial.
func (t *trial) publishPast(ctx context.Context, load *history.Load) {
	p := &past{load, make(chan error, 1)}
	t.pasts = append(t.pasts, p)
	go func() { p.published <- p.Publish(ctx, t.devices[listen], pastGap) }()
}

// withPast has readings of the past arrive, and be sealed, while a fault is injected.
func withPast(inject injection) injection {
	return func(ctx context.Context, t *trial) error {
		t.publishPast(ctx, t.newPast(0))
		return errors.Join(sleep(ctx, pastGap), t.pause(ctx, time.Second), inject(ctx, t))
	}
}

// migrate has all-in-one find the file of an earlier version, and injects a fault while its readings move to their months and
// others come to them.
func migrate(inject injection) injection {
	return func(ctx context.Context, t *trial) error {
		load := t.newPast(60)
		p := t.services[allInOne]
		if err := errors.Join(p.stop(), history.WriteOld(ctx, filepath.Join(t.data, "readings.db"), load.Old), p.start()); err != nil {
			return err
		}
		t.publishPast(ctx, load)
		return errors.Join(eventually(ctx, recoveryLimit, func() error { return p.alive(ctx) }), inject(ctx, t))
	}
}

// checkPasts is nil when all that is answered about the pasts is exact.
func (t *trial) checkPasts(ctx context.Context) error {
	for _, p := range t.pasts {
		select {
		case err := <-p.published:
			if err != nil {
				return fmt.Errorf("publish the past: %w", err)
			}
		case <-time.After(catchUpLimit):
			return errors.New("the past is not acknowledged")
		}
		var readings []history.Reading
		err := eventually(ctx, catchUpLimit, func() (err error) {
			if readings, err = history.Read(ctx, t.api, p.devices()...); err == nil {
				err = p.Check(readings)
			}
			return err
		})
		if err == nil {
			err = history.Compare(ctx, t.api, readings, t.dice.Uint64(), p.devices()...)
		}
		if err != nil {
			return fmt.Errorf("the past: %w", err)
		}
	}
	return nil
}

func (p *past) devices() []iot.DeviceID {
	var all []iot.DeviceID
	for key := range p.Want {
		all = append(all, key.Device)
	}
	slices.Sort(all)
	return slices.Compact(all)
}
