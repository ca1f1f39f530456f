// Package stamp gives readings that came without a usable timestamp one of their own.
//
// A device and a millisecond identify a reading, so no two of a device get the same one, however many come at
// once: while they come faster than one a millisecond their stamps run ahead of the clock. They are in the
// order of receipt, also when the clock is set back, by up to a day; a clock that is set back further was
// wrong before, and is followed at once.
//
// Other processes, and earlier runs of this one, know nothing of these stamps. Where two stamps of a device are equal the
// store moves one of the readings. Each carries an origin, by which the store knows a reading that it has already. A run
// that begins with a clock which was set back stamps readings earlier than the run before did.
//
// At most maxDevices devices are remembered, which takes some 5 MiB. When there are more, those are forgotten
// whose last stamp the clock has passed. Should the stamps of most be ahead of the clock all are forgotten, and
// the next readings are stamped after the latest of these stamps.
package stamp

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
)

const (
	// maxDevices bounds the memory of a Stamper.
	maxDevices = 1 << 17
	// maxAhead is how far stamps may be ahead of the clock: more than a burst of any size that a broker
	// keeps, and than any time zone, should a clock be set from one to another.
	maxAhead = 24 * time.Hour
)

// Stamper stamps readings. It is safe for concurrent use, and its zero value ready.
type Stamper struct {
	mu       sync.Mutex
	run      uint64                 // random; with a stamp it makes an origin
	last     map[iot.DeviceID]int64 // the last stamp of a device, in ms since 1970
	others   int64                  // no device that was forgotten has a later one
	greatest int64                  // of all stamps
}

// Stamp sets At and Origin of r, unless its device stamped it. The time is that of r.Received.
func (s *Stamper) Stamp(r *iot.Reading) {
	if r.Stamped != iot.StampServer {
		return
	}
	now := r.Received.UnixMilli()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last == nil || s.greatest > now+maxAhead.Milliseconds() {
		// Stamps may be given again from now on, so their origins must be others.
		s.run, s.last, s.others, s.greatest = rand.Uint64(), map[iot.DeviceID]int64{}, 0, 0
	}
	last, ok := s.last[r.Device]
	if !ok {
		last = s.others
	}
	at := max(now, last+1)
	if !ok && len(s.last) == maxDevices {
		s.forget(now)
	}
	s.last[r.Device] = at
	s.greatest = max(s.greatest, at)
	r.At = time.UnixMilli(at).UTC()
	r.Origin = s.run + uint64(at)
}

// forget makes room in last: without the devices whose stamps are over or, where these are less than half,
// without all.
func (s *Stamper) forget(now int64) {
	over := 0
	for _, at := range s.last {
		if at < now {
			over++
		}
	}
	for device, at := range s.last {
		if at < now || over < maxDevices/2 {
			s.others = max(s.others, at)
			delete(s.last, device)
		}
	}
}
