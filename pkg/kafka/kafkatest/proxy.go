package kafkatest

import (
	"net"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
)

// Proxy stands between clients and a fake broker, and makes the network between them fail.
type Proxy struct {
	front  net.Listener
	broker string // where it leads to

	mu      sync.Mutex
	passing chan struct{} // closed when packets pass
	lost    int           // responses to lose
	conns   map[net.Conn]bool
}

// Behind makes a fake broker listen behind a proxy, whose address it advertises.
func Behind(t testing.TB, p *Proxy) kfake.Opt {
	return kfake.ListenFn(func(network, address string) (net.Listener, error) { return p.Listen(t, network, address) })
}

func (p *Proxy) Listen(t testing.TB, network, address string) (net.Listener, error) {
	broker, err := net.Listen(network, "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	if p.front, err = net.Listen(network, address); err != nil {
		return nil, err
	}
	p.broker = broker.Addr().String()
	p.conns = map[net.Conn]bool{}
	p.passing = make(chan struct{})
	close(p.passing)
	go p.serve()
	t.Cleanup(func() {
		p.Resume()
		_ = p.front.Close()
		p.Cut()
	})
	return advertised{broker, p.front.Addr()}, nil
}

// advertised is a listener that reports another address.
type advertised struct {
	net.Listener
	addr net.Addr
}

func (a advertised) Addr() net.Addr { return a.addr }

func (p *Proxy) serve() {
	for {
		client, err := p.front.Accept()
		if err != nil {
			return
		}
		broker, err := net.Dial("tcp", p.broker)
		if err != nil {
			_ = client.Close()
			continue
		}
		p.mu.Lock()
		p.conns[client], p.conns[broker] = true, true
		p.mu.Unlock()
		go p.pass(broker, client, false)
		go p.pass(client, broker, true)
	}
}

func (p *Proxy) pass(to, from net.Conn, responses bool) {
	defer func() {
		_, _ = to.Close(), from.Close()
		p.mu.Lock()
		delete(p.conns, to)
		delete(p.conns, from)
		p.mu.Unlock()
	}()
	packet := make([]byte, 32<<10)
	for {
		n, err := from.Read(packet)
		if err != nil {
			return
		}
		p.mu.Lock()
		passing, lose := p.passing, responses && p.lost > 0
		if lose {
			p.lost--
		}
		p.mu.Unlock()
		<-passing
		if lose {
			return
		}
		if _, err := to.Write(packet[:n]); err != nil {
			return
		}
	}
}

// Pause holds every packet back, as a network does whose packets vanish: neither side gets an error.
func (p *Proxy) Pause() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.passing = make(chan struct{})
}

// Resume lets the packets pass again.
func (p *Proxy) Resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.passing:
	default:
		close(p.passing)
	}
}

// Cut closes every connection.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
}

// LoseResponse closes the connection that the next response comes on instead of passing it on.
func (p *Proxy) LoseResponse() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lost++
}
