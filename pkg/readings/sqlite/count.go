package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/sqlite"
)

// CountReadings implements iot.ReadingReader.
func (s *Store) CountReadings(ctx context.Context) (counts []iot.DeviceCount, err error) {
	all, err := s.count(ctx)
	if err != nil {
		return nil, fmt.Errorf("count readings: %w", err)
	}
	for device, n := range all {
		if n > 0 {
			counts = append(counts, iot.DeviceCount{Device: device, Count: n})
		}
	}
	slices.SortFunc(counts, func(a, b iot.DeviceCount) int { return cmp.Compare(a.Device, b.Device) })
	return counts, nil
}

// count counts what is in months, which is known, and what is in the old file.
func (s *Store) count(ctx context.Context) (all map[iot.DeviceID]int64, err error) {
	var months map[iot.DeviceID]int64
	sn, err := s.snapshotOf(ctx, func() (span, bool) {
		months = maps.Clone(s.counts)
		if s.old == nil {
			return span{}, false
		}
		return *s.old, true
	})
	if err != nil || sn == nil {
		return months, err
	}
	err = addCounts(ctx, months, sn.tx, oldCounts, max(sn.from, math.MinInt64+1), sn.until)
	if err := errors.Join(err, sn.end()); err != nil {
		return nil, fmt.Errorf("%s: %w", sn.path, err)
	}
	return months, nil
}

// addCounts adds what query, of a file or a snapshot of one, says of each device.
func addCounts(ctx context.Context, counts map[iot.DeviceID]int64, of interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}, query string, args ...any) error {
	rows, err := of.QueryContext(ctx, query, args...) //nolint:sqlclosecheck // ForEach closes them
	return sqlite.ForEach(rows, err, func() (more bool, err error) {
		var device, n int64
		err = rows.Scan(&device, &n)
		counts[iot.DeviceID(device)] += n
		return true, err
	})
}
