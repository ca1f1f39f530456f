package mapping_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/mapping"
)

// TestMay sends in each form for a device that is not the sender's: then for one that is.
func TestMay(t *testing.T) {
	set := load(t, "sparkplug", "senml", "zigbee2mqtt")
	for _, tt := range []struct {
		name, topic string
		payload     []byte
		device      string
	}{
		{"by a rule", "zigbee2mqtt/kitchen", []byte(`{"temperature": 21}`), "kitchen"},
		{"in SenML", "senml", []byte(`[{"bn": "urn:dev:mac:0024befffe804ff1:", "n": "temperature", "v": 21}]`), "urn:dev:mac:0024befffe804ff1"},
		{"in Sparkplug", "spBv1.0/plant/NDATA/press", sparkplug(2, metric("count", 0, 10).double(13, 1)), "plant/press"},
		{"in a birth of Sparkplug", "spBv1.0/plant/NBIRTH/press", nbirth(7, metric("count", 1, 10).double(13, 1)), "plant/press"},
		{"in a death of Sparkplug", "spBv1.0/plant/NDEATH/press", sparkplug(-1, metric("bdSeq", 0, 8).varint(11, 7)), "plant/press"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, may := range []bool{false, true} {
				result, ok := decode(set, tt.topic, mapping.Message{
					Payload: tt.payload, Received: received, Ordered: true,
					May: func(id iot.DeviceID) bool { return id != iot.KeyID(tt.device) || may },
				})
				switch {
				case !ok:
					t.Fatal("no rule is for it")
				case may && (len(result.Readings) != 1 || len(result.Rejected) > 0):
					t.Errorf("its own: %+v", result)
				case !may && (len(result.Readings) > 0 || len(result.Rejected) != 1 || result.Rejected[0].Reason != iot.ReasonDeviceNotAllowed):
					t.Errorf("another's: %+v", result)
				}
			}
		})
	}
}

// TestOwn: a device that a message leaves out is its sender's own, and one that it names is not.
func TestOwn(t *testing.T) {
	set := load(t, "telltale", "senml")
	rules, err := mapping.Parse("rules.yaml", []byte("- {name: pushed, topic: push, device: '{.id}', values: {drop: [id]}}"), time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	own := iot.Identity{ID: iot.KeyID("kitchen"), Key: "kitchen"}
	for _, tt := range []struct {
		set            *mapping.Set
		topic, payload string
		own            bool
	}{
		{set, "sensors/data", `{"temperature": 21}`, true},
		{set, "sensors/data", `{"device_id": 7, "temperature": 21}`, false},
		{set, "sensors/7/data", `{"temperature": 21}`, false},
		{set, "senml", `[{"n": "temperature", "v": 21}]`, true},
		{set, "senml/7", `[{"n": "temperature", "v": 21}]`, false},
		{rules, "push", `{"temperature": 21}`, true},
		{rules, "push", `{"id": "7", "temperature": 21}`, false},
	} {
		result, _ := decode(tt.set, tt.topic, mapping.Message{Payload: []byte(tt.payload), Received: received, Own: own})
		if len(result.Readings) != 1 {
			t.Fatalf("%s %s: %+v", tt.topic, tt.payload, result)
		}
		want := iot.Identity{ID: 7}
		if tt.own {
			want = own
		}
		if r := result.Readings[0]; r.Device != want.ID || r.Key != want.Key {
			t.Errorf("%s %s is of %d %q", tt.topic, tt.payload, r.Device, r.Key)
		}
	}
}

// sent is a message of who speaks for one device.
func sent(payload []byte, device string) mapping.Message {
	id, _, _ := iot.ParseDevice(device)
	speaks := func(other iot.DeviceID) bool { return other == id }
	return mapping.Message{Payload: payload, Received: received, Ordered: true, May: speaks, Speaks: speaks}
}

// TestConfigsOfOthers: what a device says of its own values, others cannot change: neither before nor after it.
func TestConfigsOfOthers(t *testing.T) {
	set := load(t, "homeassistant-discovery")
	config := func(device, state string) []byte {
		return fmt.Appendf(nil, `{"name": "t", "state_topic": %q, "device": {"identifiers": [%q]}}`, state, device)
	}
	say := func(topic, device string, payload []byte) mapping.Result {
		t.Helper()
		result, _ := decode(set, topic, sent(payload, device))
		return result
	}
	const mine = "homeassistant/sensor/t/config"
	if r := say(mine, "a-thief", config("victim", "victim/state")); len(r.Rejected) != 1 || r.Rejected[0].Reason != iot.ReasonDeviceNotAllowed {
		t.Errorf("of another's values it says %+v", r)
	}
	say(mine, "a-thief", config("a-thief", "victim/state")) // under the name of the config that will come, and of its topic
	say(mine, "victim", config("victim", "victim/state"))
	read := func(when string) {
		t.Helper()
		r := say("victim/state", "victim", []byte("21"))
		if len(r.Readings) != 1 || r.Readings[0].Key != "victim" {
			t.Errorf("%s: %+v", when, r)
		}
	}
	read("after a config that was there before")
	say(mine, "a-thief", nil)
	read("after the other's is gone")
	for i := range 2000 {
		say(fmt.Sprint("homeassistant/sensor/", i, "/config"), "a-thief", config("a-thief", fmt.Sprint("victim/", i)))
	}
	say("homeassistant/sensor/last/config", "victim", config("victim", "victim/last"))
	if r := say("victim/last", "victim", []byte("21")); len(r.Readings) != 1 {
		t.Errorf("one took the room of all: %+v", r)
	}
	if r := say("victim/state", "a-thief", []byte("99")); len(r.Readings) != 0 {
		t.Errorf("it sends for another: %+v", r)
	}
}

// TestNodesOfOthers: what others send as a node changes nothing of what its messages mean.
func TestNodesOfOthers(t *testing.T) {
	set := load(t, "sparkplug")
	say := func(topic, device string, payload []byte) mapping.Result {
		t.Helper()
		result, ok := decode(set, topic, sent(payload, device))
		if !ok {
			t.Fatal("no rule is for it")
		}
		return result
	}
	named := metric("count", 1, 10).double(13, 1)
	say("spBv1.0/plant/NBIRTH/press", "plant/press", nbirth(7, named))
	for _, kind := range []string{"NDATA", "NBIRTH", "NDEATH"} {
		if r := say("spBv1.0/plant/"+kind+"/press", "plant/thief", sparkplug(1, metric("x", 1, 10).double(13, 1))); len(r.Rejected) != 1 || len(r.Requests) != 0 {
			t.Errorf("%s of another: %+v", kind, r)
		}
	}
	if r := say("spBv1.0/plant/DDATA/press/thief", "plant/press/thief", sparkplug(1, metric("x", 1, 10).double(13, 1))); len(r.Rejected) != 1 {
		t.Errorf("a device without its node: %+v", r)
	}
	if r := say("spBv1.0/plant/NDATA/press", "plant/press", sparkplug(1, metric("", 1, 10).double(13, 2))); len(r.Readings) != 1 || len(r.Requests) != 0 {
		t.Errorf("the next message of the node: %+v", r)
	}
}
