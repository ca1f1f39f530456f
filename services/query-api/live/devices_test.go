package live_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka/kafkatest"
)

// TestDevices: who comes back is told of devices if any has changed, and of nothing else.
func TestDevices(t *testing.T) {
	w := newWorld(t, 1)
	w.devices.set(1, "one")
	w.devices.set(2, "two")
	h, _ := w.hub(t)
	c := &client{t: t}
	stop := c.listen(h)
	c.place()
	w.devices.looked(t)
	w.publish(t, 1)
	w.wantAll(t, c, 0)
	comeBack := func() {
		_ = stop()
		stop = c.listen(h)
		w.devices.looked(t)
		w.publish(t, 1)
		w.wantAll(t, c, 0)
	}
	comeBack()
	if got := c.data("device"); got != nil {
		t.Errorf("nothing has changed, and it is told %q", got)
	}
	_ = stop()
	w.devices.set(2, "zwei")
	comeBack()
	want := []string{`{"id":1,"name":"one"}`, `{"id":2,"name":"zwei"}`}
	if diff := cmp.Diff(want, c.wait("device", 2)); diff != "" {
		t.Errorf("while it was away one has changed (-want +got):\n%s", diff)
	}
	comeBack()
	w.devices.fail(errors.New("away"))
	w.devices.set(3, "three")
	comeBack()
	w.devices.fail(nil)
	c.wait("device", 5)
	if diff := cmp.Diff(append(slices.Repeat(want, 2), `{"id":3,"name":"three"}`), c.data("device")); diff != "" {
		t.Errorf("their store was away, and comes back (-want +got):\n%s", diff)
	}
	c.wantResyncs(0)
}

// TestDevicesAfterCuts: a client that is cut off while it is told of its devices is told of them when it comes back.
func TestDevicesAfterCuts(t *testing.T) {
	const devices = 2 * 1000 // two pages
	w := newWorld(t, 1)
	h, _ := w.hub(t)
	c := &client{t: t}
	stop := c.listen(h)
	c.place()
	w.devices.looked(t)
	w.publish(t, 1)
	w.wantAll(t, c, 0)
	_ = stop()
	for id := range iot.DeviceID(devices) {
		w.devices.set(id+1, "new")
	}
	for _, budget := range []int{40_000, 130_000} {
		c.breakAfter(budget)
		stop = c.listen(h)
		kafkatest.Eventually(t, kafkatest.Timeout, "a cut", c.isCut)
		_ = stop()
	}
	before := len(c.data("device"))
	stop = c.listen(h)
	if got := slices.Compact(c.between("device", before+devices, `"id":`, ",")); len(got) != devices {
		t.Errorf("told of %d devices, want %d", len(got), devices)
	}
	w.publish(t, 1)
	w.wantAll(t, c, 0)
	_ = stop()
	c.listen(h)
	w.devices.looked(t)
	w.publish(t, 1)
	w.wantAll(t, c, 0)
	if got := len(c.data("device")); got != before+devices {
		t.Errorf("told of devices %d times, want %d: it has them all", got, before+devices)
	}
}
