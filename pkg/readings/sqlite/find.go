package sqlite

import (
	"context"
	"database/sql"
	"fmt"

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
	times := timerange.Of(q)
	before := position{times.End, int64(times.EndDevice)}
	var rows *sql.Rows
	if q.Device != 0 {
		rows, err = s.db.Read.QueryContext(ctx, selectOfDevice, q.Device, times.From, times.EndFor(q.Device))
	} else {
		rows, err = s.db.Read.QueryContext(ctx, selectOfAll, times.From, times.End, times.EndDevice)
	}
	err = sqlite.ForEach(rows, err, func() (more bool, err error) {
		v, err := scan(rows)
		if err != nil {
			return false, err
		}
		r, err := v.reading()
		if at := (position{r.At.UnixMilli(), int64(r.Device)}); err == nil {
			if !at.precedes(before) || at.timestamp < times.From || q.Device != 0 && r.Device != q.Device {
				err = errMisplaced
			} else {
				before = at
			}
		}
		if err != nil {
			s.report(&v, err)
			return true, nil
		}
		return p.Add(r), nil
	})
	if err != nil {
		return iot.Page{}, fmt.Errorf("find readings in %s: %w", s.db.Path, err)
	}
	return iot.Page{Readings: p.Items, Next: p.Next}, nil
}

// position is where a row is in the order of the table.
type position struct{ timestamp, device int64 }

func (p position) precedes(other position) bool {
	return p.timestamp < other.timestamp || p.timestamp == other.timestamp && p.device < other.device
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
