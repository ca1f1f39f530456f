package simulator

import (
	"context"
	"errors"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/payload"
)

// sentAt is a publication and when the stream gave it out.
type sentAt struct {
	publication
	at time.Duration // since the start
}

// drain takes everything from the stream of cfg's only connection until, in simulated time and with a tick
// of 1 ms, except while away is true.
func drain(t *testing.T, cfg Config, until time.Duration, away func(time.Duration) bool) ([]sentAt, *counters) {
	t.Helper()
	cfg = cfg.withDefaults()
	cfg.Seed = 1
	start := time.Now()
	var c counters
	s := newStream(t.Context(), cfg, 0, start, &c)
	var out []sentAt
	for at := time.Duration(0); at < until; at += time.Millisecond {
		if away != nil && away(at) {
			continue
		}
		for {
			var p publication
			wait, err := s.next(start.Add(at), &p)
			if errors.Is(err, io.EOF) {
				return out, &c
			}
			if err != nil {
				t.Fatal(err)
			}
			if wait > 0 {
				break
			}
			out = append(out, sentAt{p, at})
		}
	}
	return out, &c
}

func TestPace(t *testing.T) {
	t.Run("the fleet keeps its rate, spread evenly over the devices and the time", func(t *testing.T) {
		sent, _ := drain(t, Config{Devices: 50, Rate: 4}, 10*time.Second, nil)
		if n := len(sent); n < 1999 || n > 2000 {
			t.Errorf("%d readings in 10 s, want 2000", n)
		}
		perSecond := map[int]int{}
		perDevice := map[int64]int{}
		for _, m := range sent {
			perSecond[int(m.at/time.Second)]++
			perDevice[parseReading(t, string(m.payload)).Device]++
		}
		for second, n := range perSecond {
			if n < 198 || n > 202 {
				t.Errorf("%d readings in second %d", n, second)
			}
		}
		for device, n := range perDevice {
			if n < 39 || n > 41 {
				t.Errorf("%d readings of device %d", n, device)
			}
		}
	})
	t.Run("readings of an outage are sent after it, dated when they were measured", func(t *testing.T) {
		sent, _ := drain(t, Config{Devices: 5, Rate: 20}, 4*time.Second, func(at time.Duration) bool {
			return at >= time.Second && at < 3*time.Second
		})
		if n := len(sent); n < 399 || n > 400 {
			t.Errorf("%d readings in 4 s, want 400", n)
		}
		var afterwards int
		for _, m := range sent {
			measured := parseReading(t, string(m.payload)).Timestamp
			if gap := measured.Sub(m.due); gap.Abs() > time.Millisecond {
				t.Fatalf("measured at %v, due at %v", measured, m.due)
			}
			if m.at == 3*time.Second {
				afterwards++
			}
		}
		if afterwards < 198 {
			t.Errorf("%d readings were sent right after the outage, want 200", afterwards)
		}
	})
	t.Run("the count ends the stream", func(t *testing.T) {
		sent, _ := drain(t, Config{Devices: 7, Count: 100}, time.Second, nil)
		if len(sent) != 100 {
			t.Errorf("%d readings", len(sent))
		}
	})
	t.Run("connections together publish each reading of the count", func(t *testing.T) {
		var total int
		for connection := range 3 {
			cfg := Config{Devices: 7, Connections: 3, Count: 100}.withDefaults()
			s := newStream(t.Context(), cfg, connection, time.Now(), &counters{})
			for p := (publication{}); ; total++ {
				if _, err := s.next(time.Now(), &p); err != nil {
					break
				}
			}
		}
		if total != 100 {
			t.Errorf("%d readings", total)
		}
	})
	t.Run("the end of measuring ends the stream, after what was held back", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cfg := Config{Devices: 1, Rate: 10, Faults: Faults{Late: 100}}.withDefaults()
		start := time.Now()
		s := newStream(ctx, cfg, 0, start, &counters{})
		var p publication
		if wait, err := s.next(start.Add(time.Second), &p); wait == 0 || err != nil {
			t.Fatalf("wait %v, error %v before anything is due", wait, err)
		}
		cancel()
		held := 0
		for ; ; held++ {
			if _, err := s.next(start.Add(time.Second), &p); errors.Is(err, io.EOF) {
				break
			}
		}
		if held != 10 {
			t.Errorf("%d readings came of 10 held back", held)
		}
	})
}

