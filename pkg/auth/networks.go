package auth

import (
	"fmt"
	"net/netip"
)

// Networks are addresses of clients.
type Networks []netip.Prefix

// ParseNetworks reads networks (10.1.0.0/16) and single addresses.
func ParseNetworks(texts []string) (Networks, error) {
	var networks Networks
	for _, text := range texts {
		network, err := netip.ParsePrefix(text)
		if addr, bad := netip.ParseAddr(text); bad == nil {
			network, err = netip.PrefixFrom(addr, addr.BitLen()), nil
		}
		if err != nil {
			return nil, fmt.Errorf("%q is neither a network nor an address", text)
		}
		networks = append(networks, network.Masked())
	}
	return networks, nil
}

// Contain reports whether one of n has the address.
func (n Networks) Contain(address string) bool {
	addr, err := netip.ParseAddr(address)
	if err != nil {
		return false
	}
	addr = addr.Unmap().WithZone("")
	for _, network := range n {
		if network.Contains(addr) {
			return true
		}
	}
	return false
}
