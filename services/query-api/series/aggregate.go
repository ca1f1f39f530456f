package series

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/rollup"
)

// Aggregates are what all readings in a range come to.
type Aggregates struct {
	Readings     int64
	Temperature  iot.Bucket
	Humidity     iot.Bucket
	Devices      []DeviceAggregates // ascending
	Temperatures Histogram
	// Approximate: there are so many values that they are not read one by one, or some are removed. They are those of whole quarters of an hour,
	// a device has as many readings as it has values of one metric, and Temperatures has the mean of each quarter for its values.
	Approximate bool
}

// DeviceAggregates are what the readings of a device come to.
type DeviceAggregates struct {
	Device                iot.DeviceID
	Readings              int64
	Temperature, Humidity iot.Bucket
}

// Aggregate returns what the readings of devices in a range come to; nil: of all.
func (r *Reader) Aggregate(ctx context.Context, devices []iot.DeviceID, from, to time.Time) (*Aggregates, error) {
	horizon, err := r.Store.Horizon(ctx)
	if err != nil {
		return nil, err
	}
	var quarters aggregator
	q := iot.BucketQuery{Width: iot.Quarter, SampleQuery: iot.SampleQuery{Devices: devices, From: from.Truncate(iot.Quarter), To: iot.Ceil(to, iot.Quarter)}}
	if err := r.Store.ReadBuckets(ctx, q, quarters.addBuckets); err != nil {
		return nil, err
	}
	if quarters.values > MaxValues || from.Before(horizon) {
		all := quarters.aggregates()
		all.Approximate = true
		return all, nil
	}
	release, err := r.Admit(ctx, quarters.values)
	if err != nil {
		return nil, err
	}
	defer release()
	var each aggregator
	if err := r.Store.ReadSamples(ctx, iot.SampleQuery{Devices: devices, From: from, To: to}, each.addSamples); err != nil {
		return nil, err
	}
	return each.aggregates(), nil
}

// aggregator makes Aggregates.
type aggregator struct {
	devices      map[iot.DeviceID]*aggregated
	values       int64
	temperatures Histogram
}

// aggregated is what is known of a device.
type aggregated struct {
	DeviceAggregates
	times  []int64          // of all values, to see which are of the same reading
	values map[string]int64 // of each metric, where there are no times
}

func (a *aggregator) device(id iot.DeviceID) *aggregated {
	if a.devices == nil {
		a.devices = map[iot.DeviceID]*aggregated{}
	}
	d := a.devices[id]
	if d == nil {
		d = &aggregated{values: map[string]int64{}}
		d.Device = id
		a.devices[id] = d
	}
	return d
}

// known is the bucket that values of a metric go into; nil: none.
func (d *aggregated) known(metric string) *iot.Bucket {
	switch metric {
	case iot.Temperature:
		return &d.Temperature
	case iot.Humidity:
		return &d.Humidity
	default:
		return nil
	}
}

func (a *aggregator) addBuckets(s iot.Buckets) error {
	d := a.device(s.Device)
	into := d.known(s.Metric)
	for _, b := range s.Buckets {
		a.values += b.Count
		d.values[s.Metric] += b.Count
		if into != nil {
			rollup.Merge(into, b)
		}
		if s.Metric == iot.Temperature {
			a.temperatures.add(b.Mean(), b.Count)
		}
	}
	return nil
}

func (a *aggregator) addSamples(s iot.Samples) error {
	d := a.device(s.Device)
	d.times = append(d.times, s.Times...)
	into := d.known(s.Metric)
	if into == nil {
		return nil
	}
	for i, v := range s.Values {
		rollup.Add(into, s.Times[i], v)
		if s.Metric == iot.Temperature {
			a.temperatures.add(v, 1)
		}
	}
	return nil
}

func (a *aggregator) aggregates() *Aggregates {
	all := &Aggregates{Temperatures: a.temperatures}
	for _, d := range a.devices {
		for _, n := range d.values {
			d.Readings = max(d.Readings, n)
		}
		if len(d.times) > 0 {
			slices.Sort(d.times)
			d.Readings = int64(len(slices.Compact(d.times)))
		}
		all.Readings += d.Readings
		all.Devices = append(all.Devices, d.DeviceAggregates)
	}
	slices.SortFunc(all.Devices, func(a, b DeviceAggregates) int { return cmp.Compare(a.Device, b.Device) })
	for _, d := range all.Devices { // in this order, so that sums have the same last digits each time
		rollup.Merge(&all.Temperature, d.Temperature)
		rollup.Merge(&all.Humidity, d.Humidity)
	}
	return all
}
