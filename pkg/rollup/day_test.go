package rollup_test

import (
	"encoding/binary"
	"errors"
	"flag"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/rollup"
)

const dayLong = 96 * quarter

var day20 = time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC).UnixMilli()

// readings returns n readings at most, ascending, within span milliseconds, of some of a few metrics.
func readings(r *rand.Rand, n int, from, span int64) (all []iot.Reading) {
	times, _ := samples(r, n, from, span)
	names := []string{"humidity", "temperature", "x", "Öl.°C 🌡"}
	for _, at := range times {
		reading := iot.Reading{Device: 1, At: time.UnixMilli(at).UTC()}
		for _, name := range names {
			if r.IntN(3) > 0 {
				v := float64(r.IntN(2000)) / 100
				if name == "x" {
					v = value(r)
				}
				reading.Metrics = append(reading.Metrics, iot.Metric{Name: name, Value: v})
			}
		}
		all = append(all, reading)
	}
	return all
}

// spanOf is what readings come to.
func spanOf(readings []iot.Reading) []rollup.Metric {
	var s rollup.Span
	for i := range readings {
		s.Add(&readings[i])
	}
	return s.Metrics
}

// identical reports whether a and b are equal to the bit.
func identical(a, b iot.Bucket) bool {
	return same(a, b) && (math.Float64bits(a.Sum) == math.Float64bits(b.Sum))
}

func equal(a, b []rollup.Metric, bucket func(a, b iot.Bucket) bool) bool {
	return slices.EqualFunc(a, b, func(a, b rollup.Metric) bool {
		return a.Name == b.Name && slices.EqualFunc(a.Quarters, b.Quarters, bucket)
	})
}

// TestSpan compares a span with the buckets of each metric's samples.
func TestSpan(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 1))
	for range 50 {
		all := readings(r, 200, day20, 1+r.Int64N(2*dayLong))
		times, values := map[string][]int64{}, map[string][]float64{}
		for _, reading := range all {
			add := func(name string, v float64) {
				times[name], values[name] = append(times[name], reading.At.UnixMilli()), append(values[name], v)
			}
			add(rollup.Readings, 0)
			for _, m := range reading.Metrics {
				add(m.Name, m.Value)
			}
		}
		var want []rollup.Metric
		for name := range times {
			want = append(want, rollup.Metric{Name: name, Quarters: rollup.AppendSamples(nil, rollup.Quarter.In(time.UTC), times[name], values[name])})
		}
		slices.SortFunc(want, func(a, b rollup.Metric) int { return strings.Compare(a.Name, b.Name) })
		if got := spanOf(all); !equal(got, want, identical) {
			t.Fatalf("seed %d: %+v\nwant %+v", seed, got, want)
		}
		r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		if got := spanOf(all); !equal(got, want, same) {
			t.Fatalf("seed %d: shuffled %+v\nwant %+v", seed, got, want)
		}
	}
}

// TestDay keeps a day as stores do: spans are replaced by what all readings of theirs come to, cleared, and readings
// that are new merged. It is what brute force says at every step, also when it is encoded between them.
func TestDay(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 1))
	for range 30 {
		d := rollup.Day{Start: day20}
		var kept []iot.Reading
		in := func(from, to int64) func(r iot.Reading) bool {
			return func(r iot.Reading) bool { return r.At.UnixMilli() >= from && r.At.UnixMilli() < to }
		}
		for range 30 {
			from := day20 + (r.Int64N(98)-1)*quarter
			to := from + r.Int64N(20)*quarter
			switch r.IntN(4) {
			case 0: // an hour, or what is new in it, is recomputed
				kept = slices.DeleteFunc(kept, in(from, to))
				added := readings(r, 50, from, max(1, to-from))
				if from == to {
					added = nil
				}
				span := spanOf(added)
				if r.IntN(2) == 0 { // it may know more than it replaces
					span = spanOf(append(added, iot.Reading{At: time.UnixMilli(to + 3*quarter), Metrics: []iot.Metric{{Name: "x", Value: 5}}}))
				}
				d.Replace(from, to, span)
				d.Replace(from, to, span) // repeated, it is the same
				kept = append(kept, slices.DeleteFunc(added, func(r iot.Reading) bool { return rollup.DayOf(r.At.UnixMilli()) != day20 })...)
			case 1:
				kept = slices.DeleteFunc(kept, in(from, to))
				d.Replace(from, to, nil)
			case 2: // slices that are disjoint, also within a quarter, from before midnight on
				added := readings(r, 50, from+r.Int64N(quarter), 1+r.Int64N(quarter))
				added = slices.DeleteFunc(added, func(r iot.Reading) bool {
					return slices.ContainsFunc(kept, func(k iot.Reading) bool { return k.At.Equal(r.At) })
				})
				d.Merge(spanOf(added))
				kept = append(kept, slices.DeleteFunc(added, func(r iot.Reading) bool { return rollup.DayOf(r.At.UnixMilli()) != day20 })...)
			default:
				decoded, err := rollup.Decode(d.AppendBinary(nil))
				if err != nil || decoded.Start != d.Start || !equal(decoded.Metrics, d.Metrics, identical) {
					t.Fatalf("seed %d: %+v is decoded as %+v, %v", seed, d, decoded, err)
				}
				d = decoded
			}
			slices.SortFunc(kept, func(a, b iot.Reading) int { return a.At.Compare(b.At) })
			if want := spanOf(kept); !equal(d.Metrics, want, same) {
				t.Fatalf("seed %d: %+v\nwant %+v", seed, d.Metrics, want)
			}
		}
		if len(d.Quarters("no such metric")) != 0 || len(d.Metrics) > 0 && len(d.Quarters(d.Metrics[0].Name)) == 0 {
			t.Errorf("seed %d: quarters by name", seed)
		}
	}
}

