package payload_test

import (
	"testing"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/payload"
)

// TestMay sends for a device that is the sender's, between others.
func TestMay(t *testing.T) {
	may := func(id iot.DeviceID) bool { return id == 7 }
	batch := payload.Message{Payload: []byte(`[{"device_id":7,"x":1},{"device_id":8,"x":2},{"device_id":"kitchen","x":3},{"device_id":7,"x":4}]`), Received: received, May: may}
	readings, rejected := decodeMessage(batch)
	if len(readings) != 2 || len(rejected) != 2 {
		t.Fatalf("%+v, %+v", readings, rejected)
	}
	for i, want := range []iot.Rejection{
		{Device: 8, Index: 1, Detail: "its sender may not send for device 8", Bytes: []byte(`{"device_id":8,"x":2}`)},
		{Device: iot.KeyID("kitchen"), Index: 2, Detail: `its sender may not send for device "kitchen"`, Bytes: []byte(`{"device_id":"kitchen","x":3}`)},
	} {
		want.Reason = iot.ReasonDeviceNotAllowed
		if got := rejected[i]; got.Reason != want.Reason || got.Device != want.Device || got.Index != want.Index || got.Detail != want.Detail || string(got.Bytes) != string(want.Bytes) {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
	if readings, rejected := decodeMessage(payload.Message{DeviceID: "8", Payload: []byte(`{"x":1}`), Received: received, May: may}); len(readings) > 0 || len(rejected) != 1 || rejected[0].Reason != iot.ReasonDeviceNotAllowed {
		t.Errorf("by its topic: %+v, %+v", readings, rejected)
	}
	if readings, rejected := decodeMessage(payload.Message{DeviceID: "8", Payload: []byte(`{"x":1}`), Received: received}); len(readings) != 1 || len(rejected) > 0 {
		t.Errorf("of the next sender: %+v, %+v", readings, rejected)
	}
}
