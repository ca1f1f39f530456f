package mongo

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/readings/internal/timerange"
	"github.com/telltale-iot/telltale/pkg/rollup"
)

// ReadBuckets implements iot.HistoryReader. Of the hours that are rolled up and not marked it reads what is stored, and
// makes the buckets of all others out of their readings. It asks for the marks before the days: where a mark is not there
// any more, the day has what it was set for.
func (s *Store) ReadBuckets(ctx context.Context, q iot.BucketQuery, take func(iot.Buckets) error) error {
	c := &bucketer{Store: s, query: q, take: take, all: map[iot.DeviceID]map[string][]iot.Bucket{}}
	switch q.Width {
	case iot.Quarter:
		c.grid = rollup.Quarter.In(time.UTC)
	case iot.Day:
		c.grid = rollup.Daily.In(time.UTC)
	default:
		return fmt.Errorf("buckets of %v: %w", q.Width, iot.ErrInvalid)
	}
	times := timerange.Of(iot.ScanQuery{From: q.From, To: q.To})
	devices := [][]iot.DeviceID{nil}
	if q.Devices != nil {
		devices = slices.Collect(slices.Chunk(timerange.Devices(q.Devices), 1))
	}
	ctx, done, err := s.DB.InOrder(ctx)
	if err != nil {
		return fmt.Errorf("read buckets: %w", err)
	}
	defer done()
	for _, c.devices = range devices {
		if err := c.read(ctx, interval{times.From, times.End}); err != nil {
			return fmt.Errorf("read buckets: %w", err)
		}
	}
	return nil
}

// bucketer makes the buckets of a device, or of all.
type bucketer struct {
	*Store
	query   iot.BucketQuery
	take    func(iot.Buckets) error
	grid    *rollup.Grid
	devices []iot.DeviceID // one, or nil

	all map[iot.DeviceID]map[string][]iot.Bucket // not handed out yet
	n   int                                      // that were added since something was handed out

	waiting []*dayDocument // maxWaiting at most, of which the first has marks
	reader  rollup.Reader
	buckets []iot.Bucket // of a metric and day
}

func (c *bucketer) read(ctx context.Context, in interval) error {
	p, err := c.progress(ctx)
	if err != nil {
		return err
	}
	marks, err := c.marksIn(ctx, c.devices, max(hourOf(in.from), p.gone()), in.to)
	if err != nil {
		return err
	}
	for part, rolledUp := range p.parts(in) {
		if rolledUp {
			err = c.readDays(ctx, part, marks)
		} else {
			err = c.readRaw(ctx, c.devices, part)
		}
		if err != nil {
			return err
		}
	}
	if err := c.handOut(ctx, 0); err != nil {
		return err
	}
	clear(c.all)
	return nil
}

// readDays adds what is rolled up in a span, or marked in it.
func (c *bucketer) readDays(ctx context.Context, in interval, marks map[iot.DeviceID][]int64) error {
	var others []dayID // with marks, and perhaps without a document
	for device, hours := range marks {
		last := beginning - day
		for _, at := range hours {
			if at >= hourOf(in.from) && at < in.to && dayOf(at) != last {
				last = dayOf(at)
				others = append(others, dayID{int64(device), bson.DateTime(last)})
			}
		}
	}
	compare := func(a, b dayID) int { return cmp.Or(cmp.Compare(a.Day, b.Day), cmp.Compare(a.Device, b.Device)) }
	slices.SortFunc(others, compare)
	add := func(d *dayDocument) error {
		if len(c.waiting) == 0 && !anyIn(marks[d.device()], d.in(in)) {
			return c.addDay(ctx, d, in, nil, nil)
		}
		c.waiting = append(c.waiting, d)
		if len(c.waiting) < maxWaiting {
			return nil
		}
		return c.addWaiting(ctx, in, marks)
	}
	projection := bson.D{{Key: fieldData, Value: 1}}
	err := c.eachDay(ctx, c.devices, in, projection, func(d *dayDocument) error {
		for len(others) > 0 && compare(others[0], d.ID) < 0 {
			if err := add(&dayDocument{ID: others[0]}); err != nil {
				return err
			}
			others = others[1:]
		}
		if len(others) > 0 && others[0] == d.ID {
			others = others[1:]
		}
		return add(d)
	})
	for err == nil && len(others) > 0 {
		err = add(&dayDocument{ID: others[0]})
		others = others[1:]
	}
	if err != nil || len(c.waiting) == 0 {
		return err
	}
	return c.addWaiting(ctx, in, marks)
}

// maxWaiting is how many days of devices wait until the readings of their marked hours are asked for, all at once: of a fleet
// that was out of reach, each device has some.
const maxWaiting = 100

