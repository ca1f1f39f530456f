package promql

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// labelsOf returns the labels of a series.
func labelsOf(metric string, d iot.Device) []Label {
	labels := []Label{{nameLabel, metric}, {deviceLabel, d.ID.String()}}
	if d.Name != "" {
		labels = append(labels, Label{titleLabel, d.Name})
	}
	return labels
}

// matches reports whether s selects the metrics of a device.
func (s Selector) matches(metric string, d iot.Device) bool {
	series := Series{Labels: labelsOf(metric, d)}
	return !slices.ContainsFunc(s.matchers, func(m matcher) bool { return !m.match(series.label(m.label)) })
}

// devicesOf returns the devices that s selects, ascending by id: registered ones, and those that it names by id.
func devicesOf(ctx context.Context, store Store, s Selector) ([]iot.Device, error) {
	named, ok := s.named()
	if !ok {
		return registered(ctx, store, s)
	}
	var devices []iot.Device
	for _, id := range named {
		d, err := store.Device(ctx, id)
		if errors.Is(err, iot.ErrNotFound) {
			d, err = iot.Device{ID: id}, nil // its readings outlive it
		}
		if err != nil {
			return nil, err
		}
		if s.matches(s.Metric, d) {
			devices = append(devices, d)
		}
	}
	return devices, nil
}

// maxNamed is how many devices are looked up one by one.
const maxNamed = 100

// named returns the devices that a matcher of s is for, where one says which.
func (s Selector) named() (ids []iot.DeviceID, ok bool) {
	for _, m := range s.matchers {
		if m.label != deviceLabel || m.not {
			continue
		}
		list := m.value
		if m.pattern != nil { // as Grafana makes one of several devices: (1|2|3)
			list = strings.TrimSuffix(strings.TrimPrefix(list, "("), ")")
		}
		for text := range strings.SplitSeq(list, "|") {
			if id, err := iot.ParseDeviceID(text); err == nil && id.String() == text {
				ids = append(ids, id)
			} else if m.pattern != nil {
				return nil, false
			}
		}
		slices.Sort(ids)
		ids = slices.Compact(ids)
		return ids, len(ids) <= maxNamed
	}
	return nil, false
}

func registered(ctx context.Context, store Store, s Selector) (devices []iot.Device, err error) {
	for q := (iot.DeviceQuery{Limit: iot.MaxPage}); ; {
		page, err := store.Devices(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, d := range page {
			if ctx.Err() != nil { // matching takes long too
				return nil, ctx.Err()
			}
			if s.matches(s.Metric, d) {
				devices = append(devices, d)
			}
		}
		if len(page) < q.Limit {
			return devices, nil
		}
		q.After = page[len(page)-1].ID
	}
}

// recent is how far back from the beginning of a range's last day, of UTC, metrics are looked for.
const recent = iot.Day

// maxSeries is how many series are listed.
const maxSeries = 10_000

// Find lists series that any of the selectors selects, by device and metric: those with values lately, seen from to.
func Find(ctx context.Context, store Store, selectors []Selector, to time.Time) ([]Series, error) {
	var found []Series
	for _, s := range selectors {
		devices, err := devicesOf(ctx, store, s)
		if err != nil {
			return nil, err
		}
		if len(devices) == 0 {
			continue
		}
		q := iot.BucketQuery{Width: iot.Day}
		q.To = iot.Ceil(to, iot.Day)
		q.From = q.To.Add(-iot.Day - recent)
		byID := make(map[iot.DeviceID]iot.Device, len(devices))
		for _, d := range devices {
			byID[d.ID] = d
		}
		if _, ok := s.named(); ok {
			for _, d := range devices {
				q.Devices = append(q.Devices, d.ID)
			}
		}
		if s.Metric != "" {
			q.Metrics = []string{s.Metric}
		}
		seen := map[Label]bool{}
		err = store.ReadBuckets(ctx, q, func(b iot.Buckets) error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			d, ok := byID[b.Device]
			key := Label{b.Metric, b.Device.String()}
			if !ok || seen[key] || !s.matches(b.Metric, d) {
				return nil
			}
			if seen[key] = true; len(found) == maxSeries {
				return refuse("there are more than %d such series", maxSeries)
			}
			found = append(found, Series{Labels: labelsOf(b.Metric, d)})
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(found, func(a, b Series) int { return slices.CompareFunc(a.Labels, b.Labels, compareLabels) })
	return slices.CompactFunc(found, func(a, b Series) bool { return slices.Equal(a.Labels, b.Labels) }), nil
}

func compareLabels(a, b Label) int {
	if c := strings.Compare(a.Name, b.Name); c != 0 {
		return c
	}
	return strings.Compare(a.Value, b.Value)
}

// Values returns the values that a label has among series, ascending.
func Values(series []Series, label string) []string {
	values := []string{}
	for i := range series {
		if value := series[i].label(label); value != "" {
			values = append(values, value)
		}
	}
	slices.Sort(values)
	return slices.Compact(values)
}

// LabelNames are the names of all labels.
func LabelNames() []string { return []string{nameLabel, deviceLabel, titleLabel} }
