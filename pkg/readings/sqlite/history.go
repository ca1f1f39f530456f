package sqlite

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/readings/internal/derive"
	"github.com/telltale-iot/telltale/pkg/readings/internal/timerange"
	"github.com/telltale-iot/telltale/pkg/sqlite"
)

const (
	scanRows = `SELECT ` + columns + ` FROM readings
		WHERE (timestamp, device_id) > (?1, ?2) AND (timestamp, device_id) < (?3, ?4)
		AND (?5 IS NULL OR device_id IN (SELECT value FROM json_each(?5)))`
	scanOldest = scanRows + ` ORDER BY timestamp, device_id`
	scanNewest = scanRows + ` ORDER BY timestamp DESC, device_id DESC`
)

// ScanReadings implements iot.HistoryReader. Damaged rows are left out, and reported.
func (s *Store) ScanReadings(ctx context.Context, q iot.ScanQuery, take func(*iot.Reading) (more bool, err error)) error {
	times, query := timerange.Of(q), scanOldest
	if q.Newest {
		query = scanNewest
	}
	rows, err := s.db.Read.QueryContext(ctx, query, times.From, times.FromDevice, times.End, times.EndDevice, list(q.Devices))
	err = sqlite.ForEach(rows, err, func() (more bool, err error) {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		v, err := scan(rows)
		if err != nil {
			return false, err
		}
		r, err := v.reading()
		if err != nil {
			s.report(&v, err)
			return true, nil
		}
		return take(&r)
	})
	if err != nil {
		return fmt.Errorf("scan readings in %s: %w", s.db.Path, err)
	}
	return nil
}

// list returns ids as a JSON array, or NULL where there are none.
func list(ids []iot.DeviceID) any {
	if ids == nil {
		return nil
	}
	text, _ := json.Marshal(ids) // numbers
	return string(text)
}

// ReadSamples implements iot.HistoryReader.
func (s *Store) ReadSamples(ctx context.Context, q iot.SampleQuery, take func(iot.Samples) error) error {
	return derive.ReadSamples(ctx, s, q, take)
}

// ReadBuckets implements iot.HistoryReader.
func (s *Store) ReadBuckets(ctx context.Context, q iot.BucketQuery, take func(iot.Buckets) error) error {
	return derive.ReadBuckets(ctx, s, q, take)
}

// Maintain implements readings.Store: there is nothing to do.
func (s *Store) Maintain(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// Usage implements readings.Store.
func (s *Store) Usage(context.Context) (iot.Usage, error) {
	file, err := os.Stat(s.db.Path)
	if err != nil {
		return iot.Usage{}, fmt.Errorf("size of the readings: %w", err)
	}
	return iot.Usage{Readings: file.Size(), Free: -1, PerDay: -1}, nil
}
