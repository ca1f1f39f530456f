package api

import (
	"net/netip"
	"sync"
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
	client := clientNetwork(remoteAddr)
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

// clientNetwork is what tells clients apart: the address that a connection comes from, and of IPv6 the network of it, since one
// client has all the addresses there. Forwarded headers are not believed: anybody can write them. So all who come through a
// proxy are one client.
func clientNetwork(remoteAddr string) netip.Prefix {
	from, err := netip.ParseAddrPort(remoteAddr)
	if err != nil {
		return netip.Prefix{} // no connection of TCP
	}
	address := from.Addr().Unmap().WithZone("")
	bits := address.BitLen()
	if address.Is6() {
		bits = 64
	}
	network, _ := address.Prefix(bits) // an address has as many
	return network
}
