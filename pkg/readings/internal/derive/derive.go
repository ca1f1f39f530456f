// Package derive makes samples and buckets of readings that are scanned, for stores that keep nothing else for them.
package derive

import (
	"context"
	"fmt"
	"math"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/rollup"
)

// Scanner is the part of a store that the rest is derived from.
type Scanner interface {
	ScanReadings(ctx context.Context, q iot.ScanQuery, take func(*iot.Reading) (more bool, err error)) error
}

// chunk is how many values are kept of all series before they are handed out.
const chunk = 1 << 16

type series struct {
	device iot.DeviceID
	metric string
}

// ReadSamples implements iot.HistoryReader's.
func ReadSamples(ctx context.Context, s Scanner, q iot.SampleQuery, take func(iot.Samples) error) error {
	all, kept := map[series]*iot.Samples{}, 0
	flush := func() error {
		for _, samples := range all {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := take(*samples); err != nil {
				return err
			}
		}
		clear(all)
		kept = 0
		return nil
	}
	err := values(ctx, s, q, func(of series, at int64, value float64) error {
		samples := all[of]
		if samples == nil {
			samples = &iot.Samples{Device: of.device, Metric: of.metric}
			all[of] = samples
		}
		samples.Times = append(samples.Times, at)
		samples.Values = append(samples.Values, value)
		if kept++; kept == chunk {
			return flush()
		}
		return nil
	})
	if err != nil {
		return err
	}
	return flush()
}

// ReadBuckets implements iot.HistoryReader's.
func ReadBuckets(ctx context.Context, s Scanner, q iot.BucketQuery, take func(iot.Buckets) error) error {
	if q.Width != iot.Quarter && q.Width != iot.Day {
		return fmt.Errorf("buckets of %v: %w", q.Width, iot.ErrInvalid)
	}
	all, width, start := map[series]*iot.Bucket{}, q.Width.Milliseconds(), int64(math.MinInt64)
	flush := func() error {
		for of, b := range all {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := take(iot.Buckets{Device: of.device, Metric: of.metric, Buckets: []iot.Bucket{*b}}); err != nil {
				return err
			}
		}
		clear(all)
		return nil
	}
	err := values(ctx, s, q.SampleQuery, func(of series, at int64, value float64) error {
		if at >= start+width || start == math.MinInt64 {
			if err := flush(); err != nil {
				return err
			}
			start = rollup.Floor(at, width)
		}
		b := all[of]
		if b == nil {
			b = &iot.Bucket{Start: start}
			all[of] = b
		}
		rollup.Add(b, at, value)
		return nil
	})
	if err != nil {
		return err
	}
	return flush()
}

// values calls take with each value that q selects, in the order of time.
func values(ctx context.Context, s Scanner, q iot.SampleQuery, take func(of series, at int64, value float64) error) error {
	scan := iot.ScanQuery{Devices: q.Devices, From: q.From, To: q.To}
	return s.ScanReadings(ctx, scan, func(r *iot.Reading) (more bool, err error) {
		for _, m := range r.Metrics {
			if q.Wants(m.Name) {
				if err := take(series{r.Device, m.Name}, r.At.UnixMilli(), m.Value); err != nil {
					return false, err
				}
			}
		}
		return true, nil
	})
}
