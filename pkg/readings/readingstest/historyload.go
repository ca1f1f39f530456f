package readingstest

import (
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// load makes messages as devices send them over a year's and a month's end: in no order, repeated, in pieces that are to
// be merged, in conflict with each other, and many with one millisecond.
type load struct {
	random *rand.Rand
	sent   []iot.Reading
}

func newLoad(seed uint64) *load { return &load{random: rand.New(rand.NewPCG(seed, 1))} }

var loadDevices = []iot.DeviceID{1, 2, 3, 4, iot.KeyID("kitchen-1"), iot.MaxDeviceID}

// loadMetrics are ascending.
var loadMetrics = []string{"$c", "a.b", iot.Humidity, iot.Temperature, "\U0001f321"}

// extremes are values that a store may keep otherwise than most.
var extremes = []float64{
	0, math.Copysign(0, -1), 0.1, -0.1, 1.0 / 3, 5e-324, -5e-324, 1.7e308, -1.7e308, math.MaxFloat64, 1<<53 + 1, 1<<53 + 2, -1 << 63, 1e-7,
}

// batch returns the next n messages.
func (l *load) batch(n int) (batch []iot.Reading) {
	for range n {
		batch = append(batch, l.message())
	}
	return batch
}

func (l *load) message() iot.Reading {
	if n := len(l.sent); n > 0 && l.random.IntN(20) == 0 {
		return l.sent[l.random.IntN(n)]
	}
	device := loadDevices[l.random.IntN(len(loadDevices))]
	at := []time.Time{yearEnd, monthEnd, monthEnd, longAgo}[l.random.IntN(4)]
	if l.random.IntN(3) == 0 { // a place where many are
		at = at.Add(time.Duration(l.random.IntN(40)-20) * time.Millisecond)
	} else {
		at = at.Add(time.Duration(l.random.IntN(4800)-2400)*time.Second + time.Duration(l.random.IntN(3))*time.Millisecond)
	}
	r := iot.Reading{Device: device, At: at, Received: at.Add(time.Duration(20+l.random.IntN(40)) * time.Millisecond), Stamped: iot.StampDevice}
	if device == iot.KeyID("kitchen-1") {
		r.Key = "kitchen-1"
	}
	names := loadMetrics
	if l.random.IntN(4) == 0 {
		r.Stamped, r.Origin = iot.StampServer, uint64(len(l.sent)+1)
		if l.random.IntN(2) == 0 {
			r.Said = "noon"
		}
	} else { // in pieces
		n := 1 + l.random.IntN(len(names))
		first := l.random.IntN(len(names) - n + 1)
		names = names[first : first+n]
	}
	for _, name := range names {
		r.Metrics = append(r.Metrics, metric(name, valueOf(r, name)))
	}
	if l.random.IntN(3) == 0 {
		r.Attributes = append(r.Attributes, attribute("room", fmt.Sprint("room ", at.Unix()/1000%3)))
	}
	if l.random.IntN(50) == 0 { // in conflict with what others say of this moment
		m := &r.Metrics[l.random.IntN(len(r.Metrics))]
		m.Value = math.Nextafter(m.Value, 1e9)
	}
	l.sent = append(l.sent, r)
	return r
}

// valueOf returns what messages of one moment agree upon.
func valueOf(r iot.Reading, metric string) float64 {
	hash := fnv.New32a()
	_, _ = fmt.Fprint(hash, r.Device, r.At.UnixMilli(), metric)
	n := int(hash.Sum32())
	if metric == loadMetrics[0] {
		return extremes[n%len(extremes)]
	}
	return float64(n%2000) / 100
}

// time returns one near a message, at a millisecond or between two, or no time.
func (l *load) time() time.Time {
	if l.random.IntN(4) == 0 {
		return time.Time{}
	}
	at := l.sent[l.random.IntN(len(l.sent))].At
	return at.Add(time.Duration(l.random.IntN(5)-2) * time.Millisecond / 2)
}

// someOf returns some of all and perhaps one more, in any order and perhaps one twice, or nil.
func someOf[T any](random *rand.Rand, all []T, more T) (some []T) {
	if random.IntN(3) == 0 {
		return nil
	}
	some = append(slices.Clone(all), more, all[0])
	random.Shuffle(len(some), func(i, j int) { some[i], some[j] = some[j], some[i] })
	return some[:1+random.IntN(len(some))]
}

func (l *load) devices() []iot.DeviceID { return someOf(l.random, loadDevices, 77) }

func (l *load) sampleQuery() iot.SampleQuery {
	return iot.SampleQuery{Devices: l.devices(), Metrics: someOf(l.random, loadMetrics, "unknown"), From: l.time(), To: l.time()}
}

func (l *load) bucketQuery() iot.BucketQuery {
	q := iot.BucketQuery{SampleQuery: l.sampleQuery(), Width: []time.Duration{iot.Quarter, iot.Day}[l.random.IntN(2)]}
	for _, bound := range []*time.Time{&q.From, &q.To} {
		if !bound.IsZero() {
			*bound = bound.Truncate(q.Width).Add(time.Duration(l.random.IntN(2)) * q.Width)
		}
	}
	return q
}

func (l *load) scanQuery() iot.ScanQuery {
	q := iot.ScanQuery{Devices: l.devices(), From: l.time(), To: l.time(), Newest: l.random.IntN(2) == 0}
	if at := l.time(); !at.IsZero() {
		q.After = iot.Cursor{At: at.Truncate(time.Millisecond), Device: loadDevices[l.random.IntN(len(loadDevices))]} // a reading, or not
	}
	return q
}
