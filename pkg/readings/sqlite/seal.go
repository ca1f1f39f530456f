package sqlite

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/rollup"
	"github.com/telltale-iot/telltale/pkg/sqlite"
)

const (
	scanSlice   = `SELECT ` + columns + ` FROM rows WHERE timestamp >= ? AND timestamp < ? ORDER BY timestamp, device_id`
	deleteSlice = `DELETE FROM rows WHERE (timestamp, device_id) > (?, ?) AND (timestamp, device_id) < (?, ?) AND +device_id IN (SELECT value FROM json_each(?))`
)

// What bounds the memory of a seal, and the time for which inserts wait for it.
const (
	// What is read at once. With many devices it is better to be a whole hour: a part of it would be written, with its blocks
	// and days, once more with the next one.
	maxSliceRows  = 1_000_000
	maxSliceBytes = 64 << 20
	// What of it one device may have, all of which is decoded at once: with few devices a part of an hour is as good.
	maxDeviceRows  = maxBlockRows
	maxDeviceBytes = 8 << 20
	// What is written in a transaction, of which inserts wait for the end.
	maxWrittenRows  = 100_000
	maxWrittenBytes = 16 << 20
)

// errUnsealable means that rows are out of order, or that no block can have them: they stay as they are.
var errUnsealable = errors.New("they are not as they should be")

// errChanged means that another process has rebuilt rollups in the file while blocks and days were made (see rollups.go). What
// was made may be of a day that it has replaced.
var errChanged = errors.New("rollups in the file are being rebuilt; it is done again later")

// slice is the rows of an hour that are being sealed, from <= at < until. Others write meanwhile, and say so here: only the
// call that has the turn may use what is touched.
type slice struct {
	span
	from, until int64
	rebuilds    int64                 // of rollups, that there were when this began
	left        map[iot.DeviceID]bool // that are not read: see Store.left
	touched     map[iot.DeviceID]bool // of which rows, blocks or days are not what they were when this began
}

// touchRow is for when a row has been added, changed or removed.
func (t *transaction) touchRow(device iot.DeviceID, at int64) {
	if s := t.store.slice; s != nil && s.part == t.part && s.from <= at && at < s.until {
		s.touched[device] = true
	}
	delete(t.store.left, place{device, hourOf(at)})
}

// touchDay is for when a block is removed.
func (t *transaction) touchDay(device iot.DeviceID, at int64) {
	if s := t.store.slice; s != nil && s.part == t.part && rollup.DayOf(at) == rollup.DayOf(s.from) {
		s.touched[device] = true
	}
	delete(t.store.left, place{device, hourOf(at)})
}

// sealSlice seals the first rows of owner in from <= at < until, and returns where it ended.
//
// Only what is written takes the turn, the rows of some devices at a time: each reading is a row or in a block, whatever
// happens. Devices that are touched meanwhile stay as they are, for the next time.
func (s *Store) sealSlice(ctx context.Context, owner span, from, until int64) (next int64, err error) {
	if err := s.takeTurn(ctx); err != nil {
		return 0, err
	}
	sl := s.firstSlice(owner, from, until)
	s.slice = sl
	s.endTurn()
	if sl == nil {
		return until, nil
	}
	defer func() {
		s.turn <- struct{}{} // for a moment, whatever ctx is
		s.slice = nil
		s.endTurn()
	}()
	rows, until, err := s.readSlice(ctx, sl)
	if errors.Is(err, errUnsealable) {
		return until, s.leave(ctx, sl, until, err)
	}
	if err != nil {
		return 0, err
	}
	devices := slices.Sorted(maps.Keys(rows))
	if len(devices) == 0 { // the index had times without rows
		return until, s.forget(ctx, sl, until)
	}
	for len(devices) > 0 {
		some, n, err := s.prepareSealed(ctx, sl, devices, rows)
		if err == nil {
			err = s.writeSealed(ctx, sl, until, some)
		}
		if err != nil {
			return 0, err
		}
		devices = devices[n:]
	}
	return until, nil
}

