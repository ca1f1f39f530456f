package bridge

import (
	"sync"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// stamper gives readings that came without a usable timestamp one of their own. A device and a
// millisecond identify a reading, so two of one device that are received in the same millisecond, as the
// elements of a batch are, must not both be stamped with it: the second takes the next one.
type stamper struct {
	mu         sync.Mutex
	young, old map[iot.DeviceID]int64 // the last stamp given, in Unix ms; old was young until lately
	turn       int64                  // when old is forgotten and young becomes old, in Unix ms
}

const (
	// maxStampAhead is how far stamps may run ahead of the clock. A device that sends more than a
	// thousand readings a second without timestamps gets equal ones: they cannot be told apart.
	maxStampAhead = 1000 // ms
	// stampsKept is how long a device's last stamp is remembered at least. Later it cannot matter.
	stampsKept = 2 * maxStampAhead
)

// stamp returns the first millisecond from received on that device was not given before.
func (s *stamper) stamp(device iot.DeviceID, received time.Time) time.Time {
	now := received.UnixMilli()
	s.mu.Lock()
	defer s.mu.Unlock()
	if now >= s.turn || now < s.turn-2*stampsKept { // the last: the clock was set back
		s.young, s.old = s.old, s.young
		if s.young == nil {
			s.young = make(map[iot.DeviceID]int64)
		}
		clear(s.young)
		s.turn = now + stampsKept
	}
	last, ok := s.young[device]
	if !ok {
		last, ok = s.old[device]
	}
	at := now
	if ok && last >= now {
		if at = last + 1; at > now+maxStampAhead {
			return received
		}
	}
	s.young[device] = at
	return time.UnixMilli(at).UTC()
}
