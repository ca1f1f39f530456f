package iot_test

import (
	"testing"

	"github.com/telltale-iot/telltale/pkg/iot"
)

func TestDaysUntilFull(t *testing.T) {
	for _, c := range []struct {
		usage iot.Usage
		want  float64
	}{
		{iot.Usage{Free: 100, PerDay: 10}, 10},
		{iot.Usage{Free: -1, PerDay: 10}, -1},
		{iot.Usage{Free: 100, PerDay: -1}, -1},
		{iot.Usage{Free: 100, PerDay: 0}, -1},
		{iot.Usage{Free: 100, PerDay: 10, Readings: 30, Rollups: 10, MaxBytes: 60}, 2},
		{iot.Usage{Free: 10, PerDay: 10, Readings: 30, MaxBytes: 60}, 1},
		{iot.Usage{Free: -1, PerDay: 10, Readings: 50, MaxBytes: 60}, 1},
		{iot.Usage{Free: 100, PerDay: 10, Readings: 70, MaxBytes: 60}, 0},
	} {
		if got := c.usage.DaysUntilFull(); got != c.want {
			t.Errorf("%+v: %v, want %v", c.usage, got, c.want)
		}
	}
}