// firstSlice returns the first of what is to be sealed of owner in from <= at < until. nil: nothing is. Only the call that
// has the turn calls it.
func (s *Store) firstSlice(owner span, from, until int64) *slice {
	first := until
	for device, times := range s.hot {
		for {
			i, _ := slices.BinarySearch(times, from)
			times = times[i:]
			if len(times) == 0 || times[0] >= first {
				break
			}
			hour := hourOf(times[0])
			if _, left := s.left[place{device, hour}]; !left {
				first = times[0]
				break
			}
			i, _ = slices.BinarySearch(times, hour+blockHour)
			times = times[i:]
		}
	}
	if first == until {
		return nil
	}
	hour := hourOf(first)
	sl := &slice{span: owner, from: first, until: min(until, hour+blockHour), left: map[iot.DeviceID]bool{}, touched: map[iot.DeviceID]bool{}}
	for p := range s.left {
		if p.at == hour {
			sl.left[p.device] = true
		}
	}
	for sl.until-sl.from > 1 && s.isTooMuch(sl) {
		sl.until = sl.from + (sl.until-sl.from)/2
	}
	return sl
}

// isTooMuch reports whether sl has too many rows.
func (s *Store) isTooMuch(sl *slice) bool {
	total := 0
	for device := range s.hot {
		if sl.left[device] {
			continue
		}
		n := len(s.hot.between(device, sl.from, sl.until))
		if total += n; n > maxDeviceRows || total > maxSliceRows {
			return true
		}
	}
	return false
}

// readSlice returns the rows of sl by device, ascending, as appendRow has them; of too many bytes the first ones, which are
// before until.
func (s *Store) readSlice(ctx context.Context, sl *slice) (all map[iot.DeviceID][]byte, until int64, err error) {
	all, until = map[iot.DeviceID][]byte{}, sl.until
	sn, err := s.snapshotOf(ctx, func() (span, bool) { return sl.span, true })
	if err != nil {
		return nil, 0, err
	}
	defer func() { err = errors.Join(err, sn.end()) }()
	if err := sn.tx.QueryRowContext(ctx, selectRebuilds).Scan(&sl.rebuilds); err != nil {
		return nil, 0, err
	}
	bytes, full := 0, false
	last := position{sl.from, 0}
	rows, err := sn.tx.QueryContext(ctx, scanSlice, sl.from, sl.until)
	err = sqlite.ForEach(rows, err, func() (more bool, err error) {
		v, err := scan(rows)
		if err != nil {
			return false, err
		}
		p := position{v.place().at, int64(v.place().device)}
		if p.timestamp >= sl.until || !last.precedes(p) {
			s.report(sl.part, &v, errMisplaced)
			return false, errUnsealable
		}
		if full && p.timestamp > last.timestamp {
			until = p.timestamp
			return false, nil
		}
		last = p
		device := iot.DeviceID(p.device)
		if sl.left[device] {
			return true, nil
		}
		before := len(all[device])
		all[device] = v.append(all[device])
		bytes += len(all[device]) - before
		full = full || bytes >= maxSliceBytes || len(all[device]) >= maxDeviceBytes
		return true, nil
	})
	return all, until, err
}

