package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/telltale-iot/telltale/deploy/acceptance/history"
	"github.com/telltale-iot/telltale/pkg/iot"
)

const (
	expiringReadings = 20_000 // of three months and the days of this one

	// removalLimit is how long it may take from a start until the disk has back what is too old.
	removalLimit = time.Minute
)

// expire has most of what threeMonths brings become too old, in steps, and ends all-in-one while it removes that. Then it looks
// at what is left, and that nothing comes back where readings are kept for ever from then on.
func expire(end injection) injection {
	return func(ctx context.Context, t *trial) error {
		steps := horizons()
		last := steps[len(steps)-1]
		process := t.services[allInOne]

		p := t.pasts[0]
		if _, err := t.stored(ctx, p, catchUpLimit); err != nil {
			return fmt.Errorf("before anything is too old: %w", err)
		}
		charts, err := t.sealedCharts(ctx, firstHour(-4), last, p.devices()...)
		if err != nil {
			return err
		}
		if err := process.stop(); err != nil {
			return err
		}
		took, err := t.pastBytes() // without WALs
		if err != nil {
			return err
		}
		meanwhile := lately(0)
		meanwhile.Late = 9 * 24 * time.Hour
		t.publishPast(ctx, t.newPast(meanwhile), pastGap)

		forEver := process.settings
		process.settings = keeping(forEver, steps[0])
		if err := process.start(); err != nil {
			return err
		}
		var before time.Time
		for _, horizon := range steps[1:] {
			if err := t.whileRemoving(ctx, before); err != nil {
				return err
			}
			before = t.horizonMoved()
			process.settings = keeping(forEver, horizon)
			if err := end(ctx, t); err != nil {
				return err
			}
		}
		if err := errors.Join(t.whileRemoving(ctx, before), end(ctx, t), anyTime(ctx, t), end(ctx, t)); err != nil {
			return err
		}
		p.charts = charts
		expired := p.Expire(last)
		share := float64(len(expired.Want)) / float64(len(expired.Want)+p.before(firstHour(0).Add(-time.Hour)))
		if err := eventually(ctx, removalLimit, func() error { return t.checkGivenBack(took, share) }); err != nil {
			return err
		}
		process.settings = forEver
		return errors.Join(end(ctx, t), t.refused(ctx, expired))
	}
}

// before is how many readings there are to be from before a moment.
func (p *past) before(at time.Time) (n int) {
	for key := range p.Want {
		if key.At < at.UnixMilli() {
			n++
		}
	}
	return n
}

// firstHour is 01:00 of the first day of a month, so many after this one.
func firstHour(months int) time.Time {
	year, month, _ := time.Now().UTC().Date()
	return time.Date(year, month+time.Month(months), 1, 1, 0, 0, 0, time.UTC)
}

// threeMonths has readings of three months and of this one, most of them of an earlier version. They are of the first two hours
// of each day: so many in little time that what they come to in rollups, which stay, is little beside them.
func threeMonths(ctx context.Context, t *trial) error {
	return t.findOld(ctx, history.Plan{
		Readings: expiringReadings, From: firstHour(-3).Add(-time.Hour), To: time.Now(), Daily: 2 * time.Hour,
		Late: 24 * time.Hour, Text: 600, Old: 80,
	}, 0)
}

// horizons are those of the steps: within the first month, an hour behind it, within the third and again.
func horizons() []time.Time {
	const day = 24 * time.Hour
	return []time.Time{firstHour(-3).Add(9 * day), firstHour(-2), firstHour(-1).Add(5 * day), firstHour(-1).Add(18 * day)}
}

// sealedCharts returns charts when they do not change any more: as long as some readings are not sealed, sums may be added in
// another order.
func (t *trial) sealedCharts(ctx context.Context, from, to time.Time, devices ...iot.DeviceID) (charts history.Charts, err error) {
	const sealed = 3 * time.Second // with SEAL_AFTER=1s
	return charts, eventually(ctx, catchUpLimit, func() (err error) {
		if charts, err = history.GetCharts(ctx, t.api, from, to, devices...); err == nil {
			err = errors.Join(sleep(ctx, sealed), charts.Check(ctx, t.api))
		}
		return err
	})
}

// keeping returns settings with which readings are kept from horizon on, a full hour, for the next 55 minutes.
func keeping(settings []string, horizon time.Time) []string {
	age := time.Since(horizon).Truncate(time.Second) - 5*time.Minute
	return with(settings, "RETENTION_READINGS="+age.String())
}

// killOnce kills all-in-one and starts it again.
func killOnce(_ context.Context, t *trial) error {
	p := t.services[allInOne]
	lift := t.fault()
	defer lift()
	return errors.Join(p.kill(), p.start())
}

// cutOnce takes its power, where it has a disk that can lose it.
func cutOnce(_ context.Context, t *trial) error {
	if err := t.needDisk(); err != nil {
		return err
	}
	return t.cutPower()
}

// horizonMoved returns when the horizon of all-in-one did last. Zero: never.
func (t *trial) horizonMoved() time.Time {
	info, err := os.Stat(filepath.Join(t.data, "readings", "horizon"))
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

// whileRemoving waits until shortly after the horizon has moved since a moment, or for any time.
func (t *trial) whileRemoving(ctx context.Context, since time.Time) error {
	if t.dice.IntN(3) == 0 {
		return anyTime(ctx, t)
	}
	err := t.shortlyAfter(ctx, "the horizon does not move", func() (bool, error) { return t.horizonMoved().After(since), nil })
	return errors.Join(err, t.pause(ctx, 200*time.Millisecond))
}

// pastBytes is what the readings of the months before this one take on the disk.
func (t *trial) pastBytes() (bytes int64, err error) {
	files, err := filesUnder(t.data, months)
	for _, file := range files {
		var stat syscall.Stat_t
		if filepath.Base(file) > firstHour(0).Format("2006-01") {
			continue
		}
		if err := syscall.Stat(file, &stat); err == nil { // else it has been removed just now
			bytes += stat.Blocks * 512
		}
	}
	return bytes, err
}

// checkGivenBack is nil when the disk has back nine tenths of a share of what the readings took before.
func (t *trial) checkGivenBack(before int64, share float64) error {
	after, err := t.pastBytes()
	if least := int64(0.9 * share * float64(before)); err == nil && before-after < least {
		err = fmt.Errorf("readings took %d bytes, and %d when %.0f %% of them were removed: less than %d are given back", before, after, 100*share, least)
	}
	return err
}

// refused sends some of what is removed again, and waits until each of it is a dead letter.
func (t *trial) refused(ctx context.Context, expired *history.Load) error {
	var before int
	if err := eventually(ctx, recoveryLimit, func() (err error) {
		before, err = history.TooOld(ctx, t.api)
		return err
	}); err != nil {
		return err
	}
	if err := expired.Publish(ctx, t.devices[listen], 0); err != nil {
		return err
	}
	return eventually(ctx, t.catchUp, func() error {
		n, err := history.TooOld(ctx, t.api)
		if n -= before; err == nil && n < expired.TooOld {
			err = fmt.Errorf("%d dead letters of readings that are too old, want %d", n, expired.TooOld)
		}
		return err
	})
}
