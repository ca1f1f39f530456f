package mongo

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/rollup"
)

// recheckAfter is how long after a difference was seen it is looked at once more: what was inserted at that moment is
// marked then.
const recheckAfter = 10 * time.Second

// CheckRollups compares what is rolled up and not marked with the readings, while everything runs.
func (s *Store) CheckRollups(ctx context.Context, log *slog.Logger) (rollup.Checked, error) {
	var suspects []rollup.DeviceHour
	checked, err := s.eachRolledUp(ctx, log, func(devices []iot.DeviceID, in interval) error {
		differ, err := s.differing(ctx, devices, in)
		suspects = append(suspects, differ...)
		return err
	})
	if err != nil || len(suspects) == 0 {
		return checked, err
	}
	select {
	case <-time.After(s.recheckAfter):
	case <-ctx.Done():
		return checked, ctx.Err()
	}
	for _, suspect := range suspects {
		at := suspect.Hour.UnixMilli()
		differ, err := s.differing(ctx, []iot.DeviceID{suspect.Device}, interval{at, at + hour})
		if err != nil {
			return checked, fmt.Errorf("check rollups: %w", err)
		}
		checked.Differ = append(checked.Differ, differ...)
	}
	return checked, nil
}

// RebuildRollups computes all that is rolled up once more, while everything runs.
func (s *Store) RebuildRollups(ctx context.Context, log *slog.Logger) (rollup.Checked, error) {
	return s.eachRolledUp(ctx, log, func(devices []iot.DeviceID, in interval) error {
		return s.recompute(ctx, devices, in)
	})
}

// differing returns the hours that differ from what the readings come to, and are not marked.
func (s *Store) differing(ctx context.Context, devices []iot.DeviceID, in interval) (hours []rollup.DeviceHour, err error) {
	days, err := s.findDays(ctx, devices, dayOf(in.from))
	if err != nil {
		return nil, err
	}
	changed, failed, err := s.computed(ctx, devices, days, in)
	if err != nil {
		return nil, err
	}
	for device := range failed { // it does, unless it is marked, as are those that were set aside
		changed = append(changed, &dayDocument{ID: dayID{int64(device), bson.DateTime(dayOf(in.from))}})
	}
	if len(changed) == 0 {
		return nil, nil
	}
	if in.to-in.from > hour {
		for _, d := range changed {
			for at := in.from; at < in.to; at += hour {
				of, err := s.differing(ctx, []iot.DeviceID{d.device()}, interval{at, at + hour})
				if err != nil {
					return nil, err
				}
				hours = append(hours, of...)
			}
		}
		return hours, nil
	}
	marks, err := s.marksIn(ctx, nil, in.from, in.to) // behind the readings: they may have been inserted since
	if err != nil {
		return nil, err
	}
	gone, err := s.goneNow(ctx) // or removed
	if err != nil || in.from < gone {
		return nil, err
	}
	for _, d := range changed {
		if _, isMarked := marks[d.device()]; !isMarked {
			hours = append(hours, rollup.DeviceHour{Device: d.device(), Hour: time.UnixMilli(in.from).UTC()})
		}
	}
	return hours, nil
}

// eachRolledUp calls do with all that is rolled up, day by day, newest first.
func (s *Store) eachRolledUp(ctx context.Context, log *slog.Logger, do func([]iot.DeviceID, interval) error) (c rollup.Checked, err error) {
	p, err := s.progress(ctx)
	if err != nil {
		return c, err
	}
	all := interval{max(int64(p.Since), p.gone()), int64(p.Until)}
	if p.Generation.IsZero() || all.from >= all.to {
		return c, nil
	}
	logged := time.Now()
	for all.from < all.to {
		at, err := s.lastDay(ctx, all.to)
		if err != nil || at+day <= all.from {
			return c, err
		}
		in := interval{max(at, all.from), min(at+day, all.to)}
		if c.From = time.UnixMilli(in.from).UTC(); c.To.IsZero() {
			c.To = time.UnixMilli(in.to).UTC()
		}
		devices, err := s.devicesOf(ctx, in)
		if err != nil {
			return c, err
		}
		for chunk := range slices.Chunk(devices, recomputeDevices) {
			if err := do(chunk, in); err != nil {
				return c, err
			}
			if c.Days += len(chunk); time.Since(logged) > logEvery {
				logged = time.Now()
				log.Info("at work on the rollups", "day", time.UnixMilli(at).UTC().Format(time.DateOnly), "days of devices", c.Days)
			}
		}
		all.to = in.from
	}
	return c, nil
}

// lastDay returns the start of the last day before a time that has readings, or is rolled up.
func (s *Store) lastDay(ctx context.Context, before int64) (int64, error) {
	newest, err := s.newestBefore(ctx, before)
	if err != nil {
		return 0, err
	}
	rolledUp, err := s.newestDayBefore(ctx, before)
	return max(dayOf(newest), rolledUp), err
}

// devicesOf returns the devices that have readings in hours of a day, or for which the day is rolled up. It asks for an hour
// at a time: to count all of a busy day takes longer than a count may.
func (s *Store) devicesOf(ctx context.Context, in interval) ([]iot.DeviceID, error) {
	all := map[iot.DeviceID]bool{}
	for at := in.from; at < in.to; at += hour {
		counts, err := s.count(ctx, filterOf(nil, interval{at, at + hour}.times()))
		if err != nil {
			return nil, fmt.Errorf("list devices: %w", err)
		}
		for _, c := range counts {
			all[c.Device] = true
		}
	}
	err := s.eachDay(ctx, nil, in, idOnly, func(d *dayDocument) error {
		all[d.device()] = true
		return nil
	})
	return slices.Sorted(maps.Keys(all)), err
}
