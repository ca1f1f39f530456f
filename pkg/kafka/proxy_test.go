package kafka_test

import (
	"net"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
)

// proxy stands between clients and a fake broker, and makes the network between them fail.
type proxy struct {
	front  net.Listener
	broker string // where it leads to

	mu    sync.Mutex
	held  chan struct{} // closed when packets pass
	lost  int           // answers to lose
	conns map[net.Conn]bool
}

// behind makes a fake broker listen behind a proxy, whose address it advertises.
func behind(t testing.TB, p *proxy) kfake.Opt {
	return kfake.ListenFn(func(network, address string) (net.Listener, error) { return p.listen(t, network, address) })
}

func (p *proxy) listen(t testing.TB, network, address string) (net.Listener, error) {
	broker, err := net.Listen(network, "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	if p.front, err = net.Listen(network, address); err != nil {
		return nil, err
	}
	p.broker = broker.Addr().String()
	p.conns = map[net.Conn]bool{}
	p.held = make(chan struct{})
	close(p.held)
	go p.serve()
	t.Cleanup(func() {
		p.resume()
		_ = p.front.Close()
		p.cut()
	})
	return advertised{broker, p.front.Addr()}, nil
}

// advertised is a listener that claims another address.
type advertised struct {
	net.Listener
	addr net.Addr
}

func (a advertised) Addr() net.Addr { return a.addr }

func (p *proxy) serve() {
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

func (p *proxy) pass(to, from net.Conn, answers bool) {
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
		held, lose := p.held, answers && p.lost > 0
		if lose {
			p.lost--
		}
		p.mu.Unlock()
		<-held
		if lose {
			return
		}
		if _, err := to.Write(packet[:n]); err != nil {
			return
		}
	}
}

// pause holds every packet back, as a network does whose packets vanish: nobody is told.
func (p *proxy) pause() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = make(chan struct{})
}

func (p *proxy) resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.held:
	default:
		close(p.held)
	}
}

// cut closes every connection.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
}

// loseAnswer closes the connection that the next answer comes on instead of passing it on.
func (p *proxy) loseAnswer() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lost++
}
