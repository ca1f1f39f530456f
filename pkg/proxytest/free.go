package proxytest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
)

// FreeAddrs returns n different addresses of 127.0.0.1 that nobody listens on. Their ports are below those that Linux
// gives to connections (net.ipv4.ip_local_port_range, 32768 on), so that what listens there later, or again after an
// outage, finds none of them taken by another test's connection.
func FreeAddrs(n int) (addrs []string, err error) {
	const first, end, attempts = 10_000, 32_000, 100
	for range n + attempts {
		if len(addrs) == n {
			return addrs, nil
		}
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(first+rand.IntN(end-first)))
		l, listenErr := net.Listen("tcp", addr)
		if listenErr != nil || slices.Contains(addrs, addr) {
			err = listenErr
			continue
		}
		defer l.Close() // held until all are chosen
		addrs = append(addrs, addr)
	}
	return nil, fmt.Errorf("find %d free ports: %w", n, err)
}
