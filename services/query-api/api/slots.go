package api

import (
	"net/netip"
	"sync"

	"github.com/telltale-iot/telltale/services/query-api/access"
)

// slots are for requests that may go on for hours. One client has a part of them at most, so that there are some for others
// whatever it does.
type slots struct {
	all, yours      int
	full, yoursFull *problem // why there is none: for anybody, and for a client that has as many as it may

	mu    sync.Mutex
	taken int
	of    map[netip.Prefix]int // those of each client that has any
}

func newSlots(all, yours int, full, yoursFull *problem) *slots {
	return &slots{all: all, yours: yours, full: full, yoursFull: yoursFull, of: map[netip.Prefix]int{}}
}

// take takes a slot for a request that came from remoteAddr, until release is called.
func (s *slots) take(remoteAddr string) (release func(), err error) {
	client := access.Network(remoteAddr)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.taken == s.all:
		return nil, s.full
	case s.of[client] == s.yours:
		return nil, s.yoursFull
	}
	s.taken++
	s.of[client]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.taken--
		if s.of[client]--; s.of[client] == 0 {
			delete(s.of, client)
		}
	}, nil
}
