// Package occupied finds the next free millisecond of a device, for a reading whose own is occupied by another one.
package occupied

import (
	"sync"

	"github.com/telltale-iot/telltale/pkg/iot"
)

const (
	// maxDevices bounds what is remembered, to about 1 MiB. Beyond it, all is looked up once more.
	maxDevices = 1 << 14
	// How many readings are asked for at once: first a few, since most ranges are short.
	fewest, most = 64, 16384
)

// Ranges remembers, for each device that needed a free millisecond lately, a range of milliseconds that are all
// occupied: without it, each reading of a backlog that meets another one would look at all before it. What is
// occupied once stays so. The zero value is ready; it is safe for concurrent use.
type Ranges struct {
	mu  sync.Mutex
	all map[iot.DeviceID]interval
}

type interval struct{ from, end int64 } // ms since 1970; end is the first that is not known to be occupied

// NextFree returns the first millisecond from at on at which device has no reading. list returns the milliseconds
// at which it has one, ascending from a given one on, at most limit.
func (r *Ranges) NextFree(device iot.DeviceID, at int64, list func(from int64, limit int) ([]int64, error)) (int64, error) {
	known := r.of(device)
	if at < known.from || at > known.end {
		known = interval{at, at}
	}
	for limit := fewest; ; limit = min(4*limit, most) {
		occupied, err := list(known.end, limit)
		if err != nil {
			return 0, err
		}
		for _, ms := range occupied {
			if ms != known.end {
				r.set(device, known)
				return known.end, nil
			}
			known.end++
		}
		if len(occupied) < limit {
			r.set(device, known)
			return known.end, nil
		}
	}
}

// Forget is for when readings that were stored are not any more.
func (r *Ranges) Forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.all)
}

func (r *Ranges) of(device iot.DeviceID) interval {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.all[device]
}

func (r *Ranges) set(device iot.DeviceID, known interval) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.all == nil || len(r.all) >= maxDevices {
		r.all = make(map[iot.DeviceID]interval)
	}
	r.all[device] = known
}