// addWaiting adds what is in a span of the days that wait.
func (c *bucketer) addWaiting(ctx context.Context, in interval, marks map[iot.DeviceID][]int64) error {
	slices.SortStableFunc(c.waiting, func(a, b *dayDocument) int { return cmp.Compare(a.device(), b.device()) })
	marked := markedHours{}
	for _, d := range c.waiting {
		marked.add(d.device(), d.in(in), marks[d.device()])
	}
	late, err := c.readLate(ctx, marked, c.query.Metrics, c.addSamples(ctx))
	if err != nil {
		return err
	}
	defer late.close(ctx)
	for _, d := range c.waiting {
		if err := c.addDay(ctx, d, in, marks[d.device()], late); err != nil {
			return err
		}
	}
	clear(c.waiting)
	c.waiting = c.waiting[:0]
	return nil
}

// addDay adds what is in a span of a day, of its marked hours out of late.
func (c *bucketer) addDay(ctx context.Context, d *dayDocument, in interval, marked []int64, late *lateReadings) error {
	in = d.in(in)
	for run, isMarked := range in.runs(marked) {
		if isMarked {
			if err := late.handOut(ctx, d.device(), run); err != nil {
				return err
			}
			continue
		}
		if err := c.addStored(d, run); err != nil {
			return fmt.Errorf("day %v of device %d: %w", d.ID.Day.Time().UTC().Format(time.DateOnly), d.device(), err)
		}
	}
	return c.flush(ctx)
}

// readRaw adds what the readings in a span come to.
func (c *bucketer) readRaw(ctx context.Context, devices []iot.DeviceID, in interval) error {
	q := iot.SampleQuery{Devices: devices, Metrics: c.query.Metrics, From: time.UnixMilli(in.from), To: time.UnixMilli(in.to)}
	return c.readSamples(ctx, q, c.durable, c.addSamples(ctx))
}

func (c *bucketer) addSamples(ctx context.Context) func(iot.Samples) error {
	return func(samples iot.Samples) error {
		of := c.of(samples.Device)
		c.add(of, samples.Metric, rollup.AppendSamples(of[samples.Metric], c.grid, samples.Times, samples.Values))
		return c.flush(ctx)
	}
}

func (c *bucketer) of(device iot.DeviceID) map[string][]iot.Bucket {
	if c.all[device] == nil {
		c.all[device] = map[string][]iot.Bucket{}
	}
	return c.all[device]
}

// chunk is how many buckets are kept of all series before they are handed out.
const chunk = 1 << 16

// flush hands out what there is when that is a chunk, but for the last bucket of each series, to which more may be added.
func (c *bucketer) flush(ctx context.Context) error {
	if c.n < chunk {
		return nil
	}
	return c.handOut(ctx, 1)
}

// handOut hands out all buckets but the last ones of each series.
func (c *bucketer) handOut(ctx context.Context, but int) error {
	c.n = 0
	for _, device := range slices.Sorted(maps.Keys(c.all)) {
		of := c.all[device]
		for _, metric := range slices.Sorted(maps.Keys(of)) {
			n := len(of[metric]) - but
			if n == 0 {
				continue
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := c.take(iot.Buckets{Device: device, Metric: metric, Buckets: of[metric][:n]}); err != nil {
				return err
			}
			of[metric] = append(of[metric][:0], of[metric][n:]...)
		}
	}
	return nil
}

// addStored adds what a day has of an interval. Of a whole one, days are there already.
func (c *bucketer) addStored(d *dayDocument, in interval) error {
	if len(d.Data) == 0 {
		return nil
	}
	if err := c.reader.Reset(d.Data); err != nil {
		return err
	}
	of := c.of(d.device())
	for i, total := range c.reader.Totals {
		if total.Name == rollup.Readings || !c.query.Wants(total.Name) {
			continue
		}
		c.buckets = append(c.buckets[:0], total.Bucket)
		if c.query.Width != iot.Day || in.to-in.from < day {
			var err error
			if c.buckets, err = c.reader.Append(c.buckets[:0], i); err != nil {
				return err
			}
			c.buckets = slices.DeleteFunc(c.buckets, func(b iot.Bucket) bool { return b.Start < in.from || b.Start >= in.to })
		}
		if len(c.buckets) > 0 {
			c.add(of, total.Name, rollup.AppendBuckets(of[total.Name], c.grid, c.buckets))
		}
	}
	return nil
}

// add puts buckets, which are more than there were, in place of those of a metric.
func (c *bucketer) add(of map[string][]iot.Bucket, metric string, buckets []iot.Bucket) {
	c.n += len(buckets) - len(of[metric])
	of[metric] = buckets
}
