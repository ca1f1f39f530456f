package column_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/telltale-iot/telltale/pkg/column"
	"github.com/telltale-iot/telltale/pkg/iot"
)

// ordinary returns what a device sends once in a step: temperature and humidity that wander by hundredths, by a clock
// with some jitter, received a little later.
func ordinary(rows int, step time.Duration) []column.Row {
	random := rand.New(rand.NewPCG(1, 2))
	start := time.Date(2026, 11, 1, 10, 0, 0, 0, time.UTC)
	temperature, humidity := 2150, 4800
	all := make([]column.Row, rows)
	for i := range all {
		temperature += random.IntN(11) - 5
		humidity += random.IntN(21) - 10
		at := start.Add(time.Duration(i)*step + time.Duration(random.IntN(5))*time.Millisecond)
		all[i].Reading = iot.Reading{
			Device: 42, Stamped: iot.StampDevice, At: at, Received: at.Add(time.Duration(20+random.IntN(41)) * time.Millisecond),
			Metrics: []iot.Metric{{Name: iot.Humidity, Value: float64(humidity) / 100}, {Name: iot.Temperature, Value: float64(temperature) / 100}},
		}
	}
	return all
}

// noisy is ordinary with values that have nothing in common.
func noisy(rows int) []column.Row {
	random := rand.New(rand.NewPCG(3, 4))
	all := ordinary(rows, time.Second)
	for i := range all {
		for k := range all[i].Metrics {
			all[i].Metrics[k].Value = 100 * random.Float64()
		}
	}
	return all
}

// check encodes and decodes rows, and returns the block.
func check(t testing.TB, rows []column.Row) []byte {
	t.Helper()
	data, err := column.Encode(nil, rows)
	if err != nil {
		t.Fatal(err)
	}
	block, err := column.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	if block.Len() != len(rows) || block.Device() != rows[0].Device {
		t.Fatalf("%d rows of %d, want %d of %d", block.Len(), block.Device(), len(rows), rows[0].Device)
	}
	var got column.Row
	for i, want := range rows {
		if err := block.Row(i, &got); err != nil {
			t.Fatal(err)
		}
		if !same(got, want) {
			t.Fatalf("row %d (-want +got):\n%s", i, cmp.Diff(want, got))
		}
	}
	return data
}

// same reports whether a and b are the same to the bit.
func same(a, b column.Row) bool {
	if len(a.Metrics) != len(b.Metrics) || len(a.Attributes) != len(b.Attributes) {
		return false
	}
	for i, m := range a.Metrics {
		if m.Name != b.Metrics[i].Name || math.Float64bits(m.Value) != math.Float64bits(b.Metrics[i].Value) {
			return false
		}
	}
	for i, m := range a.Attributes {
		if m != b.Attributes[i] {
			return false
		}
	}
	return a.Device == b.Device && a.Key == b.Key && a.At.Equal(b.At) && a.Received.Equal(b.Received) && a.Stamped == b.Stamped &&
		a.Said == b.Said && a.Origin == b.Origin && a.MovedFrom == b.MovedFrom
}

func TestSize(t *testing.T) {
	tests := map[string]struct {
		rows []column.Row
		most float64 // bytes a row
	}{
		"ordinary, an hour at 1 Hz":          {ordinary(3600, time.Second), 2.4},
		"ordinary, an hour at 1 a minute":    {ordinary(60, time.Minute), 4.5},
		"ordinary, 10 minutes at 1 a minute": {ordinary(10, time.Minute), 9},
		"ordinary, 1 row":                    {ordinary(1, time.Minute), 45},
		"noisy, an hour at 1 Hz":             {noisy(3600), 20},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := float64(len(check(t, tt.rows))) / float64(len(tt.rows))
			t.Logf("%.2f bytes a row", got)
			if got > tt.most {
				t.Errorf("%.2f bytes a row, want at most %v", got, tt.most)
			}
		})
	}
}
