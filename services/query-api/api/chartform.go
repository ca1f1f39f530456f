package api

import (
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/rollup"
	"github.com/telltale-iot/telltale/services/query-api/series"
)

const (
	defaultPoints = 1000           // of a series, where the client does not say
	defaultRange  = 24 * time.Hour // of a chart, likewise: the last day

	msgBefore = "It must be before `to`, which is now where it is not given."
	msgAfter  = "It must be after `from`."
	msgZone   = "Select a valid choice. %s is not one of the available choices. They are UTC and the zones of the IANA, such as Europe/Berlin."
	msgEither = "Give this or `from`, not both."
)

// chartForm is what a client asks of a chart, and how it is written.
type chartForm struct {
	series.Query
	columns  []*column
	previous bool // an empty bucket has the numbers of the one before it
	keys     map[iot.DeviceID]string
}

// column is a list of numbers in a series: one for each point.
type column struct {
	name    string
	percent int // where it is a percentile; else value says what it is
	value   func(iot.Bucket) float64
}

// columns are those that can be asked for. The count is always there.
var columns = []column{
	{name: "count"},
	{name: "sum", value: func(b iot.Bucket) float64 { return b.Sum }},
	{name: "avg", value: iot.Bucket.Mean},
	{name: "min", value: func(b iot.Bucket) float64 { return b.Min }},
	{name: "max", value: func(b iot.Bucket) float64 { return b.Max }},
	{name: "first", value: func(b iot.Bucket) float64 { return b.First }},
	{name: "last", value: func(b iot.Bucket) float64 { return b.Last }},
	{name: "p50", percent: 50},
	{name: "p95", percent: 95},
	{name: "p99", percent: 99},
}

// numbers is how many numbers an answer may have.
func (f *chartForm) numbers() int {
	n := len(f.Devices) * len(f.Metrics)
	if f.Metrics == nil || !f.Auto {
		return series.MaxNumbers
	}
	return min(n*f.Points*f.Columns, series.MaxNumbers)
}

// chartForm reads what is asked of a chart, but for the devices.
func (p *params) chartForm(now time.Time) *chartForm {
	f := new(chartForm)
	f.Zone = p.zone("tz")
	f.From, f.To = p.span(now, f.Zone)
	f.Metrics = p.metrics("metric")
	f.Points = int(p.integer("points", series.MaxPoints, defaultPoints))
	f.Interval, f.Auto = p.interval("interval")
	f.columns = p.aggregates("agg")
	for _, c := range f.columns {
		if c.percent > 0 {
			f.Percents = append(f.Percents, c.percent)
		}
	}
	f.Columns = len(f.columns) + 2 // the times and the counts
	fill := p.choice("fill", "none", "null", "previous")
	f.Filled, f.previous = fill != "none", fill == "previous"
	return f
}

// span reads a range of time, which is the last day where it is not given. Times without a zone are of zone.
func (p *params) span(now time.Time, zone *time.Location) (from, to time.Time) {
	from, to = p.timeIn("from", zone), p.timeIn("to", zone)
	if p.get("to") == "" {
		to = iot.CeilMillis(now).UTC()
	}
	if p.get("from") == "" {
		from = to.Add(-defaultRange)
		if from.Before(firstTime) {
			from = firstTime
		}
	}
	if !from.Before(to) && p.errs["from"] == nil && p.errs["to"] == nil {
		p.fail("from", msgBefore)
		p.fail("to", msgAfter)
	}
	return from, to
}

// metrics reads names of metrics; nil where none is given.
func (p *params) metrics(name string) (metrics []string) {
	for _, s := range p.all(name) {
		switch {
		case !utf8.ValidString(s):
			p.fail(name, msgString)
			return nil
		case len(metrics) == series.MaxSeries:
			p.fail(name, fmt.Sprintf(msgTooMany, series.MaxSeries))
			return nil
		case !slices.Contains(metrics, s):
			metrics = append(metrics, s)
		}
	}
	return metrics
}

// zone reads the name of a time zone.
func (p *params) zone(name string) *time.Location {
	s := p.get(name)
	if s == "" {
		return time.UTC
	}
	zone, err := rollup.LoadZone(s)
	if err != nil {
		p.fail(name, fmt.Sprintf(msgZone, s))
		return time.UTC
	}
	return zone
}

// interval reads how long the buckets of a chart are, or that they are chosen for it.
func (p *params) interval(name string) (interval rollup.Interval, auto bool) {
	s := p.get(name)
	if s == "" || s == "auto" {
		return 0, true
	}
	interval, err := rollup.ParseInterval(s)
	if err != nil {
		choices := []string{"auto"}
		for i := rollup.Raw; i <= rollup.Yearly; i++ {
			choices = append(choices, i.String())
		}
		p.failChoice(name, s, choices...)
	}
	return interval, false
}

// aggregates reads which lists of numbers a series has beside its times and counts.
func (p *params) aggregates(name string) (chosen []*column) {
	names := p.all(name)
	if names == nil {
		names = []string{"avg", "min", "max"}
	}
	for _, s := range names {
		i := slices.IndexFunc(columns, func(c column) bool { return c.name == s })
		switch {
		case i < 0:
			var choices []string
			for _, c := range columns {
				choices = append(choices, c.name)
			}
			p.failChoice(name, s, choices...)
		case s != "count" && !slices.Contains(chosen, &columns[i]):
			chosen = append(chosen, &columns[i])
		}
	}
	return chosen
}

// choice reads one of several texts, the first where none is given.
func (p *params) choice(name string, choices ...string) string {
	s := p.get(name)
	if s == "" {
		return choices[0]
	}
	if !slices.Contains(choices, s) {
		p.failChoice(name, s, choices...)
	}
	return s
}
