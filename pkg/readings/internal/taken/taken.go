// Package taken finds the next free millisecond of a device, for a reading whose own is taken.
package taken

import (
	"sync"

	"github.com/telltale-iot/telltale/pkg/iot"
)

const (
	// maxDevices bounds what is remembered, to about 1 MiB. Beyond it, all is looked up once more.
	maxDevices = 1 << 14
	// How many readings are asked for at once: first a few, since most stretches are short.
	fewest, most = 64, 16384
)

// Stretches remembers, for each device that needed a free millisecond lately, a stretch of milliseconds that
// are all taken: without it, each reading of a backlog that meets another one would walk over all before it.
// What is taken once stays taken. The zero value is ready; it is safe for concurrent use.
type Stretches struct {
	mu  sync.Mutex
	all map[iot.DeviceID]stretch
}

type stretch struct{ from, end int64 } // ms since 1970; end is the first that is not known to be taken

// Next returns the first millisecond from at on at which device has no reading. list returns the milliseconds
// at which it has one, ascending from a given one on, at most limit.
func (s *Stretches) Next(device iot.DeviceID, at int64, list func(from int64, limit int) ([]int64, error)) (int64, error) {
	known := s.of(device)
	if at < known.from || at > known.end {
		known = stretch{at, at}
	}
	for limit := fewest; ; limit = min(4*limit, most) {
		taken, err := list(known.end, limit)
		if err != nil {
			return 0, err
		}
		for _, ms := range taken {
			if ms != known.end {
				s.set(device, known)
				return known.end, nil
			}
			known.end++
		}
		if len(taken) < limit {
			s.set(device, known)
			return known.end, nil
		}
	}
}

// Forget is for when readings that were stored are not any more.
func (s *Stretches) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.all)
}

func (s *Stretches) of(device iot.DeviceID) stretch {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all[device]
}

func (s *Stretches) set(device iot.DeviceID, known stretch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil || len(s.all) >= maxDevices {
		s.all = make(map[iot.DeviceID]stretch)
	}
	s.all[device] = known
}
