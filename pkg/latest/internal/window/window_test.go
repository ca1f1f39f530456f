package window

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
)

var base = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// reading returns the nth reading of a device, which has one metric.
func reading(n int, name string) iot.Reading {
	at := base.Add(time.Duration(n) * time.Second)
	return iot.Reading{Device: 1, At: at, Received: at, Metrics: []iot.Metric{{Name: name, Value: float64(n)}}}
}

// fill adds n readings, each with a metric of its own.
func fill(w *Window, n int, attributes ...iot.Attribute) {
	for i := range n {
		r := reading(i, fmt.Sprintf("m%04d", i))
		r.Attributes = attributes
		w.Add(r, time.Hour)
	}
}

// TestBounds: what a device can make a window hold is bounded, and it is the oldest that is forgotten.
func TestBounds(t *testing.T) {
	check := func(t *testing.T, w *Window, want int) {
		t.Helper()
		if len(w.Readings) != want {
			t.Errorf("%d readings, want %d", len(w.Readings), want)
		}
		latest := w.Latest()
		latest.Received = latest.At
		if err := latest.Validate(); err != nil {
			t.Error(err)
		}
	}
	t.Run("readings", func(t *testing.T) {
		var w Window
		fill(&w, 2*maxReadings)
		check(t, &w, maxReadings)
		if _, ok := w.Latest().Metric(fmt.Sprintf("m%04d", maxReadings)); !ok {
			t.Error("it is not the oldest that were forgotten")
		}
	})
	t.Run("members", func(t *testing.T) {
		var w Window
		for n := range 4 {
			r := reading(n, "")
			r.Metrics = nil
			for i := range maxMembers / 2 {
				r.Metrics = append(r.Metrics, iot.Metric{Name: fmt.Sprintf("m%d-%04d", n, i), Value: 1})
			}
			w.Add(r, time.Hour)
		}
		check(t, &w, 2)
	})
	t.Run("bytes", func(t *testing.T) {
		var w Window
		for n := range 4 {
			r := reading(n, "m")
			r.Attributes = []iot.Attribute{{Name: fmt.Sprint("a", n), Value: strings.Repeat("x", maxContent/2-100)}}
			w.Add(r, time.Hour)
		}
		check(t, &w, 2)
	})
	t.Run("one reading has none", func(t *testing.T) {
		var w Window
		for n := range 2 {
			r := reading(n, "m")
			r.Attributes = []iot.Attribute{{Name: fmt.Sprint("a", n), Value: strings.Repeat("x", 2*maxContent)}}
			w.Add(r, time.Hour)
		}
		check(t, &w, 1)
		if a := w.Latest().Attributes; len(a) != 1 || a[0].Name != "a1" {
			t.Errorf("%d attributes", len(a))
		}
	})
	t.Run("repetitions of one moment", func(t *testing.T) {
		var w Window
		for n := range 2 * maxReadings {
			r := reading(0, "m")
			r.Received = base.Add(time.Duration(n) * time.Millisecond)
			w.Add(r, time.Hour)
		}
		check(t, &w, maxReadings)
		w.Add(reading(1, "m"), time.Hour)
		check(t, &w, 1)
	})
}

// BenchmarkAdd adds and looks at the next reading of a device that sends all its values together, and of one that sends
// 20 by themselves.
func BenchmarkAdd(b *testing.B) {
	for _, metrics := range []int{1, 20} {
		b.Run(fmt.Sprint(metrics), func(b *testing.B) {
			var w Window
			names := make([]string, metrics)
			for i := range names {
				names[i] = fmt.Sprint("m", i)
			}
			r := reading(0, "")
			for i := 0; b.Loop(); i++ {
				r.Metrics = []iot.Metric{{Name: names[i%metrics], Value: 1}}
				r.At = r.At.Add(time.Second)
				r.Received = r.At
				w.Add(r, time.Hour)
				_ = w.Latest()
			}
		})
	}
}
