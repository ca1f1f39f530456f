package column_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/telltale-iot/telltale/pkg/column"
	"github.com/telltale-iot/telltale/pkg/iot"
)

// awkward are values that decimals do not have, and the limits of those that do.
var awkward = []float64{
	0, math.Copysign(0, -1), 0.1, -0.1, 1. / 3, 5e-324, -5e-324, 2.2250738585072014e-308, math.MaxFloat64, -math.MaxFloat64, 1.7e308,
	1 << 53, 1<<53 + 2, -(1<<53 + 2), 1<<53 - 1, 1 << 62, math.MaxInt64, 1e22, 1e23, 1e-22, 1e-23, 123456789012345.6, 0.30000000000000004,
	float64(float32(21.35)), float64(math.SmallestNonzeroFloat32), math.MaxFloat32, math.Pi,
}

// columnsOf are ways in which the values of a metric can go on.
var columnsOf = map[string]func(random *rand.Rand, i int) float64{
	"constant":         func(*rand.Rand, int) float64 { return 21.5 },
	"zero":             func(*rand.Rand, int) float64 { return 0 },
	"minus zero":       func(*rand.Rand, int) float64 { return math.Copysign(0, -1) },
	"counter":          func(_ *rand.Rand, i int) float64 { return float64(i) * 1000 },
	"hundredths":       func(random *rand.Rand, _ int) float64 { return float64(random.IntN(10000)-5000) / 100 },
	"float32":          func(random *rand.Rand, _ int) float64 { return float64(float32(float64(random.IntN(10000)) / 100)) },
	"float32 noise":    func(random *rand.Rand, _ int) float64 { return float64(random.Float32()) },
	"noise":            func(random *rand.Rand, _ int) float64 { return random.NormFloat64() },
	"bits":             func(random *rand.Rand, _ int) float64 { return finite(random.Uint64()) },
	"awkward":          func(random *rand.Rand, _ int) float64 { return awkward[random.IntN(len(awkward))] },
	"a few awkward":    func(random *rand.Rand, i int) float64 { return rarely(random, i, 10) },
	"very few awkward": func(random *rand.Rand, i int) float64 { return rarely(random, i, 300) },
	"large and small": func(random *rand.Rand, _ int) float64 {
		return math.Ldexp(float64(random.IntN(1000)), random.IntN(2000)-1050)
	},
	"integers up to 2^53": func(random *rand.Rand, _ int) float64 { return float64(random.Int64N(1<<54)) - 1<<53 },
}

func rarely(random *rand.Rand, i, in int) float64 {
	if random.IntN(in) == 0 {
		return awkward[random.IntN(len(awkward))]
	}
	return float64(i%100) / 10
}

func finite(bits uint64) float64 {
	if v := math.Float64frombits(bits); !math.IsNaN(v) && !math.IsInf(v, 0) {
		return v
	}
	return math.Float64frombits(bits &^ (1 << 62))
}

func TestValues(t *testing.T) {
	for name, next := range columnsOf {
		t.Run(name, func(t *testing.T) {
			random := rand.New(rand.NewPCG(5, 6))
			for _, n := range []int{1, 2, 3, 31, 64, 65, 1000, 5000} {
				rows := ordinary(n, time.Second)
				for i := range rows {
					rows[i].Metrics = []iot.Metric{{Name: "x", Value: next(random, i)}}
				}
				check(t, rows)
			}
		})
	}
}

