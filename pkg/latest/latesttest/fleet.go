package latesttest

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/latest"
)

// fleetDevices is how many devices a fleet has. Each is a random case of its own.
const fleetDevices = 200

// fleet is the readings of some devices, in the order in which they arrived.
type fleet struct {
	random   *rand.Rand
	readings []iot.Reading
}

// newFleet returns devices whose clocks go back and forth. Some send the same members each time. Those of another seed
// are others.
func newFleet(seed uint64) *fleet {
	f := &fleet{random: rand.New(rand.NewPCG(seed, 1))}
	begin := now()
	for i := range fleetDevices {
		// What is shown arrived within the time to live, and will do so to the end of the test.
		newest := begin.Add(-time.Duration(f.random.IntN(50)) * time.Minute)
		device := iot.DeviceID(1000 + seed*fleetDevices + uint64(i))
		members := f.someMembers
		if i%2 == 0 {
			members = sameMembers
		}
		for j := range 1 + f.random.IntN(4+6*(i%5)) {
			r := iot.Reading{Device: device, Received: newest, Stamped: iot.StampDevice}
			if j > 0 {
				r.Received = newest.Add(-f.age())
			}
			r.At = base.Add(time.Duration(f.random.IntN(12)) * time.Millisecond)
			members(&r)
			f.readings = append(f.readings, r)
		}
	}
	slices.SortStableFunc(f.readings, func(a, b iot.Reading) int { return a.Received.Compare(b.Received) })
	return f
}

// age is how long before the newest arrival of a device another one was: often about the time to live.
func (f *fleet) age() time.Duration {
	switch f.random.IntN(6) {
	case 0:
		return long + time.Duration(f.random.IntN(3)-1)*time.Millisecond
	case 1:
		return long/2 + time.Duration(f.random.IntN(3)-1)*time.Millisecond
	case 2:
		return time.Duration(f.random.IntN(3)) * time.Millisecond
	case 3:
		return long + time.Duration(f.random.Int64N(int64(long/8))).Truncate(time.Millisecond)
	default:
		return time.Duration(f.random.Int64N(int64(long))).Truncate(time.Millisecond)
	}
}

// valueOf differs for two readings of one moment, so that they contradict each other, unless they arrived in one
// millisecond: then it would matter which was offered first.
func valueOf(r *iot.Reading) float64 { return float64(r.Received.UnixMilli() + r.At.UnixMilli()) }

func sameMembers(r *iot.Reading) {
	r.Metrics = []iot.Metric{{Name: iot.Humidity, Value: 40}, {Name: iot.Temperature, Value: valueOf(r)}}
	r.Attributes = []iot.Attribute{{Name: "site", Value: "roof"}}
}

func (f *fleet) someMembers(r *iot.Reading) {
	for _, name := range []string{"a", "b", iot.Humidity, iot.Temperature} {
		if f.random.IntN(4) == 0 {
			r.Metrics = append(r.Metrics, iot.Metric{Name: name, Value: valueOf(r)})
		}
	}
	if len(r.Metrics) == 0 || f.random.IntN(8) == 0 {
		r.Metrics = append(r.Metrics, iot.Metric{Name: "voltage", Value: valueOf(r)})
	}
	for _, name := range []string{"a", "site"} {
		if f.random.IntN(6) == 0 {
			r.Attributes = append(r.Attributes, iot.Attribute{Name: name, Value: r.Received.Format(time.RFC3339Nano)})
		}
	}
}

