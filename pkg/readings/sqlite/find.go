package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/readings/internal/walk"
)

const (
	selectOfDevice = `SELECT ` + columns + ` FROM readings
		WHERE device_id = ? AND timestamp >= ? AND timestamp < ?
		ORDER BY timestamp DESC LIMIT ?`
	selectOfAll = `SELECT ` + columns + ` FROM readings
		WHERE timestamp >= ? AND (timestamp, device_id) < (?, ?)
		ORDER BY timestamp DESC, device_id DESC LIMIT ?`
	selectCounts = `SELECT device_id, count(*) FROM readings GROUP BY device_id ORDER BY device_id`
)

// FindReadings implements iot.ReadingReader.
func (s *Store) FindReadings(ctx context.Context, q iot.ReadingQuery) (iot.Page, error) {
	span, err := walk.RangeOf(q)
	if err != nil {
		return iot.Page{}, fmt.Errorf("find readings: %w", err)
	}
	limit := q.Limit + 1 // one more tells whether the walk goes on
	var rows *sql.Rows
	if q.Device != 0 {
		rows, err = s.db.Read.QueryContext(ctx, selectOfDevice, q.Device, span.From, span.EndFor(q.Device), limit)
	} else {
		rows, err = s.db.Read.QueryContext(ctx, selectOfAll, span.From, span.End, span.EndDevice, limit)
	}
	found, err := collect(rows, err, func() (iot.Reading, error) { return scan(rows) })
	if err != nil {
		return iot.Page{}, fmt.Errorf("find readings: %w", err)
	}
	return walk.Page(found, q.Limit), nil
}

// CountReadings implements iot.ReadingReader.
func (s *Store) CountReadings(ctx context.Context) ([]iot.DeviceCount, error) {
	rows, err := s.db.Read.QueryContext(ctx, selectCounts)
	counts, err := collect(rows, err, func() (c iot.DeviceCount, err error) {
		err = rows.Scan(&c.Device, &c.Count)
		return c, err
	})
	if err != nil {
		return nil, fmt.Errorf("count readings: %w", err)
	}
	return counts, nil
}

// collect returns what scan makes of each of rows, which it closes. It takes the error of the query too.
func collect[T any](rows *sql.Rows, err error, scan func() (T, error)) (all []T, _ error) {
	if err != nil {
		return nil, err
	}
	for rows.Next() {
		item, err := scan()
		if err != nil {
			return nil, errors.Join(err, rows.Close())
		}
		all = append(all, item)
	}
	return all, errors.Join(rows.Err(), rows.Close())
}
