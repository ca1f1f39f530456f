package sqlite

import (
	"database/sql"
	"encoding/json"
	"errors"
	"slices"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/readings/internal/timerange"
)

// rowCursor goes through what a query selects. It leaves out what is damaged, not selected, or out of order: it keeps one
// row back, since only the next row shows which of the two is misplaced.
type rowCursor struct {
	order
	snapshot *snapshot
	rows     *sql.Rows
	selects  func(position) bool

	begun       bool
	last        position // of the reading that next returned
	previous    found    // where hasPrevious
	returned    found
	hasPrevious bool
}

// found is a row and its reading.
type found struct {
	row     row
	reading iot.Reading
}

// all returns a cursor over all rows in times.
func (sn *snapshot) all(o order, times timerange.Range) (*rowCursor, error) {
	query := sn.scanOldest
	if o.newest {
		query = sn.scanNewest
	}
	rows, err := sn.tx.QueryContext(sn.ctx, query, times.From, int64(times.FromDevice), times.End, int64(times.EndDevice))
	if err != nil {
		return nil, err
	}
	after, before := position{times.From, int64(times.FromDevice)}, position{times.End, int64(times.EndDevice)}
	return &rowCursor{order: o, snapshot: sn, rows: rows, selects: func(p position) bool { return after.precedes(p) && p.precedes(before) }}, nil
}

// indexed returns a cursor over the rows of device in from <= at < until by the index of the table, which the old one has.
func (sn *snapshot) indexed(o order, device iot.DeviceID, from, until int64) (cursor, error) {
	query := oldOfDevice
	if o.newest {
		query += ` DESC`
	}
	rows, err := sn.tx.QueryContext(sn.ctx, query, int64(device), from, until)
	if err != nil {
		return nil, err
	}
	return &rowCursor{order: o, snapshot: sn, rows: rows, selects: func(p position) bool {
		return p.device == int64(device) && p.timestamp >= from && p.timestamp < until
	}}, nil
}

func (c *rowCursor) next() (*iot.Reading, error) {
	for c.rows.Next() {
		v, err := scan(c.rows)
		if err != nil {
			return nil, err
		}
		r, err := v.reading()
		if err == nil && !c.selects(positionOf(&r)) {
			err = errMisplaced
		}
		if err != nil {
			c.snapshot.store.report(c.snapshot.part, &v, err)
			continue
		}
		if c.take(found{v, r}) {
			return &c.returned.reading, nil
		}
	}
	if err := c.rows.Err(); err != nil || !c.hasPrevious {
		return nil, err
	}
	c.returned, c.hasPrevious = c.previous, false
	return &c.returned.reading, nil
}

// take takes the next row, and reports whether the one before it was in its place: then it is what is returned.
func (c *rowCursor) take(f found) (ok bool) {
	at := positionOf(&f.reading)
	switch {
	case c.begun && !c.precedes(c.last, at):
		c.misplaced(&f.row)
		return false
	case !c.hasPrevious:
		c.hasPrevious = true
	case !c.precedes(positionOf(&c.previous.reading), at): // between the last and the previous one, which is from further on
		c.misplaced(&c.previous.row)
	default:
		ok = true
		c.begun, c.last, c.returned = true, positionOf(&c.previous.reading), c.previous
	}
	c.previous = f
	return ok
}

func (c *rowCursor) misplaced(v *row) { c.snapshot.store.report(c.snapshot.part, v, errMisplaced) }

func (c *rowCursor) close() error { return errors.Join(c.rows.Err(), c.rows.Close()) }

// hotCursor goes through the rows of a device by their times, of which each may have no row any more.
type hotCursor struct {
	order
	snapshot *snapshot
	device   iot.DeviceID
	times    []int64 // that were not asked for yet, ascending
	asked    int
	found    []iot.Reading // that were not returned yet
}

// How many rows are asked for at once: first a few, for short pages.
const fewestRows, mostRows = 64, 1024

// hotOf returns a cursor over the rows of device in from <= at < until.
func (sn *snapshot) hotOf(o order, device iot.DeviceID, from, until int64) cursor {
	times := sn.hot[device]
	first, _ := slices.BinarySearch(times, from)
	n, _ := slices.BinarySearch(times, until)
	return &hotCursor{order: o, snapshot: sn, device: device, times: times[first:max(first, n)], asked: fewestRows}
}

func (c *hotCursor) next() (*iot.Reading, error) {
	for len(c.found) == 0 {
		if len(c.times) == 0 {
			return nil, nil
		}
		n := min(c.asked, len(c.times))
		c.asked = min(2*c.asked, mostRows)
		var asked []int64
		if c.newest {
			asked, c.times = c.times[len(c.times)-n:], c.times[:len(c.times)-n]
		} else {
			asked, c.times = c.times[:n], c.times[n:]
		}
		if err := c.find(asked); err != nil {
			return nil, err
		}
	}
	r := &c.found[0]
	c.found = c.found[1:]
	return r, nil
}

// find finds the rows at times.
func (c *hotCursor) find(times []int64) error {
	list, err := json.Marshal(times)
	if err != nil {
		return err
	}
	query := c.snapshot.selectRows
	if c.newest {
		query += ` DESC`
	}
	rows, err := c.snapshot.query(query, string(list), int64(c.device))
	if err != nil {
		return err
	}
	all := &rowCursor{order: c.order, snapshot: c.snapshot, rows: rows, selects: func(p position) bool {
		_, asked := slices.BinarySearch(times, p.timestamp)
		return asked && p.device == int64(c.device)
	}}
	c.found = make([]iot.Reading, 0, len(times))
	for {
		r, err := all.next()
		if r == nil || err != nil {
			return errors.Join(err, all.close())
		}
		c.found = append(c.found, *r)
	}
}

func (c *hotCursor) close() error { return nil }
