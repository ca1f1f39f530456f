// Package proxytest puts a network between a test and a server, and makes it fail.
package proxytest

import (
	"net"
	"sync"
	"testing"
)

// Proxy passes TCP connections on to a server: what connects to its address reaches the server.
type Proxy struct {
	t       testing.TB
	addr    string
	server  string
	relays  sync.WaitGroup
	stalled chan struct{}

	mu       sync.Mutex
	listener net.Listener
	conns    map[net.Conn]bool // nil while the network is cut
	hangs    hang
	resumed  sync.Cond // hangs is nothing again
	lost     int       // responses to lose
	// hangFrom reports whether responses are kept back from this request on; nil: from none
	hangFrom func(request []byte) bool
	asked    net.Conn // to the server, that the request came on from which responses are kept back
}

// hang is what is kept back.
type hang int

const (
	nothing hang = iota
	responses
	everything
)

// New returns a proxy of the server at an address, until t ends.
func New(t testing.TB, server string) *Proxy {
	t.Helper()
	addrs, err := FreeAddrs(1)
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{t: t, addr: addrs[0], server: server, stalled: make(chan struct{}, 1)}
	p.resumed.L = &p.mu
	p.Reopen()
	t.Cleanup(func() {
		p.Cut()
		p.relays.Wait()
	})
	return p
}

// Addr is the address to connect to instead of the server's.
func (p *Proxy) Addr() string { return p.addr }

// Hang keeps every packet back from now on, as a network does whose packets vanish: connections stay open and new ones
// are taken, and neither side gets an error.
func (p *Proxy) Hang() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hangs = everything
}

// HangResponses keeps every response back, from the first request on for which from returns true. Requests pass.
func (p *Proxy) HangResponses(from func(request []byte) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hangFrom = from
}

// Stalled has a value once a packet was kept back; after HangResponses, one on the connection of that request: the server
// has answered it.
func (p *Proxy) Stalled() <-chan struct{} { return p.stalled }

// Resume lets what was kept back, and everything after it, pass.
func (p *Proxy) Resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.resume()
}

func (p *Proxy) resume() {
	p.hangs, p.hangFrom, p.asked = nothing, nil, nil
	p.resumed.Broadcast()
}

// Cut closes all connections and refuses new ones. What was kept back is lost.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.listener.Close()
	for c := range p.conns {
		_ = c.Close()
	}
	p.conns = nil
	p.resume() // to write to closed connections
}

// Reopen takes connections again after Cut, at the same address.
func (p *Proxy) Reopen() {
	p.t.Helper()
	listener, err := net.Listen("tcp", p.addr)
	if err != nil {
		p.t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.listener, p.conns = listener, map[net.Conn]bool{}
	p.relays.Go(func() { p.accept(listener) })
}

// LoseResponse closes the connection that the next response comes on instead of passing it on.
func (p *Proxy) LoseResponse() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lost++
}

func (p *Proxy) accept(listener net.Listener) {
	for {
		client, err := listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.server)
		if err != nil {
			_ = client.Close()
			continue
		}
		if p.add(client, server) {
			p.relays.Go(func() {
				p.relay(server, client, func(packet []byte) bool { return p.passRequest(server, packet) })
			})
			p.relays.Go(func() {
				p.relay(client, server, func([]byte) bool { return p.passResponse(server) })
			})
		}
	}
}

// add notes the two ends of a connection, or closes them when the network was cut meanwhile.
func (p *Proxy) add(client, server net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conns == nil {
		_, _ = client.Close(), server.Close()
		return false
	}
	p.conns[client], p.conns[server] = true, true
	return true
}

// relay passes packets on until one side closes, or one is to be lost, and then closes both.
func (p *Proxy) relay(to, from net.Conn, pass func(packet []byte) bool) {
	defer func() {
		_, _ = to.Close(), from.Close()
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.conns, to)
		delete(p.conns, from)
	}()
	packet := make([]byte, 64<<10)
	for {
		n, err := from.Read(packet)
		if err != nil || !pass(packet[:n]) {
			return
		}
		if _, err := to.Write(packet[:n]); err != nil {
			return
		}
	}
}

func (p *Proxy) passRequest(server net.Conn, packet []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.hangFrom != nil && p.hangFrom(packet) {
		p.hangs, p.hangFrom, p.asked = responses, nil, server
	}
	p.await(everything, server)
	return true
}

func (p *Proxy) passResponse(server net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	lose := p.lost > 0
	if lose {
		p.lost--
	}
	p.await(responses, server)
	return !lose
}

// await waits while what hangs at a level is kept back, on a connection to the server.
func (p *Proxy) await(level hang, server net.Conn) {
	for p.hangs >= level {
		if p.asked == nil || p.asked == server {
			select {
			case p.stalled <- struct{}{}:
			default:
			}
		}
		p.resumed.Wait()
	}
}
