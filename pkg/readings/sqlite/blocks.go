package sqlite

import (
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/telltale-iot/telltale/pkg/column"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/rollup"
	"github.com/telltale-iot/telltale/pkg/sqlite"
)

const (
	insertBlock    = `INSERT INTO blocks (device_id, start, until, n, summary, data) VALUES (?, ?, ?, ?, ?, ?)`
	deleteBlock    = `DELETE FROM blocks WHERE device_id = ? AND start = ?`
	selectBlock    = `SELECT summary, data FROM blocks WHERE device_id = ? AND start = ?`
	blockBefore    = `SELECT start, until, data FROM blocks WHERE device_id = ? AND start <= ? ORDER BY start DESC LIMIT 1`
	blockBehind    = `SELECT min(start) FROM blocks WHERE device_id = ? AND start > ?`
	blocksOfDevice = `SELECT start, until, n FROM blocks WHERE device_id = ? AND start >= ? AND start < ? AND until >= ? ORDER BY start`
	newestBlock    = `SELECT max(start) FROM blocks`
	listBlocks     = `SELECT start, device_id, until, n FROM blocks WHERE start >= ? AND start < ? ORDER BY start, device_id`
	countSealed    = `SELECT device_id, n FROM devices`
	changeSealed   = `INSERT INTO devices (device_id, n) VALUES (?, ?) ON CONFLICT DO UPDATE SET n = n + excluded.n`
)

// blockHour is what no block goes beyond.
const blockHour = int64(time.Hour / time.Millisecond)

// hourOf returns the beginning of at's hour.
func hourOf(at int64) int64 { return rollup.Floor(at, blockHour) }

// blockID is a block in a list.
type blockID struct {
	start  int64
	device iot.DeviceID
	until  int64
	n      int
}

// covering is a range of time, from <= at < until, of a device: that of a block or of what is between two.
type covering struct {
	from, until int64
	block       *column.Block // nil: there is none
}

// decode decodes a block. nil: it is damaged, which is reported; none of its readings can be shown.
func (s *Store) decode(p *part, device iot.DeviceID, start int64, data []byte) (*column.Block, error) {
	block, err := column.Decode(data)
	if err == nil {
		err = block.All()
	}
	switch {
	case err == nil && (block.Device() != device || block.Times()[0] != start):
		err = errMisplaced
	case err != nil && !errors.Is(err, column.ErrDamaged):
		return nil, fmt.Errorf("block of device %d from %d: %w", device, start, err)
	}
	if err != nil {
		s.reportBlock(p, device, start, err)
		return nil, nil
	}
	return block, nil
}

// blockOf returns what is in b. nil: it is damaged, or may, where there is one, refuses it.
func (v *view) blockOf(b blockID, may func(iot.Summary) bool) (*column.Block, error) {
	var summary, data []byte
	if err := v.queryRow(selectBlock, int64(b.device), b.start).Scan(&summary, &data); err != nil {
		return nil, err
	}
	if may != nil {
		switch sum, err := column.ParseSummary(summary); {
		case err != nil && !errors.Is(err, column.ErrDamaged):
			return nil, fmt.Errorf("summary of device %d from %d: %w", b.device, b.start, err)
		case err == nil && !may(sum): // a damaged summary refuses nothing
			return nil, nil
		}
	}
	return v.store.decode(v.part, b.device, b.start, data)
}

// blocksOf lists the blocks of device that have something in from <= at < until, ascending.
func (v *view) blocksOf(device iot.DeviceID, from, until int64) (blocks []blockID, err error) {
	rows, err := v.query(blocksOfDevice, int64(device), hourOf(from), until, from)
	return blocks, sqlite.ForEach(rows, err, func() (more bool, err error) {
		b := blockID{device: device}
		err = rows.Scan(&b.start, &b.until, &b.n)
		blocks = append(blocks, b)
		return true, err
	})
}

