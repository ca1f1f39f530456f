package series

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/rollup"
)

// chart is a Query while it is answered.
type chart struct {
	*Reader
	Query
	all    []*accumulator // in the order of the answer
	of     map[name]*accumulator
	points int // that a series may have, for all to have no more than MaxNumbers
	// rolledUp: readings of the range are removed, and it is of whole quarters.
	rolledUp bool
}

// name is what tells series apart.
type name struct {
	device iot.DeviceID
	metric string
}

// list says which series there are.
func (c *chart) list(ctx context.Context) error {
	if c.Metrics == nil {
		return c.find(ctx)
	}
	if len(c.Devices)*len(c.Metrics) > MaxSeries {
		return errTooManySeries
	}
	for _, device := range c.Devices {
		for _, metric := range c.Metrics {
			c.add(name{device, metric})
		}
	}
	return nil
}

var errTooManySeries = refuse("metric", "These are more than %d series. Ask for fewer metrics, or fewer devices.", MaxSeries)

func (c *chart) add(n name) {
	a := &accumulator{percents: c.Percents}
	a.Device, a.Metric = n.device, n.metric
	c.all, c.of[n] = append(c.all, a), a
}

// find lists the series that the devices have in the days that the range touches.
func (c *chart) find(ctx context.Context) error {
	metrics, n := map[iot.DeviceID][]string{}, 0
	days := iot.BucketQuery{Width: iot.Day, SampleQuery: iot.SampleQuery{Devices: c.Devices, From: c.From.Truncate(iot.Day), To: iot.Ceil(c.To, iot.Day)}}
	err := c.Store.ReadBuckets(ctx, days, func(b iot.Buckets) error {
		if slices.Contains(metrics[b.Device], b.Metric) {
			return nil
		}
		if n++; n > MaxSeries {
			return errTooManySeries
		}
		metrics[b.Device] = append(metrics[b.Device], b.Metric)
		return nil
	})
	if err != nil {
		return err
	}
	for _, device := range c.Devices {
		slices.Sort(metrics[device])
		for _, metric := range metrics[device] {
			c.add(name{device, metric})
		}
	}
	return nil
}

// checkPoints refuses an interval of which there are too many in the range, and says which would do. Of values as they are
// nobody knows before they are read.
func (c *chart) checkPoints() error {
	points := min(c.points, MaxPoints)
	if c.Interval == rollup.Raw || c.Interval.Count(c.From, c.To, c.Zone, points) <= points {
		return nil
	}
	other := "Choose"
	if longer := rollup.Auto(c.From, c.To, c.Zone, points); longer.Count(c.From, c.To, c.Zone, points) <= points {
		other = fmt.Sprintf("Choose %v or a longer one,", longer)
	}
	if points == MaxPoints {
		return refuse("interval", "With %v a series would have more than %d points. %s a shorter range, or auto.", c.Interval, MaxPoints, other)
	}
	return refuse("interval", "With %v the answer would have more than %d numbers: each of %d series with %d columns may have %d points. %s a shorter range, fewer series, or auto.",
		c.Interval, MaxNumbers, len(c.all), c.Columns, points, other)
}

// checkRolledUp refuses what is not made of quarters.
func (c *chart) checkRolledUp(horizon time.Time) error {
	since := horizon.UTC().Format(time.RFC3339)
	switch {
	case len(c.Percents) > 0:
		return refuse("agg", "Percentiles are made of readings, and those from before %s are removed: only what quarters of an hour come to is there. Begin there.", since)
	case !c.Auto && c.Interval < rollup.Quarter:
		return refuse("interval", "An interval of less than 15m is made of readings, and those from before %s are removed: only what quarters of an hour come to is there. Choose 15m or a longer one, or begin there.", since)
	}
	return nil
}

var (
	errManyRawPoints  = refuse("interval", "A series has more than %d values. Choose auto or an interval, or a shorter range.", MaxPoints)
	errManyRawNumbers = refuse("interval", "The values would be more than %d numbers. Choose auto or an interval, a shorter range or fewer series.", MaxNumbers)
)

