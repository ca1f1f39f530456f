package occupied

import (
	"errors"
	"testing"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// store has the milliseconds at which a device has readings.
type store struct {
	occupied map[int64]bool
	last     int64
	listed   int
}

func (s *store) add(at int64) {
	s.occupied[at] = true
	s.last = max(s.last, at)
}

func (s *store) list(from int64, limit int) (times []int64, err error) {
	for at := from; at <= s.last && len(times) < limit; at++ {
		if s.occupied[at] {
			times = append(times, at)
		}
	}
	s.listed += len(times)
	return times, nil
}

func TestNextFree(t *testing.T) {
	next := func(t *testing.T, s *Ranges, in *store, at, want int64) {
		t.Helper()
		if got, err := s.NextFree(1, at, in.list); got != want || err != nil {
			t.Errorf("the next free one from %d on is %d, %v; want %d", at, got, err, want)
		}
	}
	t.Run("is the first that is free", func(t *testing.T) {
		in := &store{occupied: map[int64]bool{}}
		var s Ranges
		next(t, &s, in, 7, 7)
		for _, at := range []int64{7, 8, 10, 12} {
			in.add(at)
		}
		for _, want := range []struct{ at, next int64 }{{7, 9}, {6, 6}, {8, 9}, {9, 9}, {10, 11}, {11, 11}, {12, 13}, {7, 9}} {
			next(t, &s, in, want.at, want.next)
		}
		in.add(9)
		next(t, &s, in, 7, 11)
		in.add(11)
		next(t, &s, in, 7, 13)
	})
	t.Run("is found over a long range, and each reading looked at but once", func(t *testing.T) {
		in := &store{occupied: map[int64]bool{}}
		var s Ranges
		const n = 100_000
		for at := range int64(n) {
			in.add(at)
		}
		for at := range int64(n) { // as many more, which all collide
			got, err := s.NextFree(1, at, in.list)
			if err != nil || got != n+at {
				t.Fatalf("for %d it is %d, %v; want %d", at, got, err, n+at)
			}
			in.add(got)
		}
		if in.listed > 2*n {
			t.Errorf("%d readings were looked at, want %d", in.listed, 2*n)
		}
	})
	t.Run("is not known while the store is away", func(t *testing.T) {
		var s Ranges
		away := errors.New("away")
		if _, err := s.NextFree(1, 0, func(int64, int) ([]int64, error) { return nil, away }); !errors.Is(err, away) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("needs no more memory for more devices than there is", func(t *testing.T) {
		in := &store{occupied: map[int64]bool{}}
		var s Ranges
		for device := range iot.DeviceID(maxDevices + 10) {
			if _, err := s.NextFree(device+1, 0, in.list); err != nil || len(s.all) > maxDevices {
				t.Fatalf("%d devices are remembered, %v", len(s.all), err)
			}
		}
	})
}
