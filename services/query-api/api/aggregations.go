package api

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/readingjson"
	"github.com/telltale-iot/telltale/services/query-api/series"
)

// getAggregations answers with what all temperatures and humidities in a range come to.
func (a *API) getAggregations(ctx context.Context, r *request) (*answer, error) {
	start := time.Now()
	devices := r.query.devices("device_id")
	from, to := r.query.rangeOrSpan(start)
	if err := r.query.err(); err != nil {
		return nil, err
	}
	release, err := a.limits.charts.take(ctx, series.MaxNumbers) // nobody knows of how many devices it is
	if err != nil {
		return nil, err
	}
	defer release()
	all, err := a.seriesReader(r.Readings).Aggregate(ctx, devices, from, to)
	if err != nil {
		return nil, historyProblem(ctx, err)
	}
	ids := make([]iot.DeviceID, len(all.Devices))
	for i, d := range all.Devices {
		ids[i] = d.Device
	}
	keys := a.deviceKeys(ctx, r, ids)
	return encode(http.StatusOK, all, func(dst []byte, all *series.Aggregates) []byte {
		dst = appendAggregates(dst, all, keys)
		dst = strconv.AppendInt(append(dst, `,"query_time_ms":`...), time.Since(start).Milliseconds(), 10)
		return append(dst, '}')
	}), nil
}

// rangeOrSpan reads a range of time by its name, or by where it begins and ends.
func (p *params) rangeOrSpan(now time.Time) (from, to time.Time) {
	from, to = p.span(now, time.UTC)
	name := p.choice("range", "24h", "1h", "7d")
	if p.get("from") == "" {
		return to.Add(-ranges[name]), to
	}
	if p.get("range") != "" {
		p.fail("range", msgEither)
	}
	return from, to
}

// appendAggregates appends all but the closing brace.
func appendAggregates(dst []byte, all *series.Aggregates, keys map[iot.DeviceID]string) []byte {
	dst = strconv.AppendInt(append(dst, `{"total_documents":`...), all.Readings, 10)
	dst = appendAggregate(append(dst, `,"temperature":`...), all.Temperature)
	dst = appendAggregate(append(dst, `,"humidity":`...), all.Humidity)
	dst = appendList(append(dst, `,"by_device":`...), all.Devices, func(dst []byte, d series.DeviceAggregates) []byte {
		dst = appendCharted(dst, d.Device, keys)
		dst = strconv.AppendInt(append(dst, `,"count":`...), d.Readings, 10)
		dst = appendMean(append(dst, `,"avg_temperature":`...), d.Temperature)
		dst = appendMean(append(dst, `,"avg_humidity":`...), d.Humidity)
		return append(dst, '}')
	})
	dst = appendList(append(dst, `,"temperature_distribution":`...), all.Temperatures.Ranges(), appendRange)
	dst = append(dst, `,"approximate":`...)
	return strconv.AppendBool(dst, all.Approximate)
}

func appendRange(dst []byte, r series.Range) []byte {
	dst = readingjson.AppendNumber(append(dst, `{"range":"`...), r.From)
	dst = readingjson.AppendNumber(append(dst, ` to `...), r.To)
	dst = readingjson.AppendNumber(append(dst, `","from":`...), r.From)
	dst = readingjson.AppendNumber(append(dst, `,"to":`...), r.To)
	dst = strconv.AppendInt(append(dst, `,"count":`...), r.Count, 10)
	return append(dst, '}')
}

// appendAggregate appends what values come to; null in place of each number where there are no values.
func appendAggregate(dst []byte, b iot.Bucket) []byte {
	dst = appendMean(append(dst, `{"avg":`...), b)
	if b.Count == 0 {
		return append(dst, `,"min":null,"max":null,"count":0}`...)
	}
	dst = readingjson.AppendNumber(append(dst, `,"min":`...), b.Min)
	dst = readingjson.AppendNumber(append(dst, `,"max":`...), b.Max)
	dst = strconv.AppendInt(append(dst, `,"count":`...), b.Count, 10)
	return append(dst, '}')
}

// appendMean appends the mean of values, null where there are none or their sum is out of range.
func appendMean(dst []byte, b iot.Bucket) []byte {
	return readingjson.AppendNumber(dst, b.Mean()) // which is no number then
}
