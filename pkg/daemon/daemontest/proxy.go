// Package daemontest makes the network between a process and its servers fail, for tests.
package daemontest

import (
	"net"
	"sync"
	"testing"
)

// Proxy passes connections on to a server. While it hangs, connections stay open and new ones are taken, but no
// packet passes, and neither side gets an error.
type Proxy struct {
	front   net.Listener
	server  string
	stalled chan struct{}
	relays  sync.WaitGroup

	mu    sync.Mutex
	pass  chan struct{}     // closed while packets pass
	conns map[net.Conn]bool // open ones; nil after the end of the test
}

// StartProxy returns a Proxy that passes everything on to server, until t ends.
func StartProxy(t testing.TB, server string) *Proxy {
	t.Helper()
	front, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{front: front, server: server, stalled: make(chan struct{}, 1), pass: make(chan struct{}), conns: map[net.Conn]bool{}}
	close(p.pass)
	p.relays.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

// Addr is the address to connect to instead of the server's.
func (p *Proxy) Addr() string { return p.front.Addr().String() }

// Hang keeps every packet back from now on.
func (p *Proxy) Hang() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pass = make(chan struct{})
}

// Stalled has a value once a packet was kept back.
func (p *Proxy) Stalled() <-chan struct{} { return p.stalled }

// Resume lets what was kept back, and everything after it, pass.
func (p *Proxy) Resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.resume()
}

func (p *Proxy) resume() {
	select {
	case <-p.pass:
	default:
		close(p.pass)
	}
}

func (p *Proxy) close() {
	_ = p.front.Close()
	p.mu.Lock()
	for c := range p.conns {
		_ = c.Close()
	}
	p.conns = nil
	p.resume()
	p.mu.Unlock()
	p.relays.Wait()
}

func (p *Proxy) accept() {
	for {
		client, err := p.front.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.server)
		if err != nil {
			_ = client.Close()
			continue
		}
		if !p.add(client, server) {
			return
		}
		p.relays.Go(func() { p.relay(server, client) })
		p.relays.Go(func() { p.relay(client, server) })
	}
}

// add notes two connections, or closes them after the end of the test.
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

// relay passes packets on until one side closes, and then closes both.
func (p *Proxy) relay(to, from net.Conn) {
	defer func() {
		_, _ = to.Close(), from.Close()
		p.mu.Lock()
		delete(p.conns, to)
		delete(p.conns, from)
		p.mu.Unlock()
	}()
	packet := make([]byte, 32<<10)
	for {
		size, err := from.Read(packet)
		if err != nil {
			return
		}
		p.mu.Lock()
		pass := p.pass
		p.mu.Unlock()
		select {
		case <-pass:
		default:
			select {
			case p.stalled <- struct{}{}:
			default:
			}
			<-pass
		}
		if _, err := to.Write(packet[:size]); err != nil {
			return
		}
	}
}
