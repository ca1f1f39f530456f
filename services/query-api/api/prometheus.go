package api

import (
	"context"
	"errors"
	"fmt"
	"math"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/readingjson"
	"github.com/telltale-iot/telltale/services/query-api/promql"
	"github.com/telltale-iot/telltale/services/query-api/scope"
)

// Prometheus' HTTP API, as far as Grafana's data source asks for it, under a prefix of our own.
const prometheusPrefix = "/api/prometheus/api/v1/"

// prometheus answers in the form of Prometheus: errors too.
func (a *API) prometheus(h handler) handler {
	return func(ctx context.Context, r *request) (*answer, error) {
		answered, err := a.prometheusAnswer(ctx, r, h)
		var refused *promql.Error
		switch {
		case err == nil:
			return answered, nil
		case errors.As(err, &refused):
			return encodeAny(http.StatusBadRequest, prometheusError{"error", "bad_data", refused.Message})
		case errors.Is(err, context.Canceled) && r.Request().Context().Err() != nil:
			return nil, err
		}
		p := a.problemOf(err, r.Context)
		kind := map[int]string{http.StatusServiceUnavailable: "unavailable", http.StatusBadRequest: "bad_data", http.StatusUnsupportedMediaType: "bad_data"}[p.status]
		if errors.Is(err, context.DeadlineExceeded) {
			kind = "timeout"
		}
		if p.retryAfter > 0 {
			r.Response().Header().Set(echo.HeaderRetryAfter, strconv.Itoa(p.retryAfter))
		}
		return encodeAny(p.status, prometheusError{"error", kind, p.detail})
	}
}

func (a *API) prometheusAnswer(ctx context.Context, r *request, h handler) (*answer, error) {
	if err := r.formParams(); err != nil {
		return nil, err
	}
	release, err := take(ctx, a.limits.prometheus, 1)
	if err != nil {
		return nil, err
	}
	defer release()
	return h(ctx, r)
}

type prometheusError struct {
	Status string `json:"status"`
	Type   string `json:"errorType"`
	Error  string `json:"error"`
}

// formParams adds the fields of a form in the body to the parameters. Clients send some that are for Prometheus itself: none
// counts as unknown.
func (r *request) formParams() error {
	defer func() {
		for _, q := range r.query.pairs {
			r.query.asked = append(r.query.asked, q.name)
		}
	}()
	if r.Request().Method != http.MethodPost || len(r.body) == 0 {
		return nil
	}
	contentType := r.Request().Header.Get(echo.HeaderContentType)
	if mediaType, _, _ := mime.ParseMediaType(contentType); mediaType != echo.MIMEApplicationForm {
		return &problem{status: http.StatusUnsupportedMediaType, detail: fmt.Sprintf("Unsupported media type \"%.100s\" in request.", contentType)}
	}
	r.query.pairs = append(r.query.pairs, readPairs(string(r.body))...)
	return nil
}

// promStore is what package promql asks.
func promStore(r *request) promql.Store {
	return struct {
		iot.HistoryReader
		scope.Metadata
	}{r.Readings, r.Metadata}
}

func (a *API) promQuery(ctx context.Context, r *request) (*answer, error) {
	at, err := r.query.promTime("time", time.Now())
	if err != nil {
		return nil, err
	}
	result, err := promql.Query(ctx, promStore(r), r.query.get("query"), promql.Range{From: at, To: at, Step: time.Millisecond})
	if err != nil {
		return nil, err
	}
	return encode(http.StatusOK, result, func(dst []byte, result *promql.Result) []byte {
		if result.IsNumber {
			dst = append(dst, `{"status":"success","data":{"resultType":"scalar","result":`...)
			return append(appendPoint(dst, at, result.Number), `}}`...)
		}
		dst = append(dst, `{"status":"success","data":{"resultType":"vector","result":[`...)
		empty := true
		for _, s := range result.Series {
			if math.IsNaN(s.Values[0]) {
				continue
			}
			dst = appendMetric(dst, s, empty)
			dst = append(appendPoint(append(dst, `,"value":`...), at, s.Values[0]), '}')
			empty = false
		}
		return appendWarnings(append(dst, `]}`...), result)
	}), nil
}

func (a *API) promQueryRange(ctx context.Context, r *request) (*answer, error) {
	times, err := r.query.promRange()
	if err != nil {
		return nil, err
	}
	result, err := promql.Query(ctx, promStore(r), r.query.get("query"), times)
	if err != nil {
		return nil, err
	}
	if result.IsNumber {
		result.Series = []promql.Series{{Values: slices.Repeat([]float64{result.Number}, times.Steps())}}
	}
	return encode(http.StatusOK, result, func(dst []byte, result *promql.Result) []byte {
		dst = append(dst, `{"status":"success","data":{"resultType":"matrix","result":[`...)
		empty := true
		for _, s := range result.Series {
			if !slices.ContainsFunc(s.Values, func(v float64) bool { return !math.IsNaN(v) }) {
				continue
			}
			dst = append(appendMetric(dst, s, empty), `,"values":[`...)
			first := true
			for i, v := range s.Values {
				if math.IsNaN(v) {
					continue
				}
				if !first {
					dst = append(dst, ',')
				}
				dst, first = appendPoint(dst, times.From.Add(time.Duration(i)*times.Step), v), false
			}
			dst, empty = append(dst, `]}`...), false
		}
		return appendWarnings(append(dst, `]}`...), result)
	}), nil
}

// appendMetric begins a series with its labels.
func appendMetric(dst []byte, s promql.Series, first bool) []byte {
	if !first {
		dst = append(dst, ',')
	}
	return appendLabels(append(dst, `{"metric":`...), s)
}

