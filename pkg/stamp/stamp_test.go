package stamp

import (
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)

func ms(n int) time.Time { return start.Add(time.Duration(n) * time.Millisecond) }

// stamped returns a reading that device sent without a timestamp, received at received and stamped by s.
func stamped(s *Stamper, device iot.DeviceID, received time.Time) iot.Reading {
	r := iot.Reading{Device: device, At: received, Received: received, Stamped: iot.StampServer}
	s.Stamp(&r)
	return r
}

func TestStamps(t *testing.T) {
	const hour, day = 3600e3, 24 * 3600e3 // ms
	type step struct {
		device   iot.DeviceID
		received time.Time
		want     time.Time
	}
	for _, tt := range []struct {
		promise string
		steps   []step
	}{
		{"a reading is stamped with its receipt", []step{{1, ms(0), ms(0)}, {1, ms(10), ms(10)}}},
		{"readings of one millisecond get consecutive ones", []step{{1, ms(0), ms(0)}, {1, ms(0), ms(1)}, {1, ms(0), ms(2)}}},
		{"devices do not share stamps", []step{{1, ms(0), ms(0)}, {2, ms(0), ms(0)}}},
		{"a stamp in use is passed over later too", []step{{1, ms(0), ms(0)}, {1, ms(0), ms(1)}, {1, ms(1), ms(2)}, {1, ms(5), ms(5)}}},
		{"a clock that is set back by an hour does not change the order", []step{
			{1, ms(0), ms(0)}, {1, ms(-hour), ms(1)}, {1, ms(-hour + 5000), ms(2)}, {1, ms(3), ms(3)},
		}},
		{"a clock that is set back by more than a day is followed", []step{
			{1, ms(30 * day), ms(30 * day)}, {1, ms(0), ms(0)}, {2, ms(0), ms(0)}, {1, ms(0), ms(1)},
		}},
	} {
		t.Run(tt.promise, func(t *testing.T) {
			var s Stamper
			for i, step := range tt.steps {
				if got := stamped(&s, step.device, step.received).At; !got.Equal(step.want) {
					t.Errorf("step %d: stamped %v, want %v", i, got, step.want)
				}
			}
		})
	}

	t.Run("a reading that its device stamped stays as it is", func(t *testing.T) {
		var s Stamper
		r := iot.Reading{Device: 1, At: ms(7), Received: ms(0), Stamped: iot.StampDevice}
		if s.Stamp(&r); !r.At.Equal(ms(7)) || r.Origin != 0 {
			t.Errorf("stamped %v with origin %d", r.At, r.Origin)
		}
	})

	t.Run("100,000 readings at once get a millisecond each, in order", func(t *testing.T) {
		var s Stamper
		for i := range 100_000 {
			if got := stamped(&s, 1, start).At; !got.Equal(ms(i)) {
				t.Fatalf("reading %d: stamped %v, want %v", i, got, ms(i))
			}
		}
	})
}

func TestOrigins(t *testing.T) {
	t.Run("are different for each reading of a device, also in another run, and for a stamp that is given again", func(t *testing.T) {
		seen := map[uint64]bool{0: true}
		add := func(r iot.Reading) {
			if seen[r.Origin] {
				t.Fatalf("origin %d twice, or 0", r.Origin)
			}
			seen[r.Origin] = true
		}
		for range 3 {
			var s Stamper
			for range 1000 {
				add(stamped(&s, 1, start))
			}
			add(stamped(&s, 1, start.AddDate(0, 0, 30))) // the clock was wrong for a moment
			for range 1000 {
				add(stamped(&s, 1, start))
			}
		}
	})
}

func TestBound(t *testing.T) {
	devices := func(s *Stamper, received time.Time) {
		for device := range iot.DeviceID(3 * maxDevices) {
			stamped(s, device+1, received)
			if len(s.last) > maxDevices {
				t.Fatalf("%d devices are remembered, want %d at most", len(s.last), maxDevices)
			}
		}
	}
	t.Run("whose stamps are over is forgotten, and stays in order all the same when the clock is set back", func(t *testing.T) {
		var s Stamper
		stamped(&s, 1, ms(0))
		for device := range iot.DeviceID(maxDevices) {
			stamped(&s, device+2, ms(1))
		}
		if _, ok := s.last[1]; ok {
			t.Fatal("device 1 is remembered")
		}
		if got := stamped(&s, 1, ms(-3600e3)).At; !got.After(ms(0)) {
			t.Errorf("stamped %v, want it after %v", got, ms(0))
		}
	})
	t.Run("with the clock set back too there are so many, and each in order", func(t *testing.T) {
		var s Stamper
		devices(&s, ms(0))
		devices(&s, ms(-3600e3))
		if got := stamped(&s, 1, ms(-3600e3)).At; !got.After(ms(0)) || got.After(ms(10)) {
			t.Errorf("stamped %v, want it soon after %v", got, ms(0))
		}
		if got := stamped(&s, 1, ms(1000)).At; !got.Equal(ms(1000)) {
			t.Errorf("stamped %v when the clock is right again", got)
		}
	})
}
