package series

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// TestAggregate: what is small enough is what the readings come to one by one, though each of their members comes by itself.
func TestAggregate(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 1))
	var all []iot.Reading
	for device := range iot.DeviceID(5) {
		at := noon
		for range 200 {
			at = at.Add(time.Duration(1+r.Int64N(5e5)) * time.Millisecond)
			metrics := []iot.Metric{{Name: iot.Humidity, Value: 40}, {Name: "other", Value: 1}, {Name: iot.Temperature, Value: float64(r.IntN(400)-100) / 10}}
			i := r.IntN(3)
			all = append(all, value(device+1, at, slices.Delete(metrics, i, i+r.IntN(2))...))
		}
	}
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	store := &watched{Store: open(t, all...)}
	reader := &Reader{Store: store, Admit: admit}
	for range 20 {
		from := noon.Add(time.Duration(r.Int64N(4e7)) * time.Millisecond)
		to := from.Add(time.Duration(1+r.Int64N(4e7)) * time.Millisecond)
		devices := []iot.DeviceID{1, 4, 9}
		if r.IntN(2) == 0 {
			devices = nil
		}
		got, err := reader.Aggregate(t.Context(), devices, from, to)
		if err != nil {
			t.Fatal(err)
		}
		var readings, humidities int64
		sum, temperatures := 0., []float64{}
		count := map[iot.DeviceID]int64{}
		for _, reading := range all {
			if reading.At.Before(from) || !reading.At.Before(to) || devices != nil && !slices.Contains(devices, reading.Device) {
				continue
			}
			readings++
			count[reading.Device]++
			if v, ok := reading.Metric(iot.Temperature); ok {
				temperatures = append(temperatures, v)
				sum += v
			}
			if _, ok := reading.Metric(iot.Humidity); ok {
				humidities++
			}
		}
		if got.Readings != readings || got.Temperature.Count != int64(len(temperatures)) || got.Humidity.Count != humidities || got.Approximate {
			t.Errorf("seed %d: %+v, want %d readings, %d and %d", seed, got, readings, len(temperatures), humidities)
		}
		if len(temperatures) > 0 && (got.Temperature.Min != slices.Min(temperatures) || got.Temperature.Max != slices.Max(temperatures) || math.Abs(got.Temperature.Sum-sum) > 1e-9*math.Abs(sum)) {
			t.Errorf("seed %d: %+v, want %g", seed, got.Temperature, sum)
		}
		if len(got.Devices) != len(count) || !slices.IsSortedFunc(got.Devices, func(a, b DeviceAggregates) int { return cmp.Compare(a.Device, b.Device) }) {
			t.Errorf("seed %d: devices %+v", seed, got.Devices)
		}
		for _, d := range got.Devices {
			if d.Readings != count[d.Device] {
				t.Errorf("seed %d: %d readings of device %d, want %d", seed, d.Readings, d.Device, count[d.Device])
			}
		}
		for _, rg := range got.Temperatures.Ranges() {
			n := int64(0)
			for _, v := range temperatures {
				if v >= rg.From && v < rg.To {
					n++
				}
			}
			if n != rg.Count {
				t.Errorf("seed %d: %+v, want %d", seed, rg, n)
			}
		}
	}

	// As many values as are not read one by one any more.
	store.times, store.samples = 1_000_000, nil
	got, err := reader.Aggregate(t.Context(), nil, noon.Add(time.Minute), noon.Add(time.Hour+time.Minute))
	if err != nil || !got.Approximate || len(store.samples) > 0 || len(got.Devices) != 5 || got.Readings < 5_000_000 {
		t.Errorf("of many: %+v, %v", got, err)
	}
	n := int64(0)
	for _, r := range got.Temperatures.Ranges() {
		n += r.Count
	}
	if n != got.Temperature.Count || n == 0 {
		t.Errorf("%d temperatures in ranges, of %d", n, got.Temperature.Count)
	}
}

func TestHistogram(t *testing.T) {
	for _, tt := range []struct {
		values []float64
		want   []Range
	}{
		{nil, nil},
		{[]float64{math.NaN(), math.Inf(1)}, nil},
		{[]float64{21.5}, []Range{{21, 22, 1}}},
		{[]float64{0, math.Copysign(0, -1), -0.1}, []Range{{-1, 0, 1}, {0, 1, 2}}},
		{[]float64{20, 21, 19.9, 21.999}, []Range{{19, 20, 1}, {20, 21, 1}, {21, 22, 2}}},
		{[]float64{-1, 20, 20}, []Range{{-5, 0, 1}, {0, 5, 0}, {5, 10, 0}, {10, 15, 0}, {15, 20, 0}, {20, 25, 2}}},
		{[]float64{99, -1}, []Range{{-10, 0, 1}, {0, 10, 0}, {10, 20, 0}, {20, 30, 0}, {30, 40, 0}, {40, 50, 0}, {50, 60, 0}, {60, 70, 0}, {70, 80, 0}, {80, 90, 0}, {90, 100, 1}}},
		{[]float64{1e300}, []Range{{1e300, 1e300, 1}}},
	} {
		var h Histogram
		for _, v := range tt.values {
			h.add(v, 1)
		}
		got := h.Ranges()
		if len(got) == 1 && got[0].From > 1e290 && got[0].To >= got[0].From {
			continue // as near as numbers are
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%v: %v, want %v", tt.values, got, tt.want)
		}
	}
	for _, extremes := range [][]float64{{-math.MaxFloat64, math.MaxFloat64}, {0, math.MaxFloat64, 5e-324}, {-math.MaxFloat64}} {
		var h Histogram
		for _, v := range extremes {
			h.add(v, 1)
		}
		if n := len(h.Ranges()); n == 0 || n > maxRanges+1 {
			t.Errorf("%v: %d ranges", extremes, n)
		}
	}
}
