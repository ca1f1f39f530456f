package series

import (
	"context"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// Older is what there is of before two moments: of readings, in whole quarters of an hour, and of rollups, in whole days of UTC.
type Older struct {
	Readings   int64 // of each device as many as it has values of one metric
	From, To   time.Time
	Rollups    int64 // days of metrics of devices
	AllRollups int64
}

// Older looks for what is before two moments, each of which may be zero for nothing.
func (r *Reader) Older(ctx context.Context, readings, rollups time.Time) (Older, error) {
	var found Older
	var before aggregator
	horizon := readings.Truncate(iot.Quarter)
	days := iot.BucketQuery{Width: iot.Day}
	err := r.Store.ReadBuckets(ctx, days, func(s iot.Buckets) error {
		for i, b := range s.Buckets {
			end := time.UnixMilli(b.Start).Add(iot.Day)
			found.AllRollups++
			if !end.After(rollups) {
				found.Rollups++
			}
			if !end.After(horizon) {
				found.span(b)
				if err := before.addBuckets(iot.Buckets{Device: s.Device, Metric: s.Metric, Buckets: s.Buckets[i : i+1]}); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return found, err
	}
	if day := horizon.Truncate(iot.Day); !readings.IsZero() && day.Before(horizon) {
		q := iot.BucketQuery{Width: iot.Quarter, SampleQuery: iot.SampleQuery{From: day, To: horizon}}
		err := r.Store.ReadBuckets(ctx, q, func(s iot.Buckets) error {
			for _, b := range s.Buckets {
				found.span(b)
			}
			return before.addBuckets(s)
		})
		if err != nil {
			return found, err
		}
	}
	found.Readings = before.aggregates().Readings
	return found, nil
}

// span widens the range of the readings that were found.
func (o *Older) span(b iot.Bucket) {
	if first := time.UnixMilli(b.FirstAt).UTC(); o.From.IsZero() || first.Before(o.From) {
		o.From = first
	}
	if last := time.UnixMilli(b.LastAt).UTC(); last.After(o.To) {
		o.To = last
	}
}