// blocksOfHour calls take with the blocks of an hour, by their start and device.
func (v *view) blocksOfHour(hour int64, take func(blockID)) error {
	rows, err := v.query(listBlocks, hour, hour+blockHour)
	return sqlite.ForEach(rows, err, func() (more bool, err error) {
		var b blockID
		if err := rows.Scan(&b.start, &b.device, &b.until, &b.n); err != nil {
			return false, err
		}
		take(b)
		return true, nil
	})
}

// maxCoverings is how many decoded blocks a transaction remembers.
const maxCoverings = 32

// covering returns what covers the millisecond at of device.
func (t *transaction) covering(device iot.DeviceID, at int64) (covering, error) {
	if at >= t.sealedUntil {
		return covering{}, nil
	}
	if c, ok := t.coverings[device]; ok && c.from <= at && at < c.until {
		return c, nil
	}
	var c covering
	var data []byte
	err := t.queryRow(blockBefore, int64(device), at).Scan(&c.from, &c.until, &data)
	switch c.until++; {
	case err == nil && at < c.until:
		if c.block, err = t.store.decode(t.part, device, c.from, data); err != nil {
			return c, err
		}
		if t.decoded++; t.decoded > maxCoverings {
			clear(t.coverings)
			t.decoded = 1
		}
	case err == nil || errors.Is(err, sql.ErrNoRows):
		var next sql.NullInt64
		if err := t.queryRow(blockBehind, int64(device), at).Scan(&next); err != nil {
			return c, err
		}
		c.from, c.until = c.until, t.part.end
		if err != nil {
			c.from = t.start
		}
		if next.Valid {
			c.until = next.Int64
		}
	default:
		return c, err
	}
	t.coverings[device] = c
	return c, nil
}

// sealed returns the block that has a reading of device at the millisecond at, and its row there; nil: there is none.
func (t *transaction) sealed(device iot.DeviceID, at int64) (block *column.Block, row int, err error) {
	c, err := t.covering(device, at)
	if err != nil || c.block == nil {
		return nil, 0, err
	}
	if row, ok := c.block.Find(at); ok {
		return c.block, row, nil
	}
	return nil, 0, nil
}

// hasMovedInBlock reports whether a block has the reading of device that was stamped with the millisecond from, and has
// moved. It lies before free.
func (t *transaction) hasMovedInBlock(device iot.DeviceID, origin uint64, from, free int64) (bool, error) {
	for at := max(from, t.from); at < min(free, t.until); {
		c, err := t.covering(device, at)
		if err != nil {
			return false, err
		}
		if c.block == nil {
			if c.until == 0 { // of all that is behind blocks
				return false, nil
			}
			at = c.until
			continue
		}
		var r column.Row
		for i, _ := c.block.Find(at); i < c.block.Len() && c.block.Times()[i] < free; i++ {
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

// unseal makes rows of the block that has a reading of device at the millisecond at, if one has. It is sealed again later.
func (t *transaction) unseal(device iot.DeviceID, at int64) error {
	block, _, err := t.sealed(device, at)
	if err != nil || block == nil {
		return err
	}
	var r column.Row
	var v row
	for i := range block.Len() {
		if err := block.Row(i, &r); err != nil {
			return err
		}
		if err := v.fillRow(&r); err != nil {
			return err
		}
		if ok, err := t.addRow(&v); err != nil || !ok {
			return errors.Join(err, errOccupied)
		}
	}
	times := block.Times()
	if err := t.removeBlock(blockID{start: times[0], device: device, n: block.Len()}); err != nil {
		return err
	}
	from, until := quartersOf(times[0], times[len(times)-1])
	var span rollup.Span
	if _, err := t.addBlocks(&span, device, from, until); err != nil {
		return err
	}
	return t.replaceQuarters(device, from, until, span.Metrics)
}

// removeBlock removes a block, whose readings are elsewhere.
func (t *transaction) removeBlock(b blockID) error {
	t.touchDay(b.device, b.start)
	delete(t.coverings, b.device)
	return t.deleteBlock(b)
}

func (v *view) deleteBlock(b blockID) error {
	if _, err := v.exec(deleteBlock, int64(b.device), b.start); err != nil {
		return err
	}
	_, err := v.exec(changeSealed, int64(b.device), -b.n)
	return err
}
