package sqlite

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// columns are those of the table that make a reading, in the order in which appendRow and scan have them.
const columns = "timestamp, device_id, received_at, timestamp_source, temperature, humidity, metrics, attributes, origin"

// appendRow appends the columns of r, stored at the millisecond at, to dst, and moved_from.
func appendRow(dst []any, r *iot.Reading, at int64) ([]any, error) {
	var (
		temperature, humidity any
		origin, movedFrom     any
		metrics               map[string]float64
		attributes            map[string]string
	)
	for _, m := range r.Metrics {
		switch m.Name {
		case iot.Temperature:
			temperature = m.Value
		case iot.Humidity:
			humidity = m.Value
		default:
			if metrics == nil {
				metrics = make(map[string]float64, len(r.Metrics))
			}
			metrics[m.Name] = m.Value
		}
	}
	if len(r.Attributes) > 0 {
		attributes = make(map[string]string, len(r.Attributes))
		for _, a := range r.Attributes {
			attributes[a.Name] = a.Value
		}
	}
	metricsText, err := object(metrics)
	if err != nil {
		return nil, err
	}
	attributesText, err := object(attributes)
	if err != nil {
		return nil, err
	}
	if r.Origin != 0 {
		origin = int64(r.Origin)
	}
	if stamped := r.At.UnixMilli(); stamped != at {
		movedFrom = stamped
	}
	return append(dst, at, int64(r.Device), r.Received.UnixMilli(), int64(r.Stamped),
		temperature, humidity, metricsText, attributesText, origin, movedFrom), nil
}

// object returns m as a JSON object, or nil, which is NULL, where m is empty.
func object[V any](m map[string]V) (any, error) {
	if len(m) == 0 {
		return nil, nil
	}
	text, err := json.Marshal(m)
	return string(text), err
}

// scan reads the columns of a row from a *sql.Row or *sql.Rows.
func scan(from interface{ Scan(dest ...any) error }) (iot.Reading, error) {
	// Into any, values come as the driver has them, without a conversion by reflection. The table is
	// STRICT: a column has the type it is declared with, or is NULL.
	var at, device, received, stamped, temperature, humidity, metricsText, attributesText, origin any
	err := from.Scan(&at, &device, &received, &stamped, &temperature, &humidity, &metricsText, &attributesText, &origin)
	if err != nil {
		return iot.Reading{}, err
	}
	r := iot.Reading{
		Device:   iot.DeviceID(device.(int64)),
		At:       time.UnixMilli(at.(int64)).UTC(),
		Received: time.UnixMilli(received.(int64)).UTC(),
		Stamped:  iot.Stamp(stamped.(int64)),
		Metrics:  make([]iot.Metric, 0, 2),
	}
	if value, ok := origin.(int64); ok {
		r.Origin = uint64(value)
	}
	if value, ok := humidity.(float64); ok {
		r.Metrics = append(r.Metrics, iot.Metric{Name: iot.Humidity, Value: value})
	}
	if value, ok := temperature.(float64); ok {
		r.Metrics = append(r.Metrics, iot.Metric{Name: iot.Temperature, Value: value})
	}
	if text, ok := metricsText.(string); ok {
		var metrics map[string]float64
		if err := json.Unmarshal([]byte(text), &metrics); err != nil {
			return r, fmt.Errorf("metrics of device %v at %v: %w", r.Device, r.At, err)
		}
		for name, value := range metrics {
			r.Metrics = append(r.Metrics, iot.Metric{Name: name, Value: value})
		}
		slices.SortFunc(r.Metrics, func(a, b iot.Metric) int { return strings.Compare(a.Name, b.Name) })
	}
	if text, ok := attributesText.(string); ok {
		var attributes map[string]string
		if err := json.Unmarshal([]byte(text), &attributes); err != nil {
			return r, fmt.Errorf("attributes of device %v at %v: %w", r.Device, r.At, err)
		}
		for name, value := range attributes {
			r.Attributes = append(r.Attributes, iot.Attribute{Name: name, Value: value})
		}
		slices.SortFunc(r.Attributes, func(a, b iot.Attribute) int { return strings.Compare(a.Name, b.Name) })
	}
	return r, nil
}
