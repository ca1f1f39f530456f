// Package proxytest puts a network between a test and a server, which can be cut and can hang.
package proxytest

import (
	"net"
	"sync"
	"testing"
)

// Proxy passes TCP connections on to a server, and can be disturbed. What connects to its address reaches the server.
type Proxy struct {
	Address string
	server  string
	relays  sync.WaitGroup
	flow    sync.RWMutex // held while nothing passes

	mu       sync.Mutex
	listener net.Listener
	conns    map[net.Conn]bool // nil while connections are cut
}

// New returns a proxy of the server at an address, until t ends.
func New(t *testing.T, server string) *Proxy {
	p := &Proxy{Address: "127.0.0.1:0", server: server}
	p.Mend(t)
	t.Cleanup(func() {
		p.Cut()
		p.relays.Wait()
	})
	return p
}

// Cut closes all connections and refuses new ones.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.listener.Close()
	for c := range p.conns {
		c.Close()
	}
	p.conns = nil
}

// Mend takes connections again, at the same address.
func (p *Proxy) Mend(t *testing.T) {
	t.Helper()
	listener, err := net.Listen("tcp", p.Address)
	if err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.listener, p.Address, p.conns = listener, listener.Addr().String(), map[net.Conn]bool{}
	p.relays.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			p.relays.Go(func() { p.relay(client) })
		}
	})
}

// Hang keeps connections open and takes new ones, but no byte passes until resume is called.
func (p *Proxy) Hang(t *testing.T) (resume func()) {
	p.flow.Lock()
	resume = sync.OnceFunc(p.flow.Unlock)
	t.Cleanup(resume)
	return resume
}

// relay passes bytes between client and the server until one of them closes its end, or Cut does.
func (p *Proxy) relay(client net.Conn) {
	server, err := net.Dial("tcp", p.server)
	if err != nil {
		client.Close()
		return
	}
	if p.keep(client, server) {
		var back sync.WaitGroup
		back.Go(func() { p.pass(client, server) })
		p.pass(server, client)
		back.Wait()
		p.drop(client, server)
	}
	client.Close()
	server.Close()
}

func (p *Proxy) pass(to, from net.Conn) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		p.flow.RLock()
		if n > 0 {
			_, err = to.Write(buf[:n]) // the next Read repeats an error of this one
		}
		p.flow.RUnlock()
		if err != nil {
			from.Close()
			to.Close()
			return
		}
	}
}

func (p *Proxy) keep(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conns == nil {
		return false
	}
	for _, c := range conns {
		p.conns[c] = true
	}
	return true
}

func (p *Proxy) drop(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		delete(p.conns, c)
	}
}
