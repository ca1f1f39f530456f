package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"slices"

	"github.com/telltale-iot/telltale/pkg/internal/page"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/readings/internal/timerange"
	"github.com/telltale-iot/telltale/pkg/sqlite"
)

// No query has a LIMIT: rows are read until the page is full.
const (
	selectOfDevice = `SELECT ` + columns + ` FROM readings
		WHERE device_id = ? AND timestamp >= ? AND timestamp < ?
		ORDER BY timestamp DESC`
	selectOfSome = `SELECT ` + columns + ` FROM readings
		WHERE timestamp >= ? AND (timestamp, device_id) < (?, ?) AND device_id IN (SELECT value FROM json_each(?))
		ORDER BY timestamp DESC, device_id DESC`
	selectOfAll = `SELECT ` + columns + ` FROM readings
		WHERE timestamp >= ? AND (timestamp, device_id) < (?, ?)
		ORDER BY timestamp DESC, device_id DESC`
	selectCounts = `SELECT device_id, count(*) FROM readings GROUP BY device_id ORDER BY device_id`
)

// FindReadings implements iot.ReadingReader. Damaged rows are left out, and reported.
func (s *Store) FindReadings(ctx context.Context, q iot.ReadingQuery) (iot.Page, error) {
	p, err := page.New[iot.Reading](q.Limit, iot.MaxPageBytes)
	if err != nil {
		return iot.Page{}, fmt.Errorf("find readings: %w", err)
	}
	times := timerange.OfPage(q)
	order := inOrder{last: position{times.End, int64(times.EndDevice)}, misplaced: func(v *row) { s.report(v, errMisplaced) }}
	var rows *sql.Rows
	switch len(q.Devices) {
	case 1:
		rows, err = s.db.Read.QueryContext(ctx, selectOfDevice, q.Devices[0], times.From, times.EndFor(q.Devices[0]))
	default:
		rows, err = s.db.Read.QueryContext(ctx, selectOfSome, times.From, times.End, times.EndDevice, list(q.Devices))
	case 0:
		rows, err = s.db.Read.QueryContext(ctx, selectOfAll, times.From, times.End, times.EndDevice)
	}
	err = sqlite.ForEach(rows, err, func() (more bool, err error) {
		v, err := scan(rows)
		if err != nil {
			return false, err
		}
		r, err := v.reading()
		if err == nil && (r.At.UnixMilli() < times.From || q.Devices != nil && !slices.Contains(q.Devices, r.Device)) {
			err = errMisplaced
		}
		if err != nil {
			s.report(&v, err)
			return true, nil
		}
		before, ok := order.next(found{v, r})
		return !ok || p.Add(before), nil
	})
	if err != nil {
		return iot.Page{}, fmt.Errorf("find readings in %s: %w", s.db.Path, err)
	}
	if order.hasPrevious && p.Next == (iot.Cursor{}) {
		p.Add(order.previous.reading)
	}
	return iot.Page{Readings: p.Items, Next: p.Next}, nil
}

// position is where a row is in the order of the table.
type position struct{ timestamp, device int64 }

func (p position) precedes(other position) bool {
	return p.timestamp < other.timestamp || p.timestamp == other.timestamp && p.device < other.device
}

// found is a row and its reading.
type found struct {
	row     row
	reading iot.Reading
}

func (f *found) position() position {
	return position{f.reading.At.UnixMilli(), int64(f.reading.Device)}
}

// inOrder leaves out the rows that are out of order, newest first. It keeps one row back: only the next row shows which
// of the two is misplaced.
type inOrder struct {
	last        position // of the reading that next returned, or where the listing begins
	previous    found    // where hasPrevious
	hasPrevious bool
	misplaced   func(*row) // is called with what is left out
}

// next takes the next row, and returns the reading of the one before it, if that was in its place.
func (o *inOrder) next(f found) (before iot.Reading, ok bool) {
	at := f.position()
	switch {
	case !at.precedes(o.last):
		o.misplaced(&f.row)
		return before, false
	case !o.hasPrevious:
		o.hasPrevious = true
	case !at.precedes(o.previous.position()): // between the last and the previous one, which is from further on
		o.misplaced(&o.previous.row)
	default:
		before, ok = o.previous.reading, true
		o.last = o.previous.position()
	}
	o.previous = f
	return before, ok
}

// CountReadings implements iot.ReadingReader.
func (s *Store) CountReadings(ctx context.Context) (counts []iot.DeviceCount, err error) {
	rows, err := s.db.Read.QueryContext(ctx, selectCounts)
	err = sqlite.ForEach(rows, err, func() (more bool, err error) {
		var c iot.DeviceCount
		err = rows.Scan(&c.Device, &c.Count)
		counts = append(counts, c)
		return true, err
	})
	if err != nil {
		return nil, fmt.Errorf("count readings in %s: %w", s.db.Path, err)
	}
	return counts, nil
}
