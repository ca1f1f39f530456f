package history

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/telltale-iot/telltale/pkg/iot"
)

type aggregate struct {
	Avg, Min, Max *float64
	Count         int64
}

func (a aggregate) check(values []Reading, metric string) error {
	var b bucket
	for _, r := range values {
		if v, ok := r.Metrics[metric]; ok {
			b.add(v)
		}
	}
	switch {
	case a.Count != b.count:
		return fmt.Errorf("%s: count %d, want %d", metric, a.Count, b.count)
	case b.count == 0:
		return nil
	case !same(*a.Min, b.min) || !same(*a.Max, b.max) || !near(a.Avg, b.sum/float64(b.count), b.magnitude):
		return fmt.Errorf("%s: min %v, max %v, avg %v, want %v, %v, %v", metric, *a.Min, *a.Max, *a.Avg, b.min, b.max, b.sum/float64(b.count))
	}
	return nil
}

// aggregations compares those of all readings, and of a range that cuts quarters of an hour.
func (c *comparison) aggregations() error {
	first, last := c.readings[0].At, c.readings[len(c.readings)-1].At
	middle := c.readings[len(c.readings)/2].At
	return errors.Join(c.aggregated(first, last+1), c.aggregated(first+(middle-first)/2, middle))
}

func (c *comparison) aggregated(from, to int64) error {
	var got struct {
		Total                 int `json:"total_documents"`
		Temperature, Humidity aggregate
		ByDevice              []struct {
			Device iot.DeviceID `json:"device_id"`
			Count  int
		} `json:"by_device"`
		Distribution []struct {
			From, To float64
			Count    int
		} `json:"temperature_distribution"`
		Approximate bool
	}
	path := fmt.Sprintf("/api/readings/aggregations/?from=%s&to=%s%s", at(from), at(to), c.only)
	if err := c.get(path, &got); err != nil {
		return err
	}
	in := slices.DeleteFunc(slices.Clone(c.readings), func(r Reading) bool { return r.At < from || r.At >= to })
	count := map[iot.DeviceID]int{}
	for _, r := range in {
		count[r.Device]++
	}
	err := errors.Join(got.Temperature.check(in, iot.Temperature), got.Humidity.check(in, iot.Humidity))
	if got.Total != len(in) || len(got.ByDevice) != len(count) || got.Approximate {
		err = errors.Join(err, fmt.Errorf("%d readings of %d devices, want %d of %d; approximate: %v", got.Total, len(got.ByDevice), len(in), len(count), got.Approximate))
	}
	for _, d := range got.ByDevice {
		if d.Count != count[d.Device] {
			err = errors.Join(err, fmt.Errorf("device %d has %d, want %d", d.Device, d.Count, count[d.Device]))
		}
	}
	for _, d := range got.Distribution {
		n := 0
		for _, r := range in {
			if v, ok := r.Metrics[iot.Temperature]; ok && v >= d.From && v < d.To {
				n++
			}
		}
		if d.Count != n {
			err = errors.Join(err, fmt.Errorf("%d temperatures from %v to %v, want %d", d.Count, d.From, d.To, n))
		}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// searches are queries, and which readings they mean.
var searches = []struct {
	query string
	means func(Reading) bool
}{
	{"temperature:>20.5", func(r Reading) bool { v, ok := r.Metrics[iot.Temperature]; return ok && v > 20.5 }},
	{"temperature:19..20 AND room:LAB", func(r Reading) bool {
		v, ok := r.Metrics[iot.Temperature]
		return ok && v >= 19 && v <= 20 && strings.EqualFold(r.Attributes["room"], "lab")
	}},
	{"pressure:* -site:south", func(r Reading) bool { _, ok := r.Metrics["pressure"]; return ok && r.Attributes["site"] != "south" }},
	{`"` + odd + `":>1e300`, func(r Reading) bool { return r.Metrics[odd] > 1e300 }},
	{"noise:<0 OR firmware:1.3", func(r Reading) bool { return r.Metrics["noise"] < 0 || r.Attributes[attributed] == "1.3" }},
}

type found struct {
	Total    int
	Results  []Reading
	Complete bool
}

func (c *comparison) search() error {
	var errs []error
	for _, s := range searches {
		got, err := readPages(c.ctx, c.api, "/api/readings/search/?limit=10000&q="+url.QueryEscape(s.query)+c.only, func(f found) []Reading { return f.Results })
		if err != nil {
			return err
		}
		var want []Reading
		for _, r := range c.readings {
			if s.means(r) {
				want = append(want, r)
			}
		}
		if !slices.Equal(linesOf(got), linesOf(want)) {
			errs = append(errs, fmt.Errorf("search for %s: %d readings, want %d", s.query, len(got), len(want)))
		}
	}
	return errors.Join(errs...)
}
