package latesttest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/latest"
)

var keepingTests = []test{
	{"an empty cache has nothing", func(t *testing.T, c latest.Cache) {
		checkNone(t, c, 1)
		checkAll(t, c)
		put(t, c, long)
		checkAll(t, c)
	}},

	{"every field but Received and Origin comes back as it was", func(t *testing.T, c latest.Cache) {
		for _, want := range []iot.Reading{
			{
				Device: iot.KeyID(`"Küche"`), Key: `"Küche"`, At: base.Add(7 * time.Millisecond), Received: now(),
				Stamped: iot.StampServer, Origin: 7, Said: "\x00 noon",
				Metrics: []iot.Metric{
					{Name: "\"\\\x01\u2028", Value: -1e-9}, {Name: "Temperature", Value: 1.7976931348623157e308},
					{Name: "humidity", Value: 0}, {Name: "temperature", Value: 0.1}, {Name: "Δ", Value: 1<<53 + 2},
				},
				Attributes: []iot.Attribute{{Name: `"timestamp":"`, Value: ""}, {Name: "site", Value: "Küche\n\U0001F321"}},
			},
			{
				Device: iot.MaxDeviceID, At: base, Received: now(), Stamped: iot.StampUnknown,
				Metrics: []iot.Metric{{Name: "x", Value: 21}},
			},
		} {
			put(t, c, long, want)
			check(t, c, want)
		}
	}},

	{"a newer reading replaces an older one", func(t *testing.T, c latest.Cache) {
		put(t, c, long, reading(1, base, 1))
		want := reading(1, base.Add(time.Millisecond), 2)
		put(t, c, long, want)
		check(t, c, want)
	}},

	{"an older reading never replaces a newer one", func(t *testing.T, c latest.Cache) {
		want := reading(1, base, 1)
		put(t, c, long, want)
		for _, before := range []time.Duration{time.Millisecond, time.Second, 24 * time.Hour, 20 * 365 * 24 * time.Hour} {
			put(t, c, long, reading(1, base.Add(-before), 2))
		}
		check(t, c, want)
	}},

	{"of two readings of one moment the first stays", func(t *testing.T, c latest.Cache) {
		first, second := reading(1, base, 1), reading(1, base, 2)
		put(t, c, long, first)
		put(t, c, long, second)
		check(t, c, first)

		first.Device, second.Device = 2, 2
		put(t, c, long, first, second)
		check(t, c, first)
	}},

	{"of several readings of a device in a batch the newest is kept", func(t *testing.T, c latest.Cache) {
		var batch []iot.Reading
		for _, s := range []int{3, 1, 9, 2, 5} {
			for id := range iot.DeviceID(4) {
				batch = append(batch, reading(id+1, base.Add(time.Duration(s)*time.Second), float64(s)))
			}
		}
		put(t, c, long, batch...)
		checkAll(t, c, batch[8:12]...)
	}},

	{"a put says of how many devices it keeps a reading, and repeating it changes nothing", func(t *testing.T, c latest.Cache) {
		batch := []iot.Reading{reading(1, base, 1), reading(1, base.Add(time.Second), 2), reading(2, base, 3)}
		for _, want := range []int{2, 0, 0} {
			if accepted, err := c.PutLatest(t.Context(), batch, long); err != nil || accepted != want {
				t.Errorf("PutLatest: %d, %v; want %d", accepted, err, want)
			}
			checkAll(t, c, batch[1:]...)
		}
	}},

	{"a batch is not kept: its owner may change it", func(t *testing.T, c latest.Cache) {
		batch := []iot.Reading{reading(1, base, 1)}
		batch[0].Attributes = []iot.Attribute{{Name: "site", Value: "A"}}
		want := batch[0]
		want.Metrics, want.Attributes = slices.Clone(want.Metrics), slices.Clone(want.Attributes)
		put(t, c, long, batch...)
		batch[0].Metrics[0].Value, batch[0].Attributes[0].Value = 2, "B"
		batch[0].Device = 2
		check(t, c, want)
	}},

	{"all readings come back ascending by device, however many", func(t *testing.T, c latest.Cache) {
		var want []iot.Reading
		for i := range 1501 {
			want = append(want, reading(iot.DeviceID(1+7*i), base, float64(i)))
		}
		shuffled := slices.Clone(want)
		rand.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		put(t, c, long, shuffled...)
		checkAll(t, c, want...)
	}},

	{"10,000 shuffled readings over 8 writers end at the newest, and no reader sees time go back", shuffled},
}

func shuffled(t *testing.T, c latest.Cache) {
	const devices, each, writers = 20, 500, 8
	var all []iot.Reading
	for id := range iot.DeviceID(devices) {
		for i := range each {
			all = append(all, reading(id+1, base.Add(time.Duration(i)*time.Millisecond), float64(i)))
		}
	}
	var newest []iot.Reading
	for i := each - 1; i < len(all); i += each {
		newest = append(newest, all[i])
	}
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })

	ctx, stopReaders := context.WithCancel(t.Context())
	var readers, puts sync.WaitGroup
	for id := range iot.DeviceID(devices) {
		readers.Go(func() {
			if err := neverBack(ctx, c, id+1); err != nil {
				t.Error(err)
			}
		})
	}
	for w := range writers {
		puts.Go(func() {
			mine := all[w*len(all)/writers : (w+1)*len(all)/writers]
			for batch := range slices.Chunk(mine, 100) {
				if _, err := c.PutLatest(t.Context(), batch, long); err != nil {
					t.Errorf("PutLatest: %v", err)
				}
			}
		})
	}
	puts.Wait()
	stopReaders()
	readers.Wait()
	checkAll(t, c, newest...)
}

// neverBack reads a device's latest reading until ctx ends, and complains when it gets older.
func neverBack(ctx context.Context, c latest.Cache, id iot.DeviceID) error {
	var last time.Time
	for ctx.Err() == nil {
		switch r, err := c.Latest(context.WithoutCancel(ctx), id); {
		case errors.Is(err, iot.ErrNotFound) && last.IsZero(): // not written yet
		case err != nil:
			return fmt.Errorf("read device %d after %v: %w", id, last, err)
		case r.At.Before(last):
			return fmt.Errorf("device %d went back from %v to %v", id, last, r.At)
		default:
			last = r.At
		}
		time.Sleep(time.Millisecond)
	}
	return nil
}
