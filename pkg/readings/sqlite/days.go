package sqlite

import (
	"database/sql"
	"errors"
	"fmt"

	"github.com/telltale-iot/telltale/pkg/column"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/rollup"
)

const (
	selectDay  = `SELECT data FROM days WHERE device_id = ? AND day = ?`
	replaceDay = `REPLACE INTO days (device_id, day, data) VALUES (?, ?, ?)`
	deleteDay  = `DELETE FROM days WHERE device_id = ? AND day = ?`
)

// quarter is in ms.
var quarter = iot.Quarter.Milliseconds()

// quartersOf returns the whole quarters that the times from first to last lie in.
func quartersOf(first, last int64) (from, until int64) {
	return rollup.Floor(first, quarter), rollup.Floor(last, quarter) + quarter
}

// removeFromDay removes from a day of device what readings come to that were in a block of an hour, and are in none now. Where
// another block is damaged the rollup is all there is of it: then they are subtracted.
func (t *transaction) removeFromDay(device iot.DeviceID, day rollup.Day, removed []rollup.Metric) error {
	quarters := removed[0].Quarters // of rollup.Readings, which all of them have
	from, until := quarters[0].Start, quarters[len(quarters)-1].Start+quarter
	var left rollup.Span
	damaged, err := t.addBlocks(&left, device, from, until)
	if err != nil {
		return err
	}
	if len(damaged) > 0 {
		day.Subtract(removed)
	} else {
		day.Replace(from, until, left.Metrics)
	}
	if len(day.Metrics) == 0 {
		_, err := t.exec(deleteDay, int64(device), day.Start)
		return err
	}
	_, err = t.exec(replaceDay, int64(device), day.Start, day.AppendBinary(nil))
	return err
}

// storedDay returns a day of device; one that is damaged is made anew.
func (v *view) storedDay(device iot.DeviceID, start int64) (rollup.Day, error) {
	day, err := v.readDay(device, start)
	if errors.Is(err, rollup.ErrDamaged) {
		day, err = v.dayOfBlocks(device, start, err)
	}
	if err != nil {
		return day, fmt.Errorf("rollup of device %d: %w", device, err)
	}
	return day, nil
}

// readDay returns a day of device as it is stored, or an empty one. One that is damaged is rollup.ErrDamaged.
func (v *view) readDay(device iot.DeviceID, start int64) (rollup.Day, error) {
	var data []byte
	switch err := v.queryRow(selectDay, int64(device), start).Scan(&data); {
	case errors.Is(err, sql.ErrNoRows):
		return rollup.Day{Start: start}, nil
	case err != nil:
		return rollup.Day{}, err
	}
	return rollup.Decode(data)
}

// dayOfBlocks reports that a day is damaged, and returns what its blocks come to.
func (v *view) dayOfBlocks(device iot.DeviceID, start int64, damage error) (rollup.Day, error) {
	v.store.reportOnce("a stored rollup is damaged, and made anew", v.part, start, int64(device), damage)
	var span rollup.Span
	_, err := v.addBlocks(&span, device, start, start+iot.Day.Milliseconds())
	return rollup.Day{Start: start, Metrics: span.Metrics}, err
}

// addBlocks adds to span what blocks have of device in from <= at < until, and returns the hours of those that are damaged.
func (v *view) addBlocks(span *rollup.Span, device iot.DeviceID, from, until int64) (damaged map[int64]bool, err error) {
	blocks, err := v.blocksOf(device, from, until)
	if err != nil {
		return nil, err
	}
	damaged = map[int64]bool{}
	for _, b := range blocks {
		block, err := v.blockOf(b, nil)
		if err != nil {
			return nil, err
		}
		if block == nil {
			damaged[hourOf(b.start)] = true
			continue
		}
		if err := addRows(span, block, from, until); err != nil {
			return nil, err
		}
	}
	return damaged, nil
}

// addRows adds to span what block has in from <= at < until.
func addRows(span *rollup.Span, block *column.Block, from, until int64) error {
	rows := rowsOfBlock(order{}, block, from, until)
	for {
		r, err := rows.next()
		if r == nil || err != nil {
			return err
		}
		span.Add(r)
	}
}