// TestMembers has names, metrics and attributes that come and go.
func TestMembers(t *testing.T) {
	names := []string{"a", "a.b", "humidity", "$x", "temperature", "😀", "y\u0301", strings.Repeat("n", 255), "\x01", "z z"}
	for i := range 70 {
		names = append(names, fmt.Sprintf("metric.%02d", i))
	}
	slices.Sort(names)
	random := rand.New(rand.NewPCG(7, 8))
	rows := ordinary(500, time.Minute)
	for i := range rows {
		r := &rows[i]
		r.Metrics, r.Attributes = nil, nil
		of := 1 + i/50 // ever fewer
		for k, name := range names {
			if random.IntN(of) == 0 || len(r.Metrics) == 0 && k == len(names)-1 {
				r.Metrics = append(r.Metrics, iot.Metric{Name: name, Value: random.NormFloat64()})
			}
			if random.IntN(2*of) == 0 {
				r.Attributes = append(r.Attributes, iot.Attribute{Name: name, Value: strings.Repeat("é", random.IntN(4))})
			}
		}
		if random.IntN(3) == 0 {
			r.Stamped, r.Origin, r.Said = iot.StampServer, random.Uint64(), fmt.Sprint("1970-01-01T00:00:0", i%10)
		}
		if random.IntN(5) == 0 {
			r.MovedFrom = r.At.UnixMilli() - int64(random.IntN(3))
		}
		if random.IntN(7) == 0 {
			r.Origin = uint64(r.At.UnixMilli())
		}
		if i > 200 {
			r.Key = "sensor/é"
		}
		if i == 300 {
			r.Received = time.Time{}
		}
	}
	data := check(t, rows)
	block, err := column.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(names, block.Metrics()); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
	for _, name := range names {
		var wantTimes []int64
		var wantValues []float64
		for _, r := range rows {
			if v, ok := r.Metric(name); ok {
				wantTimes, wantValues = append(wantTimes, r.At.UnixMilli()), append(wantValues, v)
			}
		}
		times, values, err := block.Metric(name)
		if err != nil || !slices.Equal(times, wantTimes) || !slices.Equal(values, wantValues) {
			t.Errorf("%d values of %q at %d times, want %d; %v", len(values), name, len(times), len(wantValues), err)
		}
	}
	if times, values, err := block.Metric("none"); times != nil || values != nil || err != nil {
		t.Errorf("of a metric that is not there: %v, %v, %v", times, values, err)
	}
	for i, r := range rows {
		for _, off := range []int64{-1, 0, 1} {
			if row, ok := block.Find(r.At.UnixMilli() + off); ok != (off == 0) || row != i+max(int(off), 0) {
				t.Fatalf("found %d, %v for row %d and %+d ms", row, ok, i, off)
			}
		}
	}
}

// TestReset reads blocks that have nothing in common into the same memory.
func TestReset(t *testing.T) {
	var block column.Block
	var row column.Row
	random := rand.New(rand.NewPCG(9, 10))
	for range 300 {
		rows := randomRows(random, 1+random.IntN(40))
		data, err := column.Encode(nil, rows)
		if err != nil {
			t.Fatal(err)
		}
		if err := block.Reset(data); err != nil {
			t.Fatal(err)
		}
		if random.IntN(2) == 0 {
			name := rows[0].Metrics[0].Name
			if _, values, err := block.Metric(name); err != nil || math.Float64bits(values[0]) != math.Float64bits(rows[0].Metrics[0].Value) {
				t.Fatalf("the first of %q is %v, %v", name, values, err)
			}
		}
		for _, i := range random.Perm(len(rows)) {
			if err := block.Row(i, &row); err != nil {
				t.Fatal(err)
			}
			if !same(row, rows[i]) {
				t.Fatalf("row %d (-want +got):\n%s", i, cmp.Diff(rows[i], row))
			}
		}
	}
}