// TestSubtract takes readings away and adds them once more: the day is what it was, and in between does not count them.
func TestSubtract(t *testing.T) {
	of := func(minute int64, v float64) iot.Reading {
		return iot.Reading{At: time.UnixMilli(day20 + minute*60_000).UTC(), Metrics: []iot.Metric{{Name: "x", Value: v}}}
	}
	all := []iot.Reading{of(0, 5), of(1, -3), of(2, 9), of(20, math.MaxFloat64), of(21, math.MaxFloat64), of(40, 7)}
	d := rollup.Day{Start: day20, Metrics: spanOf(all)}
	removed := []iot.Reading{all[1], all[4], all[5], {At: all[0].At.Add(time.Hour), Metrics: []iot.Metric{{Name: "of which it has none", Value: 1}}}}
	d.Subtract(spanOf(removed))
	x := d.Quarters("x")
	if len(x) != 2 || x[0].Count != 2 || x[0].Sum != 14 || x[1].Count != 1 || !math.IsInf(x[1].Sum, 1) || len(d.Quarters(rollup.Readings)) != 2 {
		t.Errorf("%+v", d)
	}
	if decoded, err := rollup.Decode(d.AppendBinary(nil)); err != nil || !equal(decoded.Metrics, d.Metrics, identical) {
		t.Errorf("%+v is decoded as %+v, %v", d, decoded, err)
	}
	d.Merge(spanOf(removed[:3]))
	if want := spanOf(all); !equal(d.Metrics, want, identical) {
		t.Errorf("%+v\nwant %+v", d.Metrics, want)
	}
}

// TestCodec has days of metrics of every kind, whole and in part, and the totals of each.
func TestCodec(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 1))
	var reader rollup.Reader
	for n := range 400 {
		d := dayOfAnything(r, n%20)
		data := d.AppendBinary([]byte("before"))[len("before"):]
		decoded, err := rollup.Decode(data)
		if err != nil || decoded.Start != d.Start || !equal(decoded.Metrics, d.Metrics, identical) {
			t.Fatalf("seed %d, %d: %+v is decoded as %+v, %v", seed, n, d, decoded, err)
		}
		if err := reader.Reset(data); err != nil || reader.Start != d.Start || len(reader.Totals) != len(d.Metrics) {
			t.Fatalf("seed %d, %d: %v", seed, n, err)
		}
		clear(data) // the reader has a copy
		for _, i := range r.Perm(len(d.Metrics)) {
			m, total := d.Metrics[i], reader.Totals[i]
			want := iot.Bucket{Start: d.Start}
			for _, b := range m.Quarters {
				rollup.Merge(&want, b)
			}
			if total.Name != m.Name || !identical(total.Bucket, want) {
				t.Fatalf("seed %d, %d: %+v in total; want %+v", seed, n, total, want)
			}
			if got, err := reader.Append(nil, i); err != nil || !slices.EqualFunc(got, m.Quarters, identical) {
				t.Fatalf("seed %d, %d: %q is %+v, %v; want %+v", seed, n, m.Name, got, err, m.Quarters)
			}
		}
	}
}

// dayOfAnything returns a day with some metrics.
func dayOfAnything(r *rand.Rand, metrics int) rollup.Day {
	d := rollup.Day{Start: day20 - r.Int64N(20_000)*dayLong}
	var times []int64
	for k := range metrics {
		if k == 0 || r.IntN(3) == 0 { // others have the same times
			from := r.Int64N(dayLong)
			times, _ = samples(r, 1+r.IntN(300), d.Start+from, 1+r.Int64N(dayLong-from))
		}
		kind, scale := r.IntN(5), math.Pow10(r.IntN(12))
		values := make([]float64, len(times))
		for i := range values {
			switch kind {
			case 0:
				values[i] = math.Round(r.NormFloat64()*1000) / scale
			case 1:
				values[i] = float64(float32(r.NormFloat64()))
			case 2:
				values[i] = float64(r.Int64() >> r.IntN(64))
			case 3:
				values[i] = math.Copysign(0, -1)
			default:
				values[i] = value(r)
			}
		}
		d.Metrics = append(d.Metrics, rollup.Metric{
			Name: string(rune('a' + k)), Quarters: rollup.AppendSamples(nil, rollup.Quarter.In(time.UTC), times, values),
		})
	}
	return d
}

