package metadatatest

import (
	"testing"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// Benchmark measures the calls that a busy system makes all the time. empty is as in Run.
func Benchmark(b *testing.B, empty func(testing.TB) Database) {
	db := &database{empty(b), b}
	s := db.prepared()
	ids := make([]iot.DeviceID, 1000)
	for i := range ids {
		ids[i] = iot.DeviceID(i + 1)
	}
	if _, err := s.EnsureDevices(b.Context(), ids); err != nil {
		b.Fatal(err)
	}
	b.Run("Device", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := s.Device(b.Context(), 500); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Devices of 20", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if found, err := s.Devices(b.Context(), iot.DeviceQuery{After: 500, Limit: 20}); len(found) != 20 {
				b.Fatal(len(found), err)
			}
		}
	})
	b.Run("EnsureDevices of 1000 that exist", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if n, err := s.EnsureDevices(b.Context(), ids); n != 0 || err != nil {
				b.Fatal(n, err)
			}
		}
	})
}
