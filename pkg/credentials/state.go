package credentials

import (
	"hash/maphash"
	"time"

	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/iot"
)

// maxBytes bounds what all credentials take.
const maxBytes = 40 << 20

// state is what a topic says, up to a record.
type state struct {
	seed  maphash.Seed
	byID  map[int64]*Principal
	index map[uint64]*Principal // at the hash of what finds them, or where that is taken behind it
	bytes int
	over  int                  // credentials for which there was no room
	own   map[iot.DeviceID]int // how many credentials of its own a device has; nil until somebody asks
	site  *event.Site
	next  int64 // Unix ms of the first expiry that has not been seen to; 0 is none
}

func newState(seed maphash.Seed) *state {
	return &state{seed: seed, byID: map[int64]*Principal{}, index: map[uint64]*Principal{}}
}

// apply takes in what a record says, p being who shows the credential that it brings, and returns who has ended by it.
func (s *state) apply(change event.AccessChange, p *Principal) (ended *Principal) {
	switch {
	case p != nil:
		return s.add(p)
	case change.Site != nil:
		s.site = change.Site
		return nil
	default:
		return s.remove(change.Ended)
	}
}

// add takes p in, unless it is there or there is no room, and returns whom it replaces.
func (s *state) add(p *Principal) (ended *Principal) {
	if was := s.byID[p.ID]; was != nil {
		if was.is(p) {
			return nil
		}
		ended = s.remove(p.ID) // what never changes has changed; the later one counts
	}
	if s.bytes+p.bytes() > maxBytes {
		s.over++
		return ended
	}
	s.bytes += p.bytes()
	s.byID[p.ID] = p
	s.place(p)
	s.countOwn(p, 1)
	if p.expires != 0 && (s.next == 0 || p.expires < s.next) {
		s.next = p.expires
	}
	return ended
}

// remove takes out the one of that id, and returns it; nil is none.
func (s *state) remove(id int64) *Principal {
	p := s.byID[id]
	if p == nil {
		return nil
	}
	s.bytes -= p.bytes()
	delete(s.byID, id)
	s.countOwn(p, -1)
	at := s.hashOf(p)
	for s.index[at] != p {
		at++
	}
	delete(s.index, at)
	for at++; s.index[at] != nil; at++ { // those behind it may have been put there because of it
		moved := s.index[at]
		delete(s.index, at)
		s.place(moved)
	}
	return p
}

func (s *state) place(p *Principal) {
	at := s.hashOf(p)
	for s.index[at] != nil {
		at++
	}
	s.index[at] = p
}

func (s *state) hashOf(p *Principal) uint64 {
	if p.named() {
		return maphash.String(s.seed, p.Name)
	}
	return maphash.Bytes(s.seed, p.secret[:])
}

// hasOwn reports whether a device has credentials of its own. Only sites with anonymous devices ask, and others have no
// memory for it.
func (s *state) hasOwn(device iot.DeviceID) bool {
	if s.own == nil {
		s.own = make(map[iot.DeviceID]int)
		for _, p := range s.byID {
			s.countOwn(p, 1)
		}
	}
	return s.own[device] > 0
}

func (s *state) countOwn(p *Principal, n int) {
	if s.own == nil || len(p.devices) != 1 {
		return
	}
	if device, _, err := iot.ParseDevice(p.Name); err != nil || device != p.devices[0] {
		return // a gateway's, of one device
	}
	if s.own[p.devices[0]] += n; s.own[p.devices[0]] == 0 {
		delete(s.own, p.devices[0])
	}
}

// find returns the first one at a hash, or behind it, that is the one.
func (s *state) find(hash uint64, isIt func(*Principal) bool) *Principal {
	for at := hash; ; at++ {
		if p := s.index[at]; p == nil || isIt(p) {
			return p
		}
	}
}

// expire ends those that have expired at now, and returns them. They stay, as they are on the topic.
func (s *state) expire(now time.Time) (ended []*Principal) {
	if s.next == 0 || now.UnixMilli() < s.next {
		return nil
	}
	s.next = 0
	for _, p := range s.byID {
		switch {
		case p.expires == 0 || p.Ended():
		case p.expired(now):
			ended = append(ended, p)
		case s.next == 0 || p.expires < s.next:
			s.next = p.expires
		}
	}
	return ended
}
