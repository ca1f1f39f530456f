package sqlite

import (
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

// addBlock adds a block, whose readings were elsewhere.
func (v *view) addBlock(b newBlock) error {
	if _, err := v.exec(insertBlock, int64(b.device), b.start, b.until, b.n, b.summary, b.data); err != nil {
		return err
	}
	_, err := v.exec(changeSealed, int64(b.device), b.n)
	return err
}

// deleteBlock deletes a block, whose readings are elsewhere.
func (v *view) deleteBlock(b blockID) error {
	if _, err := v.exec(deleteBlock, int64(b.device), b.start); err != nil {
		return err
	}
	_, err := v.exec(changeSealed, int64(b.device), -b.n)
	return err
}
