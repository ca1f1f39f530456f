package readingjson

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// object is the form as encoding/json reads it. Members that it does not name are passed over.
type object struct {
	Device      iot.DeviceID         `json:"device_id"`
	Temperature *float64             `json:"temperature"`
	Humidity    *float64             `json:"humidity"`
	Timestamp   time.Time            `json:"timestamp"`
	Metrics     map[string]*float64  `json:"metrics"`
	Attributes  map[string]string    `json:"attributes"`
	Source      string               `json:"timestamp_source"`
	Key         string               `json:"device_key"`
	Said        string               `json:"device_timestamp"`
	Times       map[string]time.Time `json:"times"`
}

// Parse reads what Append and AppendOnline write. The result is valid but for Received, which is zero.
// Anything else is ErrInvalid.
func Parse(data []byte) (iot.Reading, error) {
	if r, ok := parseCanonical(data); ok && validate(r) == nil {
		return r, nil
	}
	return parseAny(data)
}

// ParseWhole is Parse for what must lose nothing: text with members that the form does not have is ErrInvalid.
func ParseWhole(data []byte) (iot.Reading, error) {
	if r, ok := parseCanonical(data); ok && validate(r) == nil {
		return r, nil
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(new(object)); err != nil {
		return iot.Reading{}, fmt.Errorf("parse reading: %w: %w", iot.ErrInvalid, err)
	}
	return parseAny(data)
}

// parseAny is Parse whatever the order of the members, and the white space between them.
func parseAny(data []byte) (iot.Reading, error) {
	var o object
	if err := json.Unmarshal(data, &o); err != nil {
		return iot.Reading{}, fmt.Errorf("parse reading: %w: %w", iot.ErrInvalid, err)
	}
	r := iot.Reading{
		Device:  o.Device,
		Key:     o.Key,
		Said:    o.Said,
		At:      o.Timestamp.UTC().Truncate(time.Millisecond),
		Stamped: iot.ParseStamp(o.Source),
		Metrics: make([]iot.Metric, 0, len(o.Metrics)+2),
	}
	add := func(name string, value *float64) {
		if value != nil {
			r.Metrics = append(r.Metrics, iot.Metric{Name: name, Value: *value})
		}
	}
	add(iot.Humidity, o.Humidity)
	add(iot.Temperature, o.Temperature)
	for name, value := range o.Metrics {
		add(name, value)
	}
	slices.SortFunc(r.Metrics, func(a, b iot.Metric) int { return cmp.Compare(a.Name, b.Name) })

	for name, value := range o.Attributes {
		r.Attributes = append(r.Attributes, iot.Attribute{Name: name, Value: value})
	}
	slices.SortFunc(r.Attributes, func(a, b iot.Attribute) int { return cmp.Compare(a.Name, b.Name) })

	for name, at := range o.Times {
		r.Times = append(r.Times, iot.MemberTime{Name: name, At: at.UTC().Truncate(time.Millisecond)})
	}
	slices.SortFunc(r.Times, func(a, b iot.MemberTime) int { return cmp.Compare(a.Name, b.Name) })

	if err := validate(r); err != nil {
		return iot.Reading{}, fmt.Errorf("parse reading: %w", err)
	}
	return r, nil
}

// validate is that of a reading whose Received is not known, and whose Times are.
func validate(r iot.Reading) error {
	for i, t := range r.Times {
		if err := iot.ValidateName(t.Name); err != nil {
			return err
		}
		if i > 0 && t.Name <= r.Times[i-1].Name {
			return fmt.Errorf("time of %q out of order: %w", t.Name, iot.ErrInvalid)
		}
	}
	r.Received = r.At // any time that is valid
	return r.Validate()
}