// read reads what the series are made of.
func (c *chart) read(ctx context.Context) error {
	if len(c.all) == 0 {
		return nil
	}
	if c.Interval == rollup.Raw {
		c.begin(c.all, rollup.Raw, sourceRaw)
		return c.readSamples(ctx, c.samples(c.From, c.To))
	}
	// Buckets say how many values there are, and are enough for most charts.
	fine := c.Interval < rollup.Quarter
	if err := c.readBuckets(ctx, max(c.Interval, rollup.Quarter)); err != nil {
		return err
	}
	var few, many []*accumulator
	var total int64
	for _, a := range c.all {
		total += a.count
		if c.Auto && !c.Filled && !c.rolledUp && a.count <= int64(c.points) {
			few = append(few, a)
		} else {
			many = append(many, a)
		}
	}
	switch each := fine || len(c.Percents) > 0; {
	case each && total <= MaxValues:
		release, err := c.Admit(ctx, total)
		if err != nil {
			return err
		}
		defer release()
		c.begin(few, rollup.Raw, sourceRaw)
		c.begin(many, c.Interval, sourceRaw)
		return c.readSamples(ctx, c.samples(c.From, c.To))
	case len(c.Percents) > 0:
		return refuse("agg", "Percentiles are made of at most %d values, and here are %d. Choose a shorter range, or fewer series.", MaxValues, total)
	case fine && !c.Auto:
		return refuse("interval", "An interval of less than 15m is made of at most %d values, and here are %d. Choose a longer one, a shorter range or fewer series.", MaxValues, total)
	default:
		return c.readFew(ctx, few)
	}
}

func (c *chart) begin(all []*accumulator, interval rollup.Interval, source string) {
	for _, a := range all {
		a.begin(interval, interval.In(c.Zone), source)
	}
}

// samples are the values of all series in a range of time.
func (c *chart) samples(from, to time.Time) iot.SampleQuery {
	return iot.SampleQuery{Devices: c.Devices, Metrics: c.Metrics, From: from, To: to}
}

// readSamples adds values to their series. Those of no series are passed over: they came after the series were listed.
func (c *chart) readSamples(ctx context.Context, q iot.SampleQuery) error {
	if !q.From.Before(q.To) {
		return nil
	}
	points := 0 // of raw series
	return c.Store.ReadSamples(ctx, q, func(s iot.Samples) error {
		a := c.of[name{s.Device, s.Metric}]
		if a == nil {
			return nil
		}
		a.addSamples(s)
		if a.Interval == rollup.Raw {
			points += len(s.Times)
		}
		switch {
		case c.Interval != rollup.Raw: // there are as many as was found out before
			return nil
		case len(a.Buckets) > MaxPoints:
			return errManyRawPoints
		case points*c.Columns > MaxNumbers:
			return errManyRawNumbers
		}
		return nil
	})
}

// readBuckets makes all series of the store's buckets, and of values where the range begins or ends within one.
func (c *chart) readBuckets(ctx context.Context, interval rollup.Interval) error {
	first, last := iot.Ceil(c.From, iot.Quarter), c.To.Truncate(iot.Quarter)
	if !first.Before(last) {
		c.begin(c.all, interval, sourceRaw)
		return c.readSamples(ctx, c.samples(c.From, c.To))
	}
	source, spans := sourceQuarters, []iot.BucketQuery{{Width: iot.Quarter, SampleQuery: c.samples(first, last)}}
	if day, end := iot.Ceil(first, iot.Day), last.Truncate(iot.Day); day.Before(end) && c.ofWholeDays(interval) {
		source, spans = sourceDays, []iot.BucketQuery{
			{Width: iot.Quarter, SampleQuery: c.samples(first, day)},
			{Width: iot.Day, SampleQuery: c.samples(day, end)},
			{Width: iot.Quarter, SampleQuery: c.samples(end, last)},
		}
	}
	c.begin(c.all, interval, source)
	if err := c.readSamples(ctx, c.samples(c.From, first)); err != nil {
		return err
	}
	for _, q := range spans {
		if !q.From.Before(q.To) {
			continue
		}
		err := c.Store.ReadBuckets(ctx, q, func(b iot.Buckets) error {
			if a := c.of[name{b.Device, b.Metric}]; a != nil {
				a.addBuckets(b.Buckets)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return c.readSamples(ctx, c.samples(last, c.To))
}

// ofWholeDays reports whether the buckets of an interval in the range are days of UTC.
func (c *chart) ofWholeDays(interval rollup.Interval) bool {
	const day = int64(iot.Day / time.Millisecond)
	return interval >= rollup.Daily && !slices.ContainsFunc(c.Starts(interval), func(start int64) bool { return start%day != 0 })
}

// readFew makes series of their values as they are. It asks for those of a device at a time, since what is few of one may be
// many of another.
func (c *chart) readFew(ctx context.Context, few []*accumulator) error {
	c.begin(few, rollup.Raw, sourceRaw)
	for len(few) > 0 {
		device := few[0].Device
		n := slices.IndexFunc(few, func(a *accumulator) bool { return a.Device != device })
		if n < 0 {
			n = len(few)
		}
		q := iot.SampleQuery{Devices: []iot.DeviceID{device}, From: c.From, To: c.To}
		for _, a := range few[:n] {
			q.Metrics = append(q.Metrics, a.Metric)
		}
		if err := c.readSamples(ctx, q); err != nil {
			return err
		}
		few = few[n:]
	}
	return nil
}
