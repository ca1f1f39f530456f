package readingstest

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/readings"
)

func metric(name string, value float64) iot.Metric { return iot.Metric{Name: name, Value: value} }

// withMetrics returns a reading with exactly these metrics.
func withMetrics(metrics ...iot.Metric) iot.Reading {
	r := reading(1, 0, 0)
	r.Metrics = metrics
	return r
}

// withAttributes returns a reading with these attributes.
func withAttributes(attributes ...iot.Attribute) iot.Reading {
	r := reading(1, 0, 0)
	r.Attributes = attributes
	return r
}

// changed returns a reading after change.
func changed(change func(r *iot.Reading)) iot.Reading {
	r := reading(1, 0, 0)
	change(&r)
	return r
}

// strangeNames are names that mean something to some database or format, ascending.
var strangeNames = []string{
	"\x01", " ", `"`, "$", "$id", "$ref", "$set", "%", "'", "'; DROP TABLE readings; --", ".", "..", strings.Repeat(".", iot.MaxNameBytes), "0", "1.5", "<b>",
	"Temperature", `\`, "_id", "a.b", "a.b.c", "constructor", "device_id", "metrics", "null", "temperature ",
	"timestamp", strings.Repeat("x", iot.MaxNameBytes), "é", "\u2028", "温度", "\U0001f321",
}

// strangeKey is one of the longest keys there are.
var strangeKey = strangeStart + strings.Repeat("k", iot.MaxKeyBytes-len(strangeStart))

const strangeStart = `$.'"\ 0042; DROP TABLE readings -- ` + "\u2028 €\U0001f321"

var contentTests = []test{
	{"every field comes back exactly as it was stored", func(t *testing.T, store readings.Store) {
		strange := reading(1, 0, 0)
		strange.Metrics = nil
		for i, name := range strangeNames {
			strange.Metrics = append(strange.Metrics, metric(name, float64(i)))
			strange.Attributes = append(strange.Attributes, iot.Attribute{Name: name, Value: name})
		}
		var numbers []iot.Metric
		for i, value := range []float64{
			0, math.Copysign(0, -1), 1, -1, 0.1, 1.0 / 3, 20, 1e300, -1e300, 5e-324, math.MaxFloat64, 1 << 53, 1<<53 + 2,
			1 << 62, 1 << 63, -1 << 63, 1e21, 1e-7, math.Nextafter(1, 2),
		} {
			numbers = append(numbers, metric(string(rune('a'+i)), value))
		}
		for i, c := range []struct {
			name string
			r    iot.Reading
		}{
			{"legacy", reading(1, 0, 21.37)},
			{"temperature alone", withMetrics(metric(iot.Temperature, 1))},
			{"humidity alone", withMetrics(metric(iot.Humidity, 1))},
			{"neither", withMetrics(metric("pressure", 1013.25))},
			{"around the two", withMetrics(metric("a", 1), metric(iot.Humidity, 2), metric("s", 3), metric(iot.Temperature, 4), metric("z", 5))},
			{"zero below zero", withMetrics(metric(iot.Humidity, math.Copysign(0, -1)), metric(iot.Temperature, math.Copysign(0, -1)))},
			{"the greatest", withMetrics(metric(iot.Temperature, math.MaxFloat64))},
			{"a great integer", withMetrics(metric(iot.Temperature, 1<<53+2))},
			{"numbers", withMetrics(numbers...)},
			{"strange names", strange},
			{"an empty text", withAttributes(iot.Attribute{Name: "a", Value: ""})},
			{"strange texts", withAttributes(iot.Attribute{Name: "a", Value: "\x00\n\"'\\ \u2028 €\U0001f321"}, iot.Attribute{Name: "b", Value: "null"})},
			{"names of the fields", withAttributes(iot.Attribute{Name: iot.Humidity, Value: "wet"}, iot.Attribute{Name: iot.Temperature, Value: "warm"})},
			{"stamped by server", changed(func(r *iot.Reading) { r.Stamped = iot.StampServer })},
			{"stamped by nobody", changed(func(r *iot.Reading) { r.Stamped = iot.StampUnknown })},
			{"the last device", changed(func(r *iot.Reading) { r.Device = iot.MaxDeviceID })},
			{"the first time", changed(func(r *iot.Reading) { r.At = time.UnixMilli(0).UTC() })},
			{"the last time", changed(func(r *iot.Reading) { r.At = time.Date(9999, 12, 31, 23, 59, 59, 999e6, time.UTC) })},
			{"received before At", changed(func(r *iot.Reading) { r.Received = r.At.Add(-5 * time.Minute) })},
			{"with a key", changed(func(r *iot.Reading) { r.Key, r.Device = "kitchen-1", iot.KeyID("kitchen-1") })},
			{"with a strange key", changed(func(r *iot.Reading) { r.Key, r.Device = strangeKey, iot.KeyID(strangeKey) })},
			{"with a time that was replaced", changed(func(r *iot.Reading) { r.Stamped, r.Said = iot.StampServer, "noon" })},
			{"with a strange time", changed(func(r *iot.Reading) { r.Stamped, r.Said = iot.StampServer, "\x00\n\"'\\ \u2028 €\U0001f321" })},
			{"many metrics", changed(manyMetrics)},
		} {
			t.Run(c.name, func(t *testing.T) {
				r := c.r
				if r.Device == 1 {
					r.Device += iot.DeviceID(i) // a place of its own
				}
				if err := r.Validate(); err != nil {
					t.Fatal(err)
				}
				wantInserted(t, insert(t, store, r), iot.Inserted{New: 1})
				wantInserted(t, insert(t, store, r), iot.Inserted{Duplicates: 1})
				found := find(t, store, iot.ReadingQuery{Devices: []iot.DeviceID{r.Device}, From: r.At, To: r.At.Add(time.Millisecond), Limit: 10})
				wantReadings(t, found.Readings, []iot.Reading{r})
			})
		}
	}},
	{"metrics and attributes are the content and nothing else is", func(t *testing.T, store readings.Store) {
		stored := reading(1, 0, 20)
		stored.Metrics = append(stored.Metrics, metric("voltage", 3.3))
		stored.Attributes = []iot.Attribute{{Name: "firmware", Value: "1.2"}, {Name: "site", Value: "roof"}}
		insert(t, store, stored)
		duplicate, conflict := iot.Inserted{Duplicates: 1}, iot.Inserted{Conflicts: []int{0}}
		for _, c := range []struct {
			name   string
			change func(r *iot.Reading)
			want   iot.Inserted
		}{
			{"received later", func(r *iot.Reading) { r.Received = r.Received.Add(time.Hour) }, duplicate},
			{"with another time that was replaced", func(r *iot.Reading) { r.Said = "noon" }, duplicate},
			{"stamped by another", func(r *iot.Reading) { r.Stamped = iot.StampServer }, duplicate},
			{"a metric less", func(r *iot.Reading) { r.Metrics = r.Metrics[:2] }, duplicate},
			{"an attribute less", func(r *iot.Reading) { r.Attributes = r.Attributes[:1] }, duplicate},
			{"no attributes", func(r *iot.Reading) { r.Attributes = nil }, duplicate},
			{"another temperature", func(r *iot.Reading) { r.Metrics[1].Value = math.Nextafter(20, 21) }, conflict},
			{"another voltage", func(r *iot.Reading) { r.Metrics[2].Value = 3.4 }, conflict},
			{"another text", func(r *iot.Reading) { r.Attributes[0].Value = "1.3" }, conflict},
		} {
			t.Run(c.name, func(t *testing.T) {
				r := stored
				r.Metrics = append([]iot.Metric(nil), stored.Metrics...)
				r.Attributes = append([]iot.Attribute(nil), stored.Attributes...)
				c.change(&r)
				wantInserted(t, insert(t, store, r), c.want)
			})
		}
		wantStored(t, store, stored)
	}},
}

// manyMetrics gives r far more metrics than any device has.
func manyMetrics(r *iot.Reading) {
	r.Metrics = nil
	for i := range 20_000 {
		name := []byte{'a', 0, 0, 0, 0}
		for j := range 4 {
			name[4-j] = byte('A' + i%26)
			i /= 26
		}
		r.Metrics = append(r.Metrics, metric(string(name), 1.5))
	}
}