func TestTimestampsOfADeviceAreUnique(t *testing.T) {
	sent, _ := drain(t, Config{Devices: 1, Rate: 5000}, 2*time.Second, nil)
	if len(sent) < 9_990 { // the last tick is before the end
		t.Errorf("%d readings in 2 s, want 10000", len(sent))
	}
	last := time.Time{}
	for _, m := range sent {
		r := parseReading(t, string(m.payload))
		if !r.Timestamp.After(last) {
			t.Fatalf("%v after %v", r.Timestamp, last)
		}
		last = r.Timestamp
	}

	t.Run("and never so far ahead that they would be refused", func(t *testing.T) {
		cfg := Config{Devices: 1}.withDefaults() // no pace
		now := time.Now()
		s := newStream(t.Context(), cfg, 0, now, &counters{})
		var p publication
		for {
			wait, err := s.next(now, &p)
			if err != nil {
				t.Fatal(err)
			}
			if wait > 0 {
				break
			}
		}
		if ahead := parseReading(t, string(p.payload)).Timestamp.Sub(now); ahead > iot.MaxAhead || ahead < maxLead-time.Second {
			t.Errorf("the stream pauses at a lead of %v", ahead)
		}
	})
}

func TestFaults(t *testing.T) {
	near := func(t *testing.T, what string, got int64, percent float64, of int) {
		t.Helper()
		want := float64(of) * percent / 100
		if math.Abs(float64(got)-want) > 4*math.Sqrt(want) { // four standard deviations
			t.Errorf("%d %s in %d readings, want %.0f", got, what, of, want)
		}
	}
	const readings = 8_000
	cfg := func(f Faults) Config { return Config{Devices: 20, Rate: 10, Count: readings, Faults: f} }
	const long = time.Hour

	t.Run("junk: bytes that are one dead letter each", func(t *testing.T) {
		sent, c := drain(t, cfg(Faults{Junk: 5}), long, nil)
		near(t, "junk messages", c.junk.Load(), 5, readings)
		var junk int64
		for _, m := range sent {
			id := strings.Split(m.topic, "/")[1]
			var out payload.Result
			payload.Decode(payload.Message{DeviceID: id, Payload: m.payload, Received: time.Now()}, &out)
			if len(out.Readings)+len(out.Rejected) != 1 || (len(out.Readings) == 1) != m.ledger {
				t.Fatalf("%q is %d readings and %d rejections", m.payload, len(out.Readings), len(out.Rejected))
			}
			junk += int64(len(out.Rejected))
		}
		if junk != c.junk.Load() {
			t.Errorf("%d messages are junk, %d were counted", junk, c.junk.Load())
		}
	})
	t.Run("bad clock: readings of 1970 and 2099", func(t *testing.T) {
		sent, c := drain(t, cfg(Faults{BadClock: 10}), long, nil)
		near(t, "bad clocks", c.badClock.Load(), 10, readings)
		years := map[int]int64{}
		for _, m := range sent {
			years[parseReading(t, string(m.payload)).Timestamp.UTC().Year()]++
		}
		near(t, "readings of 1970", years[1970], 5, readings)
		if years[1970]+years[2099] != c.badClock.Load() {
			t.Errorf("years %v, %d bad clocks counted", years, c.badClock.Load())
		}
	})
	t.Run("duplicate: the same bytes again, right behind", func(t *testing.T) {
		sent, c := drain(t, cfg(Faults{Duplicate: 3}), long, nil)
		near(t, "duplicates", c.duplicates.Load(), 3, readings)
		if want := readings + int(c.duplicates.Load()); len(sent) != want {
			t.Errorf("%d messages, want %d", len(sent), want)
		}
		for i, m := range sent {
			if !m.ledger && string(m.payload) != string(sent[i-1].payload) {
				t.Fatalf("%s\nis not a copy of\n%s", m.payload, sent[i-1].payload)
			}
		}
	})
	t.Run("late: sent 10 s after it was measured", func(t *testing.T) {
		sent, c := drain(t, cfg(Faults{Late: 2}), long, nil)
		near(t, "late readings", c.late.Load(), 2, readings)
		var late int64
		end := sent[len(sent)-1].at // when what is still held back is sent
		for _, m := range sent {
			delay := m.at - (m.due.Sub(sent[0].due) + sent[0].at)
			if m.at < end && delay.Abs() > 2*time.Millisecond {
				t.Fatalf("sent %v after it was due", delay)
			}
			if m.due.Sub(parseReading(t, string(m.payload)).Timestamp) > 9*time.Second {
				late++
			}
		}
		if late != c.late.Load() {
			t.Errorf("%d readings are late, %d were counted", late, c.late.Load())
		}
	})
	t.Run("burst: silence, then everything at once and in order", func(t *testing.T) {
		sent, c := drain(t, Config{Devices: 1, Rate: 10, Count: 2000, Faults: Faults{Burst: 1}}, long, nil)
		if n := c.bursts.Load(); n < 5 || len(sent) != 2000 {
			t.Fatalf("%d bursts, %d readings", n, len(sent))
		}
		atOnce := map[time.Duration]int{}
		last := time.Time{}
		for _, m := range sent {
			atOnce[m.at]++
			r := parseReading(t, string(m.payload))
			if !r.Timestamp.After(last) {
				t.Fatalf("%v after %v", r.Timestamp, last)
			}
			last = r.Timestamp
		}
		var bursts int64
		for _, n := range atOnce {
			if n >= 90 { // 10 s at 10 readings/s
				bursts++
			}
		}
		if diff := c.bursts.Load() - bursts; diff < 0 || diff > 1 { // the end of the run may cut the last
			t.Errorf("%d bursts, %d were counted", bursts, c.bursts.Load())
		}
	})
	t.Run("a late reading that is sent twice is recorded before its copy", func(t *testing.T) {
		sent, _ := drain(t, Config{Devices: 1, Rate: 100, Count: 50, Faults: Faults{Late: 50, Duplicate: 100}}, long, nil)
		if len(sent) != 100 {
			t.Fatalf("%d messages", len(sent))
		}
		for i := 0; i < len(sent); i += 2 {
			if !sent[i].ledger || sent[i+1].ledger || string(sent[i].payload) != string(sent[i+1].payload) {
				t.Fatalf("messages %d and %d:\n%s (ledger %v)\n%s (ledger %v)", i, i+1,
					sent[i].payload, sent[i].ledger, sent[i+1].payload, sent[i+1].ledger)
			}
		}
	})
	t.Run("the same seed makes the same faults", func(t *testing.T) {
		f := Faults{Junk: 5, Late: 5, Duplicate: 5, BadClock: 5, Burst: 1}
		_, a := drain(t, cfg(f), long, nil)
		_, b := drain(t, cfg(f), long, nil)
		for i, pair := range [][2]int64{
			{a.junk.Load(), b.junk.Load()}, {a.late.Load(), b.late.Load()}, {a.bursts.Load(), b.bursts.Load()},
			{a.duplicates.Load(), b.duplicates.Load()}, {a.badClock.Load(), b.badClock.Load()},
		} {
			if pair[0] != pair[1] || pair[0] == 0 {
				t.Errorf("fault %d: %d and %d", i, pair[0], pair[1])
			}
		}
	})
}