// randomRows returns rows with anything that a reading can have.
func randomRows(random *rand.Rand, n int) []column.Row {
	names := []string{"a", "b.c", "humidity", "temperature", "😀", "$"}
	slices.Sort(names)
	texts := []string{"", "a", "lab", "é", "a longer text that comes again"}
	text := func() string { return texts[random.IntN(len(texts))] }
	at := random.Int64N(253402300799999 - 1<<32)
	device := iot.DeviceID(1 + random.Int64N(int64(iot.MaxDeviceID)))
	step := int64(1) << random.IntN(20)
	kind := 1 << random.IntN(5)
	rows := make([]column.Row, n)
	for i := range rows {
		at += 1 + random.Int64N(step)
		r := &rows[i]
		r.Device = device
		r.At = time.UnixMilli(at).UTC()
		r.Received = time.UnixMilli(at + random.Int64N(step)).UTC()
		r.Stamped = iot.Stamp(random.IntN(3))
		for _, name := range names {
			if random.IntN(kind) == 0 {
				value := finite(random.Uint64())
				switch random.IntN(3) {
				case 0:
					value = awkward[random.IntN(len(awkward))]
				case 1:
					value = float64(random.IntN(1000)) / 10
				}
				r.Metrics = append(r.Metrics, iot.Metric{Name: name, Value: value})
			}
			if random.IntN(kind) == 0 {
				r.Attributes = append(r.Attributes, iot.Attribute{Name: name, Value: text()})
			}
		}
		if len(r.Metrics) == 0 {
			r.Metrics = []iot.Metric{{Name: "temperature", Value: 20}}
		}
		if random.IntN(kind) == 0 {
			r.Key, r.Said, r.Origin = text(), text(), random.Uint64()
		}
		if random.IntN(kind) == 0 {
			r.MovedFrom = at - random.Int64N(step)
		}
	}
	return rows
}

func TestSummary(t *testing.T) {
	random := rand.New(rand.NewPCG(11, 12))
	for range 200 {
		rows := randomRows(random, 1+random.IntN(200))
		want := iot.Summary{Device: rows[0].Device, Count: len(rows), From: rows[0].At, To: rows[len(rows)-1].At}
		ranges := map[string]iot.MetricRange{}
		for _, r := range rows {
			want.Text = want.Text || len(r.Attributes) > 0
			for _, m := range r.Metrics {
				b, ok := ranges[m.Name]
				if !ok {
					b = iot.MetricRange{Name: m.Name, Min: m.Value, Max: m.Value}
				}
				ranges[m.Name] = iot.MetricRange{Name: m.Name, Min: math.Min(b.Min, m.Value), Max: math.Max(b.Max, m.Value)}
			}
		}
		for _, r := range ranges {
			want.Metrics = append(want.Metrics, r)
		}
		slices.SortFunc(want.Metrics, func(a, b iot.MetricRange) int { return strings.Compare(a.Name, b.Name) })
		data := column.AppendSummary(nil, rows)
		got, err := column.ParseSummary(data)
		if err != nil {
			t.Fatal(err)
		}
		bits := cmp.Comparer(func(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) })
		if diff := cmp.Diff(want, got, bits); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	}
}

func TestAppends(t *testing.T) {
	rows := ordinary(10, time.Second)
	data, err := column.Encode([]byte("before"), rows)
	if err != nil || string(data[:6]) != "before" {
		t.Fatalf("%q, %v", data, err)
	}
	if _, err := column.Decode(data[6:]); err != nil {
		t.Error(err)
	}
	data = column.AppendSummary([]byte("before"), rows)
	if _, err := column.ParseSummary(data[6:]); err != nil || string(data[:6]) != "before" {
		t.Errorf("%q, %v", data, err)
	}
}

