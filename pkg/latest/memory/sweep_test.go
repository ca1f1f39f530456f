package memory

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// put offers a reading of each of some devices, and returns how many were accepted.
func put(t *testing.T, c *Cache, first, last iot.DeviceID) int {
	t.Helper()
	var batch []iot.Reading
	for id := first; id <= last; id++ {
		batch = append(batch, iot.Reading{
			Device: id, At: time.Now(), Received: time.Now(), Metrics: []iot.Metric{{Name: iot.Humidity, Value: 1}},
		})
	}
	accepted, err := c.PutLatest(t.Context(), batch, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return accepted
}

func TestDevicesThatFellSilentTakeNoMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New()
		put(t, c, 1, 1000)
		time.Sleep(2 * sweepInterval)
		put(t, c, 1001, 1010)
		if n := len(c.entries); n != 10 {
			t.Errorf("%d entries in memory for 10 devices that are online", n)
		}
	})
}

func TestInventedDevicesTakeNoOthersPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const invented = 2 * maxBytes / (entryBytes + readingBytes)
		c := New()
		put(t, c, 1, 10)
		if n := put(t, c, 11, iot.DeviceID(10+invented)); n == 0 || n >= invented || c.bytes > maxBytes {
			t.Errorf("of %d invented devices %d are kept, in %d bytes", invented, n, c.bytes)
		}
		time.Sleep(time.Millisecond)
		if n := put(t, c, 1, 10); n != 10 {
			t.Errorf("of 10 devices that were there before %d are kept", n)
		}
		if n := put(t, c, 1<<40, 1<<40); n != 0 {
			t.Error("a new device found room where there is none")
		}
		time.Sleep(time.Minute)
		if n := put(t, c, 1<<40, 1<<40); n != 1 || len(c.entries) != 1 || c.bytes > 2*(entryBytes+readingBytes) {
			t.Errorf("when the others have fallen silent %d is kept, of %d in %d bytes", n, len(c.entries), c.bytes)
		}
	})
}

// TestClockThatWasSetBack: what arrived in the future does not keep out what arrives now.
func TestClockThatWasSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New()
		put(t, c, 1, 1)
		w := &c.entries[1].window
		w.Newest = w.Newest.AddDate(0, 0, 1)
		time.Sleep(30 * time.Second)
		put(t, c, 1, 1)
		time.Sleep(40 * time.Second)
		if _, err := c.Latest(t.Context(), 1); err != nil {
			t.Errorf("the device is offline 40 s after it reported: %v", err)
		}
	})
}
