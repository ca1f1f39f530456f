package listen

import (
	"container/list"
	"net"
	"net/netip"
	"sync"
	"time"
)

// addresses has the connections that are pending: they have not sent their CONNECT. Those of one address must not keep
// others away. Devices that are connected do not count, however many are behind one address.
type addresses struct {
	limit int // of all

	mu  sync.Mutex
	all *list.List // of *connection, in the order in which they came
	of  map[string]*address
}

type address struct {
	pending int           // guarded by addresses.mu
	slots   chan struct{} // has a value for each connection that is read from
}

func newAddresses(limit int) *addresses {
	return &addresses{limit: limit, all: list.New(), of: make(map[string]*address)}
}

// pendingConnection is the place of a connection among them.
type pendingConnection struct {
	*address
	in      *addresses
	name    string
	element *list.Element
	reading bool
}

// enter gives c a place. When there are too many, the one that came first has to go: it is returned.
func (a *addresses) enter(c *connection) (tooMany *connection) {
	name := c.from
	a.mu.Lock()
	defer a.mu.Unlock()
	from := a.of[name]
	if from == nil {
		from = &address{slots: make(chan struct{}, maxPending)}
		a.of[name] = from
	}
	from.pending++
	if a.all.Len() >= a.limit {
		tooMany = a.all.Remove(a.all.Front()).(*connection)
		tooMany.pending.element = nil
	}
	c.pending = &pendingConnection{address: from, in: a, name: name, element: a.all.PushBack(c)}
	return tooMany
}

// wait waits until the connection may be read from, at most connectTimeout, and reports whether it may.
func (p *pendingConnection) wait(closed, stop <-chan struct{}) bool {
	select {
	case p.slots <- struct{}{}:
		p.reading = true
		return true
	default:
	}
	late := time.NewTimer(connectTimeout)
	defer late.Stop()
	select {
	case p.slots <- struct{}{}:
		p.reading = true
		return true
	case <-late.C:
	case <-closed:
	case <-stop:
	}
	return false
}

// leave gives the place back: the connection has ended, or its CONNECT is taken.
func (p *pendingConnection) leave() {
	if p.reading {
		<-p.slots
	}
	p.in.mu.Lock()
	defer p.in.mu.Unlock()
	if p.element != nil {
		p.in.all.Remove(p.element)
	}
	if p.pending--; p.pending == 0 {
		delete(p.in.of, p.name)
	}
}

// origin is where a connection comes from: an IPv4 address, or a network of IPv6, which one machine may have.
func origin(addr net.Addr) string {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return ""
	}
	ip, ok := netip.AddrFromSlice(tcp.IP)
	if !ok {
		return ""
	}
	if ip = ip.Unmap(); ip.Is4() {
		return ip.String()
	}
	network, err := ip.Prefix(64)
	if err != nil {
		return ip.String()
	}
	return network.String()
}
