package iot_test

import (
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
)

func TestStatus(t *testing.T) {
	const usual = time.Minute
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name   string
		device iot.Device
		now    time.Time
		want   iot.Status
	}{
		{"nothing is known of it", iot.Device{}, noon, iot.StatusNever},
		{"nothing is known of it, for long", iot.Device{OfflineAfter: time.Second}, noon.AddDate(10, 0, 0), iot.StatusNever},
		{"it has just reported", iot.Device{LastSeen: noon}, noon, iot.StatusOnline},
		{"at the last moment", iot.Device{LastSeen: noon}, noon.Add(usual - time.Millisecond), iot.StatusOnline},
		{"one later", iot.Device{LastSeen: noon}, noon.Add(usual), iot.StatusOffline},
		{"its own time is longer", iot.Device{LastSeen: noon, OfflineAfter: time.Hour}, noon.Add(usual), iot.StatusOnline},
		{"its own time is shorter", iot.Device{LastSeen: noon, OfflineAfter: time.Second}, noon.Add(time.Second), iot.StatusOffline},
		{"the clock of who asks is late", iot.Device{LastSeen: noon}, noon.Add(-time.Second), iot.StatusOnline},
	} {
		if got := c.device.Status(c.now, usual); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	t.Run("one that reports every ten minutes stays online", func(t *testing.T) {
		d := iot.Device{OfflineAfter: 700 * time.Second}
		for second := range 24 * 3600 {
			now := noon.Add(time.Duration(second) * time.Second)
			if second%600 == 0 {
				d.LastSeen = now
			}
			if status := d.Status(now, usual); status != iot.StatusOnline {
				t.Fatalf("%s at %v", status, now)
			}
		}
	})
}