func TestWhatIsNoBlock(t *testing.T) {
	change := func(change func(rows []column.Row)) []column.Row {
		rows := ordinary(4, time.Second)
		change(rows)
		return rows
	}
	tests := map[string]struct {
		rows []column.Row
		want error
	}{
		"no rows":                  {nil, iot.ErrInvalid},
		"two devices":              {change(func(rows []column.Row) { rows[2].Device++ }), iot.ErrInvalid},
		"one time twice":           {change(func(rows []column.Row) { rows[2].At = rows[1].At }), iot.ErrInvalid},
		"times that descend":       {change(func(rows []column.Row) { rows[1].At = rows[0].At.Add(-time.Second) }), iot.ErrInvalid},
		"a microsecond":            {change(func(rows []column.Row) { rows[3].At = rows[3].At.Add(time.Microsecond) }), iot.ErrInvalid},
		"received at one":          {change(func(rows []column.Row) { rows[3].Received = rows[3].Received.Add(time.Microsecond) }), iot.ErrInvalid},
		"a metric twice":           {change(func(rows []column.Row) { rows[2].Metrics[1] = rows[2].Metrics[0] }), iot.ErrInvalid},
		"metrics that descend":     {change(func(rows []column.Row) { slices.Reverse(rows[0].Metrics) }), iot.ErrInvalid},
		"a metric without a name":  {change(func(rows []column.Row) { rows[1].Metrics[0].Name = "" }), iot.ErrInvalid},
		"attributes that descend":  {change(func(rows []column.Row) { rows[1].Attributes = []iot.Attribute{{Name: "b"}, {Name: "a"}} }), iot.ErrInvalid},
		"an attribute without one": {change(func(rows []column.Row) { rows[1].Attributes = []iot.Attribute{{}} }), iot.ErrInvalid},
		"too many rows":            {make([]column.Row, column.MaxRows+1), column.ErrTooLarge},
		"too much text": {change(func(rows []column.Row) {
			for i := range rows {
				rows[i].Attributes = []iot.Attribute{{Name: "a", Value: strings.Repeat(fmt.Sprint(i), iot.MaxContentBytes+1)}}
			}
		}), column.ErrTooLarge},
		"too many names": {change(func(rows []column.Row) {
			for i := range rows {
				rows[i].Metrics = make([]iot.Metric, iot.MaxMergedMembers)
				for k := range rows[i].Metrics {
					rows[i].Metrics[k] = iot.Metric{Name: fmt.Sprintf("%05d", i*iot.MaxMergedMembers+k)}
				}
			}
		}), column.ErrTooLarge},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if data, err := column.Encode([]byte{7}, tt.rows); !errors.Is(err, tt.want) || len(data) != 1 {
				t.Errorf("%d bytes, %v, want %v", len(data), err, tt.want)
			}
		})
	}
}

// TestLargestReading has a row with as much as one can have.
func TestLargestReading(t *testing.T) {
	rows := ordinary(1, time.Second)
	r := &rows[0]
	r.Metrics = nil
	for k := range iot.MaxMergedMembers / 2 {
		r.Metrics = append(r.Metrics, iot.Metric{Name: fmt.Sprintf("%05d", k), Value: float64(k)})
		r.Attributes = append(r.Attributes, iot.Attribute{Name: fmt.Sprintf("%05d", k), Value: strings.Repeat("x", 700)})
	}
	check(t, rows)
}

func TestDamage(t *testing.T) {
	rows := ordinary(100, time.Second)
	data, err := column.Encode(nil, rows)
	if err != nil {
		t.Fatal(err)
	}
	summary := column.AppendSummary(nil, rows)
	decode := func(data []byte) error { _, err := column.Decode(data); return err }
	parse := func(data []byte) error { _, err := column.ParseSummary(data); return err }
	for name, tt := range map[string]struct {
		data []byte
		read func([]byte) error
	}{"block": {data, decode}, "summary": {summary, parse}} {
		t.Run(name, func(t *testing.T) {
			for bit := range 8 * len(tt.data) {
				damaged := slices.Clone(tt.data)
				damaged[bit/8] ^= 1 << (bit % 8)
				if err := tt.read(damaged); !errors.Is(err, column.ErrDamaged) {
					t.Fatalf("bit %d: %v", bit, err)
				}
			}
			for n := range tt.data {
				if err := tt.read(tt.data[:n]); !errors.Is(err, column.ErrDamaged) {
					t.Fatalf("%d bytes of it: %v", n, err)
				}
			}
			if err := tt.read(append(slices.Clone(tt.data), 0)); !errors.Is(err, column.ErrDamaged) {
				t.Errorf("a byte more: %v", err)
			}
			later := slices.Clone(tt.data)
			later[0]++
			if err := tt.read(fixed(later)); !errors.Is(err, column.ErrVersion) || !strings.Contains(err.Error(), "written by a later version of Telltale") {
				t.Errorf("of a later version: %v", err)
			}
		})
	}
}

// fixed sets the checksum of a block or summary to what it has to be.
func fixed(data []byte) []byte {
	table := crc32.MakeTable(crc32.Castagnoli)
	binary.LittleEndian.PutUint32(data[1:], crc32.Update(crc32.Checksum(data[:1], table), table, data[5:]))
	return data
}