func appendLabels(dst []byte, s promql.Series) []byte {
	dst = append(dst, '{')
	for i, l := range s.Labels {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = readingjson.AppendString(append(readingjson.AppendString(dst, l.Name), ':'), l.Value)
	}
	return append(dst, '}')
}

func appendPoint(dst []byte, at time.Time, v float64) []byte {
	dst = strconv.AppendFloat(append(dst, '['), float64(at.UnixMilli())/1000, 'f', -1, 64)
	dst = strconv.AppendFloat(append(dst, `,"`...), v, 'f', -1, 64)
	return append(dst, `"]`...)
}

func appendWarnings(dst []byte, result *promql.Result) []byte {
	if len(result.Warnings) > 0 {
		dst = appendList(append(dst, `,"warnings":`...), result.Warnings, readingjson.AppendString)
	}
	return append(dst, '}')
}

func (a *API) promSeries(ctx context.Context, r *request) (*answer, error) {
	if !slices.ContainsFunc(r.query.pairs, func(q param) bool { return q.name == "match[]" }) {
		return nil, &promql.Error{Message: "no match[] parameter provided"}
	}
	found, err := a.findSeries(ctx, r)
	if err != nil {
		return nil, err
	}
	return encode(http.StatusOK, found, func(dst []byte, found []promql.Series) []byte {
		dst = appendList(append(dst, `{"status":"success","data":`...), found, appendLabels)
		return append(dst, '}')
	}), nil
}

// findSeries finds what match[] selects; without one, all.
func (a *API) findSeries(ctx context.Context, r *request) ([]promql.Series, error) {
	to, err := r.query.promTime("end", time.Now())
	if err != nil {
		return nil, err
	}
	if _, err := r.query.promTime("start", to); err != nil {
		return nil, err
	}
	selectors, err := promql.ParseSelectors(r.query.every("match[]")...)
	if err != nil {
		return nil, err
	}
	if selectors == nil {
		selectors = []promql.Selector{{}}
	}
	if now := time.Now(); to.After(now) {
		to = now
	}
	return promql.Find(ctx, promStore(r), selectors, to)
}

func (a *API) promLabels(context.Context, *request) (*answer, error) {
	return encodeAny(http.StatusOK, prometheusData{"success", promql.LabelNames()})
}

func (a *API) promLabelValues(ctx context.Context, r *request) (*answer, error) {
	found, err := a.findSeries(ctx, r)
	if err != nil {
		return nil, err
	}
	return encodeAny(http.StatusOK, prometheusData{"success", promql.Values(found, r.Param("label"))})
}

// promMetadata says that all metrics are gauges.
func (a *API) promMetadata(ctx context.Context, r *request) (*answer, error) {
	found, err := a.findSeries(ctx, r)
	if err != nil {
		return nil, err
	}
	type meta struct {
		Type string `json:"type"`
		Help string `json:"help"`
		Unit string `json:"unit"`
	}
	metrics := map[string][]meta{}
	for _, name := range promql.Values(found, "__name__") {
		if metric := r.query.get("metric"); metric == "" || metric == name {
			metrics[name] = []meta{{Type: "gauge"}}
		}
	}
	return encodeAny(http.StatusOK, prometheusData{"success", metrics})
}

// promBuildInfo says whose API it is like: of the first version that takes any name of a metric.
func (a *API) promBuildInfo(context.Context, *request) (*answer, error) {
	return encodeAny(http.StatusOK, prometheusData{"success", map[string]string{"application": "Telltale", "version": "3.0.0"}})
}

type prometheusData struct {
	Status string `json:"status"`
	Data   any    `json:"data"`
}

// promTime reads a time: seconds since 1970 with a fraction, or as elsewhere.
func (p *params) promTime(name string, otherwise time.Time) (time.Time, error) {
	s := p.get(name)
	if s == "" {
		return otherwise.Truncate(time.Millisecond), nil
	}
	if n, err := strconv.ParseFloat(s, 64); err == nil && !math.IsNaN(n) {
		n = min(max(n, -maxUnix), maxUnix) // clients send the first and the last second that they know
		return time.UnixMilli(int64(math.Round(n * 1000))).UTC(), nil
	}
	if t, ok := parseTime(s, time.UTC); ok {
		return t.Truncate(time.Millisecond), nil
	}
	return time.Time{}, &promql.Error{Message: fmt.Sprintf("invalid parameter %q: cannot parse %.40q to a valid timestamp", name, s)}
}

// maxUnix is the last second of the year 9999: beyond any reading.
const maxUnix = 253402300799

// promRange reads at which times to answer a query.
func (p *params) promRange() (r promql.Range, err error) {
	if r.From, err = p.promTime("start", time.Time{}); err != nil {
		return r, err
	}
	if r.To, err = p.promTime("end", time.Time{}); err != nil {
		return r, err
	}
	var ok bool
	if r.Step, ok = promql.ParseDuration(p.get("step")); !ok || r.Step <= 0 {
		return r, &promql.Error{Message: `invalid parameter "step": a positive number of seconds or a duration is needed`}
	}
	switch {
	case p.get("start") == "" || p.get("end") == "":
		return r, &promql.Error{Message: `parameters "start" and "end" are needed`}
	case r.To.Before(r.From):
		return r, &promql.Error{Message: `invalid parameter "end": end timestamp must not be before start time`}
	case r.To.Sub(r.From)/r.Step >= promql.MaxSteps:
		return r, &promql.Error{Message: fmt.Sprintf("exceeded maximum resolution of %d points per timeseries. Try decreasing the query resolution (?step=XX)", promql.MaxSteps)}
	}
	return r, nil
}