func TestCurves(t *testing.T) {
	const days, perDay = 20, 288
	temperatures := make([]float64, 0, days*perDay)
	humidities := make([]float64, 0, days*perDay)
	s := newStream(t.Context(), Config{Devices: 1}.withDefaults(), 0, time.Now(), &counters{})
	own := &(Config{}).withDefaults().families()[0]
	d := newDevice(1, own)
	var byHour [24][]float64
	midnight := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for i := range days * perDay {
		at := midnight.Add(time.Duration(i) * 24 * time.Hour / perDay)
		m := d.measure(at.UnixMilli(), s.random)
		temperature, humidity := m.temperature, m.humidity
		if temperature < 5 || temperature > 40 || humidity < 5 || humidity > 100 {
			t.Fatalf("%v: %.2f °C, %.1f %%", at, temperature, humidity)
		}
		temperatures, humidities = append(temperatures, temperature), append(humidities, humidity)
		byHour[at.Hour()] = append(byHour[at.Hour()], temperature)
	}
	t.Run("afternoons are warmer than nights", func(t *testing.T) {
		if night, noon := mean(byHour[3]), mean(byHour[15]); noon < night+d.swing {
			t.Errorf("%.1f °C at three in the night, %.1f °C at three in the afternoon", night, noon)
		}
	})
	t.Run("the warmer the drier", func(t *testing.T) {
		if r := correlation(temperatures, humidities); r > -0.9 {
			t.Errorf("correlation %.2f", r)
		}
	})
	t.Run("devices differ, and are the same in each run", func(t *testing.T) {
		var means []float64
		for id := iot.DeviceID(1); id <= 50; id++ {
			d := newDevice(id, own)
			if again := newDevice(id, own); d.mean != again.mean || d.mood != again.mood || d.charged != again.charged {
				t.Errorf("device %d changes", id)
			}
			means = append(means, d.mean)
		}
		if spread := slices.Max(means) - slices.Min(means); spread < 5 {
			t.Errorf("means within %.1f °C", spread)
		}
	})
}

func mean(values []float64) float64 {
	var sum float64
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}

func correlation(a, b []float64) float64 {
	meanA, meanB := mean(a), mean(b)
	var ab, aa, bb float64
	for i := range a {
		ab += (a[i] - meanA) * (b[i] - meanB)
		aa += (a[i] - meanA) * (a[i] - meanA)
		bb += (b[i] - meanB) * (b[i] - meanB)
	}
	return ab / math.Sqrt(aa*bb)
}

func BenchmarkStream(b *testing.B) {
	s := newStream(b.Context(), Config{Devices: 1000}.withDefaults(), 0, time.Now(), &counters{})
	var p publication
	b.ReportAllocs()
	for now := time.Now(); b.Loop(); now = now.Add(time.Microsecond) {
		if _, err := s.next(now, &p); err != nil {
			b.Fatal(err)
		}
	}
}