// offerFleet has two updaters offer readings in any order, some twice and some by both, while another fills the cache
// again from the log.
func offerFleet(t *testing.T, c latest.Cache, f *fleet) {
	t.Helper()
	shares := [2][]iot.Reading{}
	for _, r := range f.readings {
		i := f.random.IntN(len(shares))
		shares[i] = append(shares[i], r)
		if f.random.IntN(4) == 0 {
			i = f.random.IntN(len(shares))
			shares[i] = append(shares[i], r)
		}
	}
	var updaters sync.WaitGroup
	for _, share := range shares {
		f.random.Shuffle(len(share), func(i, j int) { share[i], share[j] = share[j], share[i] })
		random := rand.New(rand.NewPCG(f.random.Uint64(), 1))
		updaters.Go(func() { offer(t, c, share, random) })
	}
	random := rand.New(rand.NewPCG(f.random.Uint64(), 1))
	updaters.Go(func() {
		if err := c.Restore(t.Context(), func(context.Context) error { offer(t, c, f.readings, random); return nil }); err != nil {
			t.Errorf("Restore: %v", err)
		}
	})
	updaters.Wait()
	f.check(t, c)
}

// replace has a cache lost when an updater is in the middle of the log, which goes on while another one fills the next.
func replace(t *testing.T, open func(*testing.T) latest.Cache) {
	f := newFleet(0)
	middle := len(f.readings) / 2
	offer(t, open(t), f.readings[:middle], f.random)
	c := open(t)
	random := rand.New(rand.NewPCG(1, 1))
	var consumer sync.WaitGroup
	consumer.Go(func() { offer(t, c, f.readings[middle:], random) })
	if err := c.Restore(t.Context(), func(context.Context) error { offer(t, c, f.readings, f.random); return nil }); err != nil {
		t.Errorf("Restore: %v", err)
	}
	consumer.Wait()
	f.check(t, c)
}

// offer puts readings in batches.
func offer(t *testing.T, c latest.Cache, readings []iot.Reading, random *rand.Rand) {
	for len(readings) > 0 {
		n := min(1+random.IntN(400), len(readings))
		if _, err := c.PutLatest(t.Context(), readings[:n], long); err != nil {
			t.Errorf("PutLatest: %v", err)
		}
		readings = readings[n:]
	}
}

// check compares what c has of each device with the definition.
func (f *fleet) check(t *testing.T, c latest.Cache) {
	t.Helper()
	byDevice := map[iot.DeviceID][]iot.Reading{}
	for _, r := range f.readings {
		byDevice[r.Device] = append(byDevice[r.Device], r)
	}
	for _, readings := range byDevice {
		check(t, c, define(readings))
	}
}

// define is the definition of the latest value of a device. Its readings are in the order in which they arrived.
func define(readings []iot.Reading) iot.Reading {
	end := readings[len(readings)-1].Received.Add(-long)
	counted := slices.DeleteFunc(slices.Clone(readings), func(r iot.Reading) bool { return !r.Received.After(end) })
	slices.SortStableFunc(counted, func(a, b iot.Reading) int { return b.At.Compare(a.At) })
	value := counted[0]
	value.Metrics, value.Attributes = nil, nil
	older := map[string]time.Time{}
	note := func(name string, r iot.Reading) {
		if at, ok := older[name]; r.At.Before(value.At) && (!ok || r.At.Before(at)) {
			older[name] = r.At
		}
	}
	for _, r := range counted {
		for _, m := range r.Metrics {
			if _, ok := value.Metric(m.Name); !ok {
				value.Metrics = append(value.Metrics, m)
				note(m.Name, r)
			}
		}
		for _, a := range r.Attributes {
			if !slices.ContainsFunc(value.Attributes, func(o iot.Attribute) bool { return o.Name == a.Name }) {
				value.Attributes = append(value.Attributes, a)
				note(a.Name, r)
			}
		}
	}
	slices.SortFunc(value.Metrics, func(a, b iot.Metric) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(value.Attributes, func(a, b iot.Attribute) int { return cmp.Compare(a.Name, b.Name) })
	for name, at := range older {
		value.Times = append(value.Times, iot.MemberTime{Name: name, At: at})
	}
	slices.SortFunc(value.Times, func(a, b iot.MemberTime) int { return cmp.Compare(a.Name, b.Name) })
	return value
}
