package sqlite

import (
	"database/sql"
	"errors"
	"fmt"

	"github.com/telltale-iot/telltale/pkg/column"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/rollup"
)

// Readings that come late, to hours that are sealed: most are compared with what a block has, or are rows between blocks. Where
// one changes a reading that is sealed, that alone becomes a row, which is sealed again later with others that came late. Its
// block is written anew without it, once for all that change in it one after the other.

// covering is a range of time, from <= at < until, of a device: that of a block or of what is between two.
type covering struct {
	device      iot.DeviceID
	from, until int64
	block       *column.Block    // nil: there is none
	removed     map[int]struct{} // readings of the block that are rows now; it is to be written without them
}

// covering returns what covers the millisecond at of device; nil behind all blocks.
func (t *transaction) covering(device iot.DeviceID, at int64) (*covering, error) {
	if at >= t.sealedUntil {
		return nil, nil
	}
	if c := t.covered; c != nil && c.device == device && c.from <= at && at < c.until {
		return c, nil
	}
	if err := t.rewrite(); err != nil {
		return nil, err
	}
	c := &covering{device: device}
	var data []byte
	err := t.queryRow(blockBefore, int64(device), at).Scan(&c.from, &c.until, &data)
	switch c.until++; {
	case err == nil && at < c.until:
		if c.block, err = t.store.decode(t.part, device, c.from, data); err != nil {
			return nil, err
		}
		if c.block != nil {
			t.blockBytes += c.block.Size() / 10
		}
	case err == nil || errors.Is(err, sql.ErrNoRows):
		var next sql.NullInt64
		if err := t.queryRow(blockBehind, int64(device), at).Scan(&next); err != nil {
			return nil, err
		}
		c.from, c.until = c.until, t.part.end
		if err != nil {
			c.from = t.start
		}
		if next.Valid {
			c.until = next.Int64
		}
	default:
		return nil, err
	}
	t.covered = c
	return c, nil
}

// sealed returns what has a sealed reading of device at the millisecond at, and its row there. nil: there is none.
func (t *transaction) sealed(device iot.DeviceID, at int64) (c *covering, row int, err error) {
	c, err = t.covering(device, at)
	if err != nil || c == nil || c.block == nil {
		return nil, 0, err
	}
	row, ok := c.block.Find(at)
	if _, removed := c.removed[row]; !ok || removed {
		return nil, 0, nil
	}
	return c, row, nil
}

// hasMovedInBlock reports whether a block has the reading of device that was stamped with the millisecond from, and has
// moved. It lies before free.
func (t *transaction) hasMovedInBlock(device iot.DeviceID, origin uint64, from, free int64) (bool, error) {
	for at := max(from, t.from); at < min(free, t.until); {
		c, err := t.covering(device, at)
		if err != nil || c == nil {
			return false, err
		}
		if c.block == nil {
			at = c.until
			continue
		}
		var r column.Row
		for i, _ := c.block.Find(at); i < c.block.Len() && c.block.Times()[i] < free; i++ {
			if _, removed := c.removed[i]; removed {
				continue
			}
			if err := c.block.Row(i, &r); err != nil {
				return false, err
			}
			if r.MovedFrom == from && r.Origin == origin {
				return true, nil
			}
		}
		at = c.until
	}
	return false, nil
}

// unseal makes a row of the reading of device at the millisecond at, if a block has it. It is sealed again later.
func (t *transaction) unseal(device iot.DeviceID, at int64) error {
	c, i, err := t.sealed(device, at)
	if err != nil || c == nil {
		return err
	}
	var r column.Row
	if err := c.block.Row(i, &r); err != nil {
		return err
	}
	var v row
	if err := v.fillRow(&r); err != nil {
		return err
	}
	if ok, err := t.addRow(&v); err != nil || !ok {
		return errors.Join(err, errOccupied)
	}
	if c.removed == nil {
		c.removed = map[int]struct{}{}
	}
	c.removed[i] = struct{}{}
	return nil
}

// rewrite writes the block of which readings have become rows without them, and what is left of them in the rollup of its day.
func (t *transaction) rewrite() error {
	c := t.covered
	t.covered = nil
	if c == nil || len(c.removed) == 0 {
		return nil
	}
	t.blockBytes += c.block.Size()
	times := c.block.Times()
	rows := make([]column.Row, 0, len(times))
	var removed rollup.Span
	for i := range times {
		var r column.Row
		if err := c.block.Row(i, &r); err != nil {
			return err
		}
		if _, ok := c.removed[i]; ok {
			removed.Add(&r.Reading)
		} else {
			rows = append(rows, r)
		}
	}
	day, err := t.storedDay(c.device, rollup.DayOf(times[0]))
	if err != nil {
		return err
	}
	t.touchDay(c.device, times[0])
	if err := t.deleteBlock(blockID{start: times[0], device: c.device, n: len(times)}); err != nil {
		return err
	}
	if len(rows) > 0 {
		b, err := encode(rows)
		if err != nil {
			return fmt.Errorf("block of device %d from %d without %d of its readings: %w", c.device, times[0], len(c.removed), err)
		}
		if err := t.addBlock(b); err != nil {
			return err
		}
	}
	return t.removeFromDay(c.device, day, removed.Metrics)
}
