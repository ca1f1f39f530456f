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
	kept, err := r.Store.Horizon(ctx) // before it there are rollups alone
	if err != nil {
		return found, err
	}
	first, horizon := iot.Ceil(kept, iot.Day), readings.Truncate(iot.Quarter)
	days := iot.BucketQuery{Width: iot.Day}
	err = r.Store.ReadBuckets(ctx, days, func(s iot.Buckets) error {
		for i, b := range s.Buckets {
			end := time.UnixMilli(b.Start).Add(iot.Day)
			found.AllRollups++
			if !end.After(rollups) {
				found.Rollups++
			}
			if !end.After(horizon) && b.Start >= first.UnixMilli() {
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
	// Of two days there may be a part: of that of the horizon of now, and of that of the one that is asked for.
	edge, day := first, horizon.Truncate(iot.Day)
	if horizon.Before(edge) {
		edge = horizon
	}
	if day.Before(first) {
		day = first
	}
	for _, span := range []iot.SampleQuery{{From: iot.Ceil(kept, iot.Quarter), To: edge}, {From: day, To: horizon}} {
		if !span.From.Before(span.To) {
			continue
		}
		err := r.Store.ReadBuckets(ctx, iot.BucketQuery{Width: iot.Quarter, SampleQuery: span}, func(s iot.Buckets) error {
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
