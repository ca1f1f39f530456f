package api

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/readingjson"
	"github.com/telltale-iot/telltale/pkg/rollup"
	"github.com/telltale-iot/telltale/services/query-api/series"
)

func (a *API) getSeries(ctx context.Context, r *request) (*answer, error) {
	devices := r.query.devices("device_id")
	if devices == nil && r.query.errs["device_id"] == nil {
		r.query.fail("device_id", msgRequired)
	}
	return a.chart(ctx, r, devices)
}

// getDeviceSeries does not ask whether the device is registered: its readings outlive it.
func (a *API) getDeviceSeries(ctx context.Context, r *request) (*answer, error) {
	device, err := a.device(ctx, r)
	if err != nil {
		return nil, err
	}
	return a.chart(ctx, r, []iot.DeviceID{device.ID})
}

// chart answers with the series that r selects.
func (a *API) chart(ctx context.Context, r *request, devices []iot.DeviceID) (*answer, error) {
	form := r.query.chartForm(time.Now())
	if err := r.query.err(); err != nil {
		return nil, err
	}
	form.Devices = devices
	release, err := a.limits.charts.take(ctx, form.numbers())
	if err != nil {
		return nil, err
	}
	defer release()
	all, err := a.seriesReader(r.Readings).Read(ctx, form.Query)
	if err != nil {
		return nil, historyProblem(ctx, err)
	}
	form.keys = a.deviceKeys(ctx, r, devices)
	if len(devices) == 1 && len(form.Metrics) == 1 {
		return encode(http.StatusOK, all[0], form.append), nil
	}
	return encodeList(all, 0, form.append), nil
}

func (a *API) seriesReader(store iot.HistoryReader) *series.Reader {
	return &series.Reader{Store: history{store}, Admit: func(ctx context.Context, values int64) (func(), error) {
		return a.limits.values.take(ctx, int(values))
	}}
}

// append appends a series as a JSON object, with a list for each column.
func (f *chartForm) append(dst []byte, s *series.Series) []byte {
	dst = appendCharted(dst, s.Device, f.keys)
	dst = readingjson.AppendString(append(dst, `,"metric":`...), s.Metric)
	dst = appendTime(append(dst, `,"from":`...), f.From)
	dst = appendTime(append(dst, `,"to":`...), f.To)
	dst = readingjson.AppendString(append(dst, `,"interval":`...), s.Interval.String())
	dst = readingjson.AppendString(append(dst, `,"tz":`...), f.Zone.String())
	dst = readingjson.AppendString(append(dst, `,"source":`...), s.Source)

	points := f.points(s)
	dst = appendColumn(dst, "t", points, func(dst []byte, p point) []byte { return strconv.AppendInt(dst, p.start, 10) })
	dst = appendColumn(dst, "count", points, func(dst []byte, p point) []byte {
		if p.empty {
			return append(dst, '0')
		}
		return strconv.AppendInt(dst, s.Buckets[p.bucket].Count, 10)
	})
	percentiles := s.Percentiles
	for _, c := range f.columns {
		var numbers []float64
		if c.percent > 0 {
			numbers, percentiles = percentiles[0], percentiles[1:]
		}
		dst = appendColumn(dst, c.name, points, func(dst []byte, p point) []byte {
			switch {
			case p.bucket < 0:
				return append(dst, "null"...)
			case c.percent > 0:
				return readingjson.AppendNumber(dst, numbers[p.bucket])
			default:
				return readingjson.AppendNumber(dst, c.value(s.Buckets[p.bucket]))
			}
		})
	}
	return append(dst, '}')
}

func appendColumn(dst []byte, name string, points []point, number func([]byte, point) []byte) []byte {
	dst = append(dst, `,"`...)
	dst = append(dst, name...)
	dst = append(dst, `":[`...)
	for i, p := range points {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = number(dst, p)
	}
	return append(dst, ']')
}

// point is a bucket in an answer.
type point struct {
	start  int64
	bucket int  // of the series, whose numbers it has; -1: none
	empty  bool // it has no values of its own
}

// points are the buckets of a series that are answered: those with values, or where empty ones are filled all in the range.
func (f *chartForm) points(s *series.Series) []point {
	if !f.Filled || s.Interval == rollup.Raw {
		points := make([]point, len(s.Buckets))
		for i, b := range s.Buckets {
			points[i] = point{start: b.Start, bucket: i}
		}
		return points
	}
	starts := f.Starts(s.Interval)
	points := make([]point, len(starts))
	next := 0
	for i, start := range starts {
		p := point{start: start, bucket: -1, empty: true}
		switch {
		case next < len(s.Buckets) && s.Buckets[next].Start == start:
			p.bucket, p.empty = next, false
			next++
		case f.previous:
			p.bucket = next - 1
		}
		points[i] = p
	}
	return points
}
