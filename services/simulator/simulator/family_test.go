package simulator

import (
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/mapping"
)

// decoded is a reading, the message that it is of, and the preset that read it.
type decoded struct {
	iot.Reading
	sent   sentAt
	preset string
}

// decodeAll has the presets read what was sent, and reports what they do not read.
func decodeAll(t *testing.T, sent []sentAt) (readings []decoded) {
	t.Helper()
	set, err := mapping.Load(nil, time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range sent {
		route, ok := set.Match(m.topic)
		if !ok {
			t.Fatalf("no rule reads %s", m.topic)
		}
		var d mapping.Decoder
		var r mapping.Result
		for d.Start(route, mapping.Message{Payload: m.payload, Received: m.due, Ordered: true}); d.More(); {
			d.Next(&r)
		}
		config := strings.HasPrefix(m.topic, "homeassistant/") // which tells how to read what comes behind it
		if (len(r.Readings) == 0) != config || len(r.Rejected) > 0 || len(r.Omitted) > 0 {
			t.Fatalf("%s %s\nis %d readings, rejected %+v, omitted %+v", m.topic, m.payload, len(r.Readings), r.Rejected, r.Omitted)
		}
		for _, reading := range r.Readings {
			word, _, _ := strings.Cut(route.Rule(), "-")
			i := slices.IndexFunc(mapping.Presets, func(name string) bool { return strings.HasPrefix(name, word) })
			readings = append(readings, decoded{reading, m, mapping.Presets[i]})
		}
	}
	return readings
}

// TestFamilies: the presets read all that each family sends, of each device what it measures, under a key of its own
// and with the time that the family's devices give.
func TestFamilies(t *testing.T) {
	for _, f := range families {
		t.Run(f.name, func(t *testing.T) {
			const devices = 5
			sent, _ := drain(t, Config{Families: []string{f.name}, FirstDevice: 900_001, Devices: devices, Rate: 1}, time.Minute, nil)
			type moment struct {
				device iot.DeviceID
				at     time.Time
			}
			seen := map[moment]bool{}
			keys := map[string][]float64{}
			for _, r := range decodeAll(t, sent) {
				if m := (moment{r.Device, r.At}); f.clock > 0 && seen[m] {
					t.Fatalf("%s has two readings of %v", r.Key, r.At)
				} else {
					seen[m] = true
				}
				if byDevice := r.Stamped == iot.StampDevice; byDevice != (f.clock > 0) || r.At.Sub(r.sent.due).Abs() > max(time.Millisecond, f.clock) {
					t.Fatalf("%s\nis of %v, by its own clock: %v; it was measured at %v", r.sent.payload, r.At, byDevice, r.sent.due)
				}
				if r.preset != f.name {
					t.Fatalf("preset %s reads it", r.preset)
				}
				if v, ok := r.Metric("temperature"); ok {
					if v < 5 || v > 40 {
						t.Errorf("%v °C", v)
					}
					keys[shown(r.Reading)] = append(keys[shown(r.Reading)], v)
				}
				if v, ok := r.Metric("humidity"); ok && (v < 5 || v > 100) {
					t.Errorf("humidity %v", v)
				}
			}
			if len(keys) != devices {
				t.Errorf("temperatures of %v", slices.Sorted(maps.Keys(keys)))
			}
			for key, values := range keys {
				if slices.Min(values) == slices.Max(values) {
					t.Errorf("%s does not move: %v", key, values)
				}
				if spread := slices.Max(values) - slices.Min(values); spread > 2 {
					t.Errorf("%s moves %v °C in a minute", key, spread)
				}
			}
		})
	}
	t.Run("there is one for each preset", func(t *testing.T) {
		if diff := cmp.Diff(sorted(mapping.Presets), sorted(familyNames())); diff != "" {
			t.Errorf("families (-presets +simulator):\n%s", diff)
		}
	})
	t.Run("devices are called what such devices are", func(t *testing.T) {
		want := []string{"900001", "Room 900001", "tasmota_0DBBA1", "room_900001/climate", "shellyplusht-0000000dbba1", "eui-00000000000dbba1",
			"00000000000dbba1", "room-900001", "A4C1380DBBA1", "urn:dev:mac:0024befffe0dbba1", "plant/room-900001", "room-900001-ha"}
		var got []string
		for _, f := range families {
			sent, _ := drain(t, Config{Families: []string{f.name}, FirstDevice: 900_001, Devices: 1, Rate: 10, Count: 3}, time.Second, nil)
			got = append(got, shown(decodeAll(t, sent)[0].Reading))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("devices (-want +got):\n%s", diff)
		}
	})
	t.Run("RETAIN reaches the broker", func(t *testing.T) {
		b := startBroker(t, &broker{})
		s := newSimulator(t, Config{URL: b.url, Families: []string{"esphome", "shelly", "homeassistant-discovery"}, Devices: 3, Count: 30})
		if err := s.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, m := range b.messages() {
			if m.retain != (strings.HasPrefix(m.topic, "room-") || strings.HasPrefix(m.topic, "homeassistant/")) {
				t.Errorf("%s: RETAIN is %v", m.topic, m.retain)
			}
		}
	})
	t.Run("devices of several families take turns", func(t *testing.T) {
		sent, _ := drain(t, Config{Families: familyNames(), Devices: 2 * len(families), Rate: 1}, 30*time.Second, nil)
		got := map[string]bool{}
		for _, r := range decodeAll(t, sent) {
			got[r.preset] = true
		}
		if diff := cmp.Diff(sorted(familyNames()), slices.Sorted(maps.Keys(got))); diff != "" {
			t.Errorf("families (-want +got):\n%s", diff)
		}
	})
	t.Run("a bad clock is of those who have one", func(t *testing.T) {
		sent, c := drain(t, Config{Families: []string{"tasmota", "esphome"}, Devices: 2, Rate: 1, Faults: Faults{BadClock: 100}}, 20*time.Second, nil)
		var said int64
		for _, r := range decodeAll(t, sent) {
			if r.Said != "" {
				said++
			}
		}
		if n := c.badClock.Load(); said != n || math.Abs(float64(n)-20) > 2 {
			t.Errorf("%d readings with a bad clock, %d were counted", said, n)
		}
	})
}

// shown is the key of the device, or its id.
func shown(r iot.Reading) string {
	if r.Key != "" {
		return r.Key
	}
	return r.Device.String()
}
