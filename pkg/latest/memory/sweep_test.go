package memory

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
)

func TestDevicesThatFellSilentTakeNoMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New()
		put := func(first, last iot.DeviceID) {
			var batch []iot.Reading
			for id := first; id <= last; id++ {
				batch = append(batch, iot.Reading{
					Device: id, At: time.Now(), Received: time.Now(), Metrics: []iot.Metric{{Name: iot.Humidity, Value: 1}},
				})
			}
			if _, err := c.PutLatest(t.Context(), batch, time.Minute); err != nil {
				t.Fatal(err)
			}
		}
		put(1, 1000)
		time.Sleep(2 * sweepInterval)
		put(1001, 1010)
		if n := len(c.entries); n != 10 {
			t.Errorf("%d entries in memory for 10 devices that are online", n)
		}
	})
}
