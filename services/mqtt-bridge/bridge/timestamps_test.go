package bridge

import (
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
)

func TestStamps(t *testing.T) {
	var (
		start = time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)
		ms    = func(n int) time.Time { return start.Add(time.Duration(n) * time.Millisecond) }
	)
	type step struct {
		device   iot.DeviceID
		received time.Time
		want     time.Time
	}
	tests := []struct {
		name  string
		steps []step
	}{
		{"a reading is stamped with its receipt", []step{{1, ms(0), ms(0)}}},
		{"readings of one millisecond get consecutive ones", []step{{1, ms(0), ms(0)}, {1, ms(0), ms(1)}, {1, ms(0), ms(2)}}},
		{"devices do not share stamps", []step{{1, ms(0), ms(0)}, {2, ms(0), ms(0)}}},
		{"a stamp in use is passed over later too", []step{{1, ms(0), ms(0)}, {1, ms(0), ms(1)}, {1, ms(1), ms(2)}, {1, ms(5), ms(5)}}},
		{"a clock that goes back a little", []step{{1, ms(10), ms(10)}, {1, ms(8), ms(11)}}},
		{"a clock that is set back by an hour", []step{
			{1, ms(0), ms(0)}, {1, ms(-3600e3), ms(-3600e3)}, {1, ms(-3600e3 + 5000), ms(-3600e3 + 5000)}, {1, ms(-3600e3 + 5000), ms(-3600e3 + 5001)},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var s stamper
			for i, step := range tt.steps {
				if got := s.stamp(step.device, step.received); !got.Equal(step.want) {
					t.Errorf("step %d: stamped %v, want %v", i, got, step.want)
				}
			}
		})
	}

	t.Run("stamps run ahead of the clock by a second at most", func(t *testing.T) {
		var s stamper
		for i := range maxStampAhead + 1 {
			if got := s.stamp(1, start); !got.Equal(ms(i)) {
				t.Fatalf("reading %d: stamped %v, want %v", i, got, ms(i))
			}
		}
		if got := s.stamp(1, start); !got.Equal(start) {
			t.Errorf("the next is stamped %v, want its receipt", got)
		}
		if got := s.stamp(1, ms(1)); !got.Equal(ms(maxStampAhead + 1)) {
			t.Errorf("a millisecond later it is %v, want %v", got, ms(maxStampAhead+1))
		}
	})

	t.Run("no stamp is given twice while it can matter", func(t *testing.T) {
		var s stamper
		given := make(map[time.Time]bool)
		for i := range 20_000 { // bursts of 900, a second apart
			at := s.stamp(1, ms(i/900*1000))
			if given[at] {
				t.Fatalf("reading %d: %v is given again", i, at)
			}
			given[at] = true
		}
	})

	t.Run("devices that fell silent are forgotten", func(t *testing.T) {
		var s stamper
		for i := range 1000 {
			s.stamp(iot.DeviceID(i+1), start)
		}
		s.stamp(1, ms(stampsKept))
		s.stamp(1, ms(2*stampsKept))
		if n := len(s.young) + len(s.old); n > 2 {
			t.Errorf("%d devices are remembered, want those of late", n)
		}
	})
}