// writeSealed puts the blocks of some devices in the place of their rows, but for those that were touched.
func (s *Store) writeSealed(ctx context.Context, sl *slice, until int64, some []*sealing) error {
	if err := s.takeTurn(ctx); err != nil {
		return err
	}
	defer s.endTurn()
	t, err := s.begin(ctx, sl.span)
	if err != nil {
		return err
	}
	defer t.end()
	var rebuilds int64
	if err := t.tx.QueryRowContext(ctx, selectRebuilds).Scan(&rebuilds); err != nil {
		return err
	}
	if rebuilds != sl.rebuilds {
		return errChanged
	}
	some = slices.DeleteFunc(some, func(d *sealing) bool {
		if !sl.touched[d.device] && d.err != nil {
			s.leaveDevice(sl, d.device, d.err)
		}
		return sl.touched[d.device] || d.err != nil
	})
	for _, d := range some {
		if err := t.writeBlocks(d); err != nil {
			return fmt.Errorf("device %d: %w", d.device, err)
		}
	}
	n, err := t.deleteRows(sl.from, until, some)
	if errors.Is(err, errUnsealable) {
		for _, d := range some {
			s.leaveDevice(sl, d.device, err)
		}
		return nil
	}
	if err != nil {
		return err
	}
	if err := t.tx.Commit(); err != nil {
		return err
	}
	s.metrics.sealed.Add(float64(n))
	s.state.Lock()
	for _, d := range some {
		s.hot.remove(d.device, sl.from, until)
		s.hot.add(slices.Clone(d.kept))
		s.counts[d.device] -= d.lost
		if len(d.kept) > 0 {
			s.left[place{d.device, hourOf(sl.from)}] = struct{}{}
		}
	}
	s.rows = s.hot.len()
	s.state.Unlock()
	t.db.BoundWAL()
	return nil
}

// forget removes from the index what it has of sl: there are no rows. They were not committed.
func (s *Store) forget(ctx context.Context, sl *slice, until int64) error {
	if err := s.takeTurn(ctx); err != nil {
		return err
	}
	defer s.endTurn()
	s.state.Lock()
	defer s.state.Unlock()
	for device := range s.hot {
		if !sl.touched[device] && !sl.left[device] {
			s.hot.remove(device, sl.from, until)
		}
	}
	s.rows = s.hot.len()
	return nil
}

// writeBlocks writes what d has.
func (t *transaction) writeBlocks(d *sealing) error {
	for _, b := range d.replaced {
		if err := t.deleteBlock(b); err != nil {
			return err
		}
	}
	for _, b := range d.blocks {
		if err := t.addBlock(b); err != nil {
			return err
		}
	}
	if len(d.blocks) == 0 {
		return nil
	}
	_, err := t.exec(replaceDay, int64(d.device), d.day, d.dayData)
	return err
}

// deleteRows deletes the rows of some devices in from <= at < until, but for those that they keep.
func (t *transaction) deleteRows(from, until int64, some []*sealing) (deleted int, err error) {
	var kept []place
	devices := make([]iot.DeviceID, len(some))
	want := 0
	for i, d := range some {
		devices[i] = d.device
		kept = append(kept, d.kept...)
		want += d.scanned - len(d.kept)
	}
	list, err := json.Marshal(devices)
	if err != nil {
		return 0, err
	}
	slices.SortFunc(kept, func(a, b place) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.device, b.device)) })
	after := position{from, 0}
	for i := range len(kept) + 1 {
		before := position{until, 0}
		if i < len(kept) {
			before = position{kept[i].at, int64(kept[i].device)}
		}
		result, err := t.exec(deleteSlice, after.timestamp, after.device, before.timestamp, before.device, string(list))
		if err != nil {
			return 0, err
		}
		n, err := result.RowsAffected()
		if err != nil {
			return 0, err
		}
		deleted += int(n)
		after = before
	}
	if deleted != want {
		return 0, fmt.Errorf("%w: %d of %d were deleted", errUnsealable, deleted, want)
	}
	return deleted, nil
}

// leave leaves the rows of all devices of sl as they are.
func (s *Store) leave(ctx context.Context, sl *slice, until int64, because error) error {
	if err := s.takeTurn(ctx); err != nil {
		return err
	}
	defer s.endTurn()
	s.reportOnce("an hour of readings is not sealed", sl.part, hourOf(sl.from), nil, because)
	for device := range s.hot {
		if len(s.hot.between(device, sl.from, until)) > 0 {
			s.left[place{device, hourOf(sl.from)}] = struct{}{}
		}
	}
	return nil
}

// leaveDevice leaves those of device as they are.
func (s *Store) leaveDevice(sl *slice, device iot.DeviceID, because error) {
	s.reportOnce("an hour of readings of a device is not sealed", sl.part, hourOf(sl.from), int64(device), because)
	s.left[place{device, hourOf(sl.from)}] = struct{}{}
}
