package iot

import (
	"context"
	"slices"
	"time"
)

// HistoryReader reads stored readings in the order of time, for charts, exports and searches. Whatever it returns is
// exact at that moment: readings that arrive meanwhile may be in it or not, and no others are missing or there twice.
// Once ctx has ended take is not called any more, and the call fails.
type HistoryReader interface {
	// ScanReadings calls take with the readings that q selects, in its order, until take wants no more or fails. The
	// reading, and what it refers to, is take's only during the call. take may wait, for whom it sends them to: MaxWaitingScans
	// that do hold up nobody else.
	ScanReadings(ctx context.Context, q ScanQuery, take func(*Reading) (more bool, err error)) error
	// ReadSamples calls take with the values that q selects, a chunk at a time: of each device and metric they ascend in
	// time. The slices are take's only during the call.
	ReadSamples(ctx context.Context, q SampleQuery, take func(Samples) error) error
	// ReadBuckets calls take with what the values that q selects come to, a chunk at a time: of each device and metric
	// the buckets ascend, and none is empty or comes twice. The slices are take's only during the call.
	ReadBuckets(ctx context.Context, q BucketQuery, take func(Buckets) error) error
	// Horizon returns the time before which a retention may have removed readings, at a full hour: there are the buckets of
	// them then, and no samples. It is zero where there is none.
	Horizon(ctx context.Context) (time.Time, error)
}

// MaxWaitingScans is how many scans at the same time may have a take that waits.
const MaxWaitingScans = 4

// ScanQuery selects readings in the order of time. Its zero value selects all, oldest first: by At, then by device,
// ascending both.
type ScanQuery struct {
	Devices []DeviceID // only theirs; nil: of all
	From    time.Time  // only with From <= At
	To      time.Time  // only with At < To
	Newest  bool       // newest first: both descending
	After   Cursor     // only what comes after it in that order
	// May reports whether readings that a summary is of may be of interest: where it says no, the store may leave them
	// out. nil: all are.
	May func(Summary) bool
}

// Summary is what a store knows of some readings of one device without reading them.
type Summary struct {
	Device  DeviceID
	Count   int
	From    time.Time     // of the first one
	To      time.Time     // of the last one
	Metrics []MetricRange // of all metrics that any of them has, ascending by name
	Text    bool          // whether any of them has attributes
}

// MetricRange is the least and the greatest value of a metric.
type MetricRange struct {
	Name     string
	Min, Max float64
}

// SampleQuery selects values. Its zero value selects all.
type SampleQuery struct {
	Devices []DeviceID // only theirs; nil: of all
	Metrics []string   // only of these; nil: of all
	From    time.Time  // only with From <= At
	To      time.Time  // only with At < To
}

// Wants reports whether q selects values of the metric called name.
func (q SampleQuery) Wants(name string) bool {
	return q.Metrics == nil || slices.Contains(q.Metrics, name)
}

// Samples are values of one metric of one device.
type Samples struct {
	Device DeviceID
	Metric string
	Times  []int64 // ms since 1970, ascending
	Values []float64
}

// Quarter is the width of the finest buckets that stores keep: at all times since 2000 every zone's offset from UTC is a
// multiple of it.
const Quarter = 15 * time.Minute

// Day is the width of the widest ones, which are days of UTC.
const Day = 24 * time.Hour

// BucketQuery selects values, and the width of the buckets that they are put in: Quarter or Day. From and To are
// multiples of it, in UTC; where they are zero there is no bound.
type BucketQuery struct {
	SampleQuery
	Width time.Duration
}

// Buckets are what the values of one metric of one device come to.
type Buckets struct {
	Device  DeviceID
	Metric  string
	Buckets []Bucket // ascending
}

// Bucket is what the values of one metric of one device come to in a span of time.
type Bucket struct {
	Start    int64   // of the span; ms since 1970, as the other times are
	Count    int64   // of values, at least 1
	Sum      float64 // infinite where it is out of range
	Min, Max float64
	First    float64
	Last     float64
	FirstAt  int64
	LastAt   int64
}

// Mean is the mean of the values; no finite number where there are none, or their sum is out of range.
func (b Bucket) Mean() float64 { return b.Sum / float64(b.Count) }

// Retention is how long readings are kept.
type Retention struct {
	Readings time.Duration // by At; 0: for ever
	Rollups  time.Duration // what charts over long times are made of; 0: for ever
	MaxBytes int64         // that readings take on the disk, for a store in files: the oldest go first; 0: as many as fit
}

// Usage is what a store takes on its disk, in bytes.
type Usage struct {
	Readings int64 // with their indexes
	Rollups  int64 // 0 where they are not kept apart
	Free     int64 // that the disk has left; -1: not known
	PerDay   int64 // what the last whole day takes, without what a retention removes in a day; -1: not known
	MaxBytes int64 // that readings and rollups may take: then the oldest are removed; 0: as many as fit
	Oldest   time.Time
	Months   []MonthUsage // with readings, ascending: MaxBytes is kept a month at a time; nil: the store is not in files
}

// MonthUsage is what is free when the readings of a month are removed, at an estimate: their rollups stay.
type MonthUsage struct {
	Start time.Time
	Bytes int64
}

// DaysUntilFull says how long it takes until the disk is full, or the oldest readings are removed since all take too many
// bytes. -1: not known, or never.
func (u Usage) DaysUntilFull() float64 {
	left := u.Free
	if u.MaxBytes > 0 {
		may := max(u.MaxBytes-u.Readings-u.Rollups, 0)
		if left < 0 || may < left {
			left = may
		}
	}
	if left < 0 || u.PerDay <= 0 {
		return -1
	}
	return float64(left) / float64(u.PerDay)
}
