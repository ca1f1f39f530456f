package series

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/heaptest"
	"github.com/telltale-iot/telltale/pkg/iot"
)

// fleet is a store with a day of two metrics of each device after the other. Device n began n%1000 days after first.
type fleet struct {
	Store
	first   time.Time
	days    int
	devices []iot.DeviceCount
	read    int
}

// newFleet has devices of which each measures 96 times a day.
func newFleet(n, days int) *fleet {
	f := &fleet{first: time.Date(2023, 1, 1, 0, 0, 0, 0, time.UTC), days: days}
	for id := iot.DeviceID(1); int(id) <= n; id++ {
		f.devices = append(f.devices, iot.DeviceCount{Device: id, Count: int64(96 * (days - f.began(id)))})
	}
	return f
}

func (f *fleet) began(id iot.DeviceID) int { return int(id) % 1000 }

func (f *fleet) Horizon(context.Context) (time.Time, error) { return time.Time{}, nil }

func (f *fleet) ReadBuckets(_ context.Context, q iot.BucketQuery, take func(iot.Buckets) error) error {
	devices := q.Devices
	if devices == nil {
		for _, d := range f.devices {
			devices = append(devices, d.Device)
		}
	}
	for day := range f.days {
		at := f.first.AddDate(0, 0, day)
		if q.Width != iot.Day || !q.From.IsZero() && at.Before(q.From) || !q.To.IsZero() && !at.Before(q.To) {
			continue
		}
		for _, id := range devices {
			if day < f.began(id) {
				continue
			}
			for _, metric := range []string{"humidity", "temperature"} {
				f.read++
				b := iot.Bucket{Start: at.UnixMilli(), Count: 96, FirstAt: at.UnixMilli(), LastAt: at.Add(iot.Day - iot.Quarter).UnixMilli()}
				if err := take(iot.Buckets{Device: id, Metric: metric, Buckets: []iot.Bucket{b}}); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// TestOlderOfManyDevices: of 10,000 devices and three years some days of some devices are looked at, which come to about what all do.
func TestOlderOfManyDevices(t *testing.T) {
	for _, tt := range []struct {
		devices, days int
		approximate   bool
	}{{100, 365, false}, {10_000, 3 * 365, true}} {
		t.Run(fmt.Sprint(tt.devices), func(t *testing.T) {
			f := newFleet(tt.devices, tt.days)
			horizon := f.first.AddDate(0, 0, tt.days*4/5)
			var want, rollups, all float64
			for _, d := range f.devices {
				older := float64(max(tt.days*4/5-f.began(d.Device), 0))
				want += 96 * older
				rollups += older
				all += float64(tt.days - f.began(d.Device))
			}
			grown := heaptest.Watch(t)
			got, err := (&Reader{Store: f}).Older(t.Context(), f.devices, horizon, horizon)
			if err != nil || got.Approximate != tt.approximate {
				t.Fatalf("%+v, %v", got, err)
			}
			tolerance := 0.0
			if tt.approximate {
				tolerance = 0.1
			}
			if r := float64(got.Readings) / want; r < 1-tolerance || r > 1+tolerance {
				t.Errorf("%d readings, want %.0f", got.Readings, want)
			}
			if r := float64(got.Rollups) / float64(got.AllRollups) / (rollups / all); r < 1-tolerance || r > 1+tolerance {
				t.Errorf("%d of %d rollups, want %.3f", got.Rollups, got.AllRollups, rollups/all)
			}
			if want := f.first.AddDate(0, 0, 1); got.From.Before(f.first) || got.From.After(want.AddDate(0, 0, 30)) || !got.To.Equal(horizon.Add(-iot.Quarter)) {
				t.Errorf("from %v to %v", got.From, got.To)
			}
			if most := 2*maxOlder + 2*someDevices*tt.days; f.read > most {
				t.Errorf("%d buckets were read, at most %d", f.read, most)
			}
			if n := grown(); n > 32<<20 {
				t.Errorf("it took %d MiB", n>>20)
			}
		})
	}
}
