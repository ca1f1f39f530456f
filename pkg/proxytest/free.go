package proxytest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
)

// reserved is what keeps the ports of FreeAddrs.
var reserved struct {
	sync.Mutex
	ports []net.PacketConn
}

// FreeAddrs returns n different addresses of 127.0.0.1 that nobody listens on. Their ports are below those that Linux
// gives to connections (net.ipv4.ip_local_port_range, 32768 on), so that what listens there later, or again after an
// outage, finds none of them taken by another test's connection. No other call has one of them, of whichever process, until this
// process ends: its port of UDP is taken for that long.
func FreeAddrs(n int) (addrs []string, err error) {
	const first, end, attempts = 10_000, 32_000, 100
	for range n + attempts {
		if len(addrs) == n {
			return addrs, nil
		}
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(first+rand.IntN(end-first)))
		l, listenErr := net.Listen("tcp", addr)
		if listenErr != nil {
			err = listenErr
			continue
		}
		_ = l.Close()
		reservation, listenErr := net.ListenPacket("udp", addr)
		if listenErr != nil {
			err = listenErr
			continue
		}
		reserved.Lock()
		reserved.ports = append(reserved.ports, reservation)
		reserved.Unlock()
		addrs = append(addrs, addr)
	}
	return nil, fmt.Errorf("find %d free ports: %w", n, err)
}
