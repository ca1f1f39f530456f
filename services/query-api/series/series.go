package series

import (
	"context"
	"fmt"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/rollup"
)

// What one request may ask for.
const (
	// MaxPoints is how many points a series has at most: ten screens side by side have no more columns.
	MaxPoints = 20_000
	// MaxSeries is how many series there are in an answer at most: many small charts, but not the list of a fleet.
	MaxSeries = 1000
	// MaxNumbers is how many numbers they have together, in all columns: some 4 MiB of JSON.
	MaxNumbers = 400_000
	// MaxValues is how many values are read for a request one by one, for what buckets do not do: steps of less than a quarter
	// of an hour, and percentiles. From blocks that is a tenth of a CPU-second.
	MaxValues = 3_000_000
)

// Query says which series are wanted.
type Query struct {
	Devices  []iot.DeviceID
	Metrics  []string // nil: all that each device has in the range
	From, To time.Time
	Interval rollup.Interval
	Zone     *time.Location // whose days and months are meant
	Columns  int            // of numbers that a point has in the answer
	Percents []int          // of percentiles, 1 to 100

	// Auto has the interval chosen instead, so that a series has about Points points; one with fewer values has these.
	Auto   bool
	Points int
	Filled bool // but not where empty buckets are to be seen
}

// Series is what the values of one metric of one device come to.
type Series struct {
	Device   iot.DeviceID
	Metric   string
	Interval rollup.Interval
	Source   string       // what it is made of: "raw", "15m" or "1d"
	Buckets  []iot.Bucket // those that are not empty, ascending
	// Percentiles has, for each of Percents, those of Buckets: of each the least value that so many percent of its values
	// do not exceed.
	Percentiles [][]float64
}

// What a series can be made of.
const (
	sourceRaw      = "raw"
	sourceQuarters = "15m"
	sourceDays     = "1d"
)

// Refusal says which parameter asks for too much, and why.
type Refusal struct{ Parameter, Message string }

func (r *Refusal) Error() string { return r.Parameter + ": " + r.Message }

func refuse(parameter, format string, args ...any) error {
	return &Refusal{parameter, fmt.Sprintf(format, args...)}
}

// Store is what series are made of: a part of an iot.HistoryReader.
type Store interface {
	ReadSamples(ctx context.Context, q iot.SampleQuery, take func(iot.Samples) error) error
	ReadBuckets(ctx context.Context, q iot.BucketQuery, take func(iot.Buckets) error) error
	Horizon(ctx context.Context) (time.Time, error)
}

// Reader reads series.
type Reader struct {
	Store Store
	// Admit waits until so many values may be read one by one. Then they may be, until release is called.
	Admit func(ctx context.Context, values int64) (release func(), err error)
}

// Read returns the series that q asks for in its order, those of a device together. Where q names no metrics they are in the
// order of their names, and none is empty. What q may not ask for is a *Refusal, and any other error the store's.
func (r *Reader) Read(ctx context.Context, q Query) ([]*Series, error) {
	horizon, err := r.Store.Horizon(ctx)
	if err != nil {
		return nil, err
	}
	c := &chart{Reader: r, Query: q, of: map[name]*accumulator{}, rolledUp: q.From.Before(horizon)}
	if c.rolledUp {
		c.From = q.From.Truncate(iot.Quarter)
		if q.To.Before(horizon) {
			c.To = iot.Ceil(q.To, iot.Quarter)
		}
		if err := c.checkRolledUp(horizon); err != nil {
			return nil, err
		}
	}
	if err := c.list(ctx); err != nil {
		return nil, err
	}
	c.points = MaxNumbers / q.Columns / max(len(c.all), 1)
	if q.Auto {
		c.points = min(c.points, q.Points)
		c.Interval = rollup.Auto(q.From, q.To, q.Zone, c.points)
		if c.rolledUp {
			c.Interval = max(c.Interval, rollup.Quarter)
		}
	} else if err := c.checkPoints(); err != nil {
		return nil, err
	}
	if err := c.read(ctx); err != nil {
		return nil, err
	}
	var all []*Series
	for _, a := range c.all {
		a.rank()
		if len(a.Buckets) > 0 || q.Metrics != nil {
			all = append(all, &a.Series)
		}
	}
	return all, nil
}

// Starts returns the starts of all buckets of an interval in the range of q.
func (q *Query) Starts(interval rollup.Interval) []int64 {
	var starts []int64
	grid := interval.In(q.Zone)
	for at := grid.Start(q.From.UnixMilli()); at < q.To.UnixMilli(); at = grid.Next(at) {
		starts = append(starts, at)
	}
	return starts
}
