package transfer

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// MaxColumns is how many metrics have columns of their own.
const MaxColumns = 500

// The columns that every table has, in their order around those of metrics.
const (
	columnTimestamp  = "timestamp"
	columnDevice     = "device_id"
	columnKey        = "device_key"
	columnMetrics    = "metrics"
	columnAttributes = "attributes"
	columnSource     = "timestamp_source"
	columnSaid       = "device_timestamp"
)

// The columns before those of metrics, and behind them.
var (
	firstColumns = []string{columnTimestamp, columnDevice, columnKey, iot.Temperature, iot.Humidity}
	lastColumns  = []string{columnMetrics, columnAttributes, columnSource, columnSaid}
)

// IsColumn reports whether a metric may have a column of its own beside those that every table has.
func IsColumn(metric string) bool {
	return iot.ValidateName(metric) == nil && !slices.Contains(firstColumns, metric) && !slices.Contains(lastColumns, metric)
}

// Columns returns the metrics that are to have columns in a table of the readings that q selects, and maybe of others of
// the same days: MaxColumns at most, ascending.
func Columns(ctx context.Context, from iot.HistoryReader, q iot.ScanQuery) ([]string, error) {
	buckets := iot.BucketQuery{SampleQuery: iot.SampleQuery{Devices: q.Devices, From: q.From.Truncate(iot.Day)}, Width: iot.Day}
	if !q.To.IsZero() {
		buckets.To = iot.Ceil(q.To, iot.Day)
	}
	names := map[string]bool{}
	err := from.ReadBuckets(ctx, buckets, func(b iot.Buckets) error {
		if !names[b.Metric] && IsColumn(b.Metric) {
			if names[b.Metric] = true; len(names) == MaxColumns {
				return errEnough
			}
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, err
	}
	return slices.Sorted(maps.Keys(names)), nil
}

var errEnough = errors.New("there are as many columns as a table may have")

// places are the columns of metrics by name.
func places(columns []string, first int) map[string]int {
	places := make(map[string]int, len(columns)+2)
	places[iot.Temperature], places[iot.Humidity] = first-2, first-1
	for i, name := range columns {
		places[name] = first + i
	}
	return places
}
