package mapping_test

import (
	"testing"

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
