package history

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// Compare is nil when all answers about the readings of devices (none: of all) are those that brute force finds. readings are
// what Read returned of these, and nothing of theirs may arrive meanwhile.
func Compare(ctx context.Context, api string, readings []Reading, seed uint64, devices ...iot.DeviceID) error {
	c := &comparison{ctx: ctx, api: api, readings: readings, only: only(devices), dice: rand.New(rand.NewPCG(seed, 2)), byDevice: map[iot.DeviceID][]Reading{}} //nolint:gosec // dice
	for _, r := range readings {
		c.byDevice[r.Device] = append(c.byDevice[r.Device], r)
	}
	if len(readings) == 0 {
		return errors.New("nothing is stored")
	}
	return errors.Join(c.stats(), c.export(), c.series(), c.aggregations(), c.search())
}

type comparison struct {
	ctx      context.Context
	api      string
	readings []Reading // oldest first
	only     string    // the parameter of queries, where they are not of all devices
	byDevice map[iot.DeviceID][]Reading
	dice     *rand.Rand
}

// get asks again where the answer is that the machine is busy.
func (c *comparison) get(path string, v any) error {
	return WhileBusy(c.ctx, func() error {
		_, err := get(c.ctx, c.api, path, v)
		return err
	})
}

func (c *comparison) devices() []iot.DeviceID { return slices.Sorted(maps.Keys(c.byDevice)) }

func (c *comparison) stats() error {
	var got struct {
		Total    int `json:"total_readings"`
		ByDevice []struct {
			ID    iot.DeviceID `json:"_id"`
			Count int
		} `json:"readings_by_device"`
	}
	if err := c.get("/api/readings/stats/", &got); err != nil {
		return err
	}
	if c.only == "" && (got.Total != len(c.readings) || len(got.ByDevice) != len(c.byDevice)) {
		return fmt.Errorf("stats: %d readings of %d devices, want %d of %d", got.Total, len(got.ByDevice), len(c.readings), len(c.byDevice))
	}
	count := map[iot.DeviceID]int{}
	for _, d := range got.ByDevice {
		count[d.ID] = d.Count
	}
	for device, readings := range c.byDevice {
		if count[device] != len(readings) {
			return fmt.Errorf("stats: device %d has %d, want %d", device, count[device], len(readings))
		}
	}
	return nil
}

func linesOf(readings []Reading) []string {
	lines := make([]string, len(readings))
	for i, r := range readings {
		lines[i] = r.Line
	}
	return lines
}

func (c *comparison) export() error {
	lines, err := Export(c.ctx, c.api, "?format=ndjson"+c.only)
	if err != nil {
		return err
	}
	want := linesOf(c.readings)
	if !slices.Equal(lines, want) {
		return fmt.Errorf("export: %d lines with SHA-256 %s (sorted), want %d with %s, oldest first", len(lines), sumOf(lines), len(want), sumOf(want))
	}
	return nil
}

// A chart is what the API answers about one metric of a device.
type chart struct {
	Device             iot.DeviceID `json:"device_id"`
	Metric             string
	Interval, TZ       string
	T, Count           []int64
	Sum, Avg, Min, Max []*float64
	First, Last        []*float64
	P50, P95           []*float64
}

const columns = "&agg=count,sum,avg,min,max,first,last"

// asked is what series are asked for: the range is that of all readings, cut in the middle of buckets where it says so.
var asked = []struct {
	interval, zone, more string
	cut                  bool
}{
	{interval: "15m", zone: "UTC"},
	{interval: "15m", zone: "Asia/Kathmandu", cut: true},
	{interval: "1h", zone: "UTC", more: ",p50,p95"},
	{interval: "1h", zone: "Australia/Adelaide", cut: true},
	{interval: "6h", zone: "Europe/Berlin"},
	{interval: "1d", zone: "UTC", more: ",p50,p95"},
	{interval: "1d", zone: "Europe/Berlin"},
	{interval: "1d", zone: "Australia/Lord_Howe", cut: true},
	{interval: "1w", zone: "America/New_York"},
	{interval: "1mo", zone: "UTC"},
	{interval: "1mo", zone: "Asia/Kathmandu", cut: true},
	{interval: "raw", zone: "UTC"},
	{interval: "auto&points=100", zone: "UTC"},
	{interval: "auto&points=1000", zone: "Europe/Berlin", cut: true},
}

func (c *comparison) series() error {
	first, last := c.readings[0].At, c.readings[len(c.readings)-1].At
	var errs []error
	for _, a := range asked {
		zone, err := time.LoadLocation(a.zone)
		if err != nil {
			return err
		}
		from, to := first, last+1
		if a.cut {
			from, to = from+c.dice.Int64N(to-from), to-c.dice.Int64N((to-from)/8)
			from, to = min(from, to-1), max(from, to)
		}
		for _, device := range c.devices() {
			path := fmt.Sprintf("/api/devices/%d/series/?interval=%s&tz=%s&from=%s&to=%s%s%s", device, a.interval, url.QueryEscape(a.zone), at(from), at(to), columns, a.more)
			var charts []chart
			if err := c.get(path, &charts); err != nil {
				return err
			}
			if err := c.checkCharts(device, charts, zone, from, to); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", path, err))
			}
		}
	}
	return errors.Join(errs...)
}

func at(ms int64) string {
	return url.QueryEscape(time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z"))
}

// checkCharts compares the charts of all metrics of a device.
func (c *comparison) checkCharts(device iot.DeviceID, charts []chart, zone *time.Location, from, to int64) error {
	metrics := map[string]bool{}
	for _, r := range c.byDevice[device] {
		if r.At >= from && r.At < to {
			for name := range r.Metrics {
				metrics[name] = true
			}
		}
	}
	if len(charts) != len(metrics) {
		return fmt.Errorf("series of %d metrics, want %d", len(charts), len(metrics))
	}
	for _, g := range charts {
		want, err := bucketsOf(c.byDevice[device], g.Metric, g.Interval, zone, from, to)
		if err == nil {
			err = g.check(want)
		}
		if err != nil {
			return fmt.Errorf("%s by %s: %w", g.Metric, g.Interval, err)
		}
	}
	return nil
}

func (g *chart) check(want []*bucket) error {
	if len(g.T) != len(want) || len(g.Count) != len(want) {
		return fmt.Errorf("%d buckets, want %d", len(g.T), len(want))
	}
	for i, w := range want {
		exact := func(column []*float64, v float64) bool { return column[i] != nil && same(*column[i], v) }
		ok := g.T[i] == w.start && g.Count[i] == w.count &&
			exact(g.Min, w.min) && exact(g.Max, w.max) && exact(g.First, w.first) && exact(g.Last, w.last) &&
			near(g.Sum[i], w.sum, w.magnitude) && near(g.Avg[i], w.sum/float64(w.count), w.magnitude) &&
			(g.P50 == nil || exact(g.P50, w.percentile(50)) && exact(g.P95, w.percentile(95)))
		if !ok {
			w.values = nil
			return fmt.Errorf("bucket %d: start %d, count %d, %s; want %+v", i, g.T[i], g.Count[i], g.numbers(i), *w)
		}
	}
	return nil
}

func (g *chart) numbers(i int) string {
	var b strings.Builder
	for _, column := range [][]*float64{g.Sum, g.Avg, g.Min, g.Max, g.First, g.Last} {
		if column[i] == nil {
			b.WriteString("null ")
			continue
		}
		fmt.Fprintf(&b, "%v ", *column[i])
	}
	return b.String()
}