// seasons is a day as devices send it: two metrics of two decimals, once a second.
func seasons(start int64) rollup.Day {
	r := rand.New(rand.NewPCG(uint64(start), 1))
	var s rollup.Span
	temperature, humidity := 2150, 4500
	for i := range int64(86_400) {
		temperature += r.IntN(3) - 1
		humidity += r.IntN(5) - 2
		s.Add(&iot.Reading{At: time.UnixMilli(start + i*1000 + r.Int64N(5)).UTC(), Metrics: []iot.Metric{
			{Name: iot.Humidity, Value: float64(humidity) / 100}, {Name: iot.Temperature, Value: float64(temperature) / 100}}})
	}
	return rollup.Day{Start: start, Metrics: s.Metrics}
}

// TestSize holds what days take: every byte is there for every day of every device.
func TestSize(t *testing.T) {
	d := seasons(day20)
	if size := len(d.AppendBinary(nil)); size > 1800 {
		t.Errorf("a day of two metrics takes %d bytes", size)
	}
	one := rollup.Day{Start: day20, Metrics: spanOf([]iot.Reading{{At: time.UnixMilli(day20 + 5).UTC(), Metrics: []iot.Metric{{Name: "t", Value: 21.5}}}})}
	if size := len(one.AppendBinary(nil)); size > 120 {
		t.Errorf("a day of one reading takes %d bytes", size)
	}
}

// TestDamage changes each bit of a day, and cuts it at each byte.
func TestDamage(t *testing.T) {
	d := dayOfAnything(rand.New(rand.NewPCG(1, 1)), 5)
	data := d.AppendBinary(nil)
	for i := range data {
		if _, err := rollup.Decode(data[:i]); !errors.Is(err, rollup.ErrDamaged) {
			t.Fatalf("the first %d bytes: %v", i, err)
		}
		for bit := range 8 {
			data[i] ^= 1 << bit
			if _, err := rollup.Decode(data); !errors.Is(err, rollup.ErrDamaged) {
				t.Fatalf("bit %d of byte %d: %v", bit, i, err)
			}
			data[i] ^= 1 << bit
		}
	}
	data[0] = 2
	if _, err := rollup.Decode(summed(data)); !errors.Is(err, rollup.ErrLater) || err.Error() != "a day's rollup was written by a later version of Telltale: version 2" {
		t.Errorf("a later version: %v", err)
	}
}

// TestNonsense decodes bytes that no encoder wrote, with the checksum that they should have.
func TestNonsense(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 1))
	for range 5_000 {
		d := dayOfAnything(r, 1+r.IntN(2))
		data := d.AppendBinary(nil)
		for range 1 + r.IntN(3) {
			switch i := 1 + r.IntN(len(data)-5); r.IntN(4) {
			case 0:
				data[i] = byte(r.Uint64())
			case 2:
				data = slices.Insert(data, i, binary.AppendUvarint(nil, r.Uint64()|1<<63)...)
			case 1:
				data[i] ^= 0x80
			default:
				data = slices.Delete(data, i, min(i+r.IntN(20), len(data)-4))
			}
			if len(data) < 6 {
				break
			}
		}
		if _, err := rollup.Decode(summed(data)); err != nil && !errors.Is(err, rollup.ErrDamaged) {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

// summed gives data the checksum that it should have.
func summed(data []byte) []byte {
	body := data[:len(data)-4]
	return binary.LittleEndian.AppendUint32(body, crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
}

// FuzzDecode decodes anything that has the right checksum.
func FuzzDecode(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 1))
	for n := range 20 {
		d := dayOfAnything(r, n%4)
		f.Add(d.AppendBinary(nil))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) < 5 {
			return
		}
		d, err := rollup.Decode(summed(data))
		if err != nil {
			if !errors.Is(err, rollup.ErrDamaged) && !errors.Is(err, rollup.ErrLater) {
				t.Error(err)
			}
			return
		}
		if len(d.Metrics) > len(data) {
			t.Errorf("%d metrics in %d bytes", len(d.Metrics), len(data))
		}
	})
}

var update = flag.Bool("update", false, "write the golden file: stored days would not be readable any more")

// TestGolden reads a day that was stored by the first version, and writes the same bytes today.
func TestGolden(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	d := rollup.Day{Start: day20, Metrics: spanOf(readings(r, 300, day20, dayLong))}
	path := filepath.Join("testdata", "day.v1")
	if *update {
		if err := os.WriteFile(path, d.AppendBinary(nil), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if decoded, err := rollup.Decode(data); err != nil || decoded.Start != d.Start || !equal(decoded.Metrics, d.Metrics, identical) {
		t.Errorf("the stored day is %+v, %v; want %+v", decoded, err, d)
	}
	if !slices.Equal(d.AppendBinary(nil), data) {
		t.Error("it is encoded as other bytes than before")
	}
}
