package series

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
)

const (
	// maxOlder is how many buckets are looked at for Older before some devices have to stand for all: two metrics of 10,000
	// devices have 22,000,000 days in three years.
	maxOlder = 300_000
	// someDevices is of how many devices buckets are read at once then.
	someDevices = 30
)

// Older is what there is of before two moments: of readings, in whole quarters of an hour, and of rollups, in whole days of UTC.
type Older struct {
	Readings    int64 // of each device as many as it has values of one metric
	From, To    time.Time
	Rollups     int64 // days of metrics of devices
	AllRollups  int64
	Approximate bool // some devices stand for all
}

// Older looks for what is before two moments, each of which may be zero for nothing. counts says how many readings there are.
func (r *Reader) Older(ctx context.Context, counts []iot.DeviceCount, readings, rollups time.Time) (Older, error) {
	kept, err := r.Store.Horizon(ctx) // before it there are rollups alone
	if err != nil {
		return Older{}, err
	}
	all := &older{store: r.Store, kept: kept, horizon: readings.Truncate(iot.Quarter), rollups: rollups, most: maxOlder, devices: map[iot.DeviceID]int64{}}
	err = all.look(ctx, nil)
	if !errors.Is(err, errManyOlder) {
		all.found.Readings = all.before.aggregates().Readings
		return all.found, err
	}
	for _, c := range counts {
		all.devices[c.Device] = c.Count
	}
	return all.sample(ctx)
}

var errManyOlder = errors.New("too many buckets")

// older looks for what is before two moments.
type older struct {
	store                  Store
	kept, horizon, rollups time.Time
	most                   int // buckets that are looked at; 0: any number

	looked  int
	before  aggregator
	devices map[iot.DeviceID]int64 // that have any, and how many readings as far as that is known
	found   Older
}

// sample looks at some devices, the same ones each time, until they have maxOlder buckets. Their readings are counted as a part
// of those that they have.
func (o *older) sample(ctx context.Context) (Older, error) {
	some := &older{store: o.store, kept: o.kept, horizon: o.horizon, rollups: o.rollups, devices: map[iot.DeviceID]int64{}}
	var total, of float64
	for _, n := range o.devices {
		total += float64(n)
	}
	ids := slices.Sorted(maps.Keys(o.devices))
	rand.New(rand.NewPCG(0, 0)).Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	for devices := range slices.Chunk(ids, someDevices) {
		if some.looked >= maxOlder {
			break
		}
		slices.Sort(devices)
		for _, id := range devices {
			of += float64(o.devices[id])
		}
		if err := some.look(ctx, devices); err != nil {
			return some.found, err
		}
	}
	some.found.Approximate = true
	if of > 0 {
		some.found.Readings = int64(min(float64(some.before.aggregates().Readings)/of, 1) * total)
	}
	return some.found, nil
}

// look looks at devices; nil: all.
func (o *older) look(ctx context.Context, devices []iot.DeviceID) error {
	first := iot.Ceil(o.kept, iot.Day)
	days := iot.BucketQuery{Width: iot.Day, SampleQuery: iot.SampleQuery{Devices: devices}}
	err := o.read(ctx, days, func(s iot.Buckets) error {
		for i, b := range s.Buckets {
			end := time.UnixMilli(b.Start).Add(iot.Day)
			o.found.AllRollups++
			if !end.After(o.rollups) {
				o.found.Rollups++
			}
			if !end.After(o.horizon) && b.Start >= first.UnixMilli() {
				o.found.span(b)
				if err := o.before.addBuckets(iot.Buckets{Device: s.Device, Metric: s.Metric, Buckets: s.Buckets[i : i+1]}); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	// Of two days there may be a part: of that of the horizon of now, and of that of the one that is asked for.
	edge, day := first, o.horizon.Truncate(iot.Day)
	if o.horizon.Before(edge) {
		edge = o.horizon
	}
	if day.Before(first) {
		day = first
	}
	for _, span := range []iot.SampleQuery{{From: iot.Ceil(o.kept, iot.Quarter), To: edge}, {From: day, To: o.horizon}} {
		if !span.From.Before(span.To) {
			continue
		}
		span.Devices = devices
		err := o.read(ctx, iot.BucketQuery{Width: iot.Quarter, SampleQuery: span}, func(s iot.Buckets) error {
			for _, b := range s.Buckets {
				o.found.span(b)
			}
			return o.before.addBuckets(s)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// read counts what it reads.
func (o *older) read(ctx context.Context, q iot.BucketQuery, take func(iot.Buckets) error) error {
	return o.store.ReadBuckets(ctx, q, func(s iot.Buckets) error {
		if o.looked += len(s.Buckets); o.most > 0 && o.looked > o.most {
			return errManyOlder
		}
		o.devices[s.Device] += 0
		return take(s)
	})
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
