package metadatatest

import (
	"net"
	"sync"
	"testing"
)

// line is a TCP line to a server that can be disturbed. What connects to its address reaches the server.
type line struct {
	address string
	server  string
	relays  sync.WaitGroup
	flow    sync.RWMutex // held while nothing passes

	mu       sync.Mutex
	listener net.Listener
	conns    map[net.Conn]bool // nil while the line is cut
}

func newLine(t *testing.T, server string) *line {
	l := &line{address: "127.0.0.1:0", server: server}
	l.mend(t)
	t.Cleanup(func() {
		l.cut()
		l.relays.Wait()
	})
	return l
}

// cut closes all connections and refuses new ones.
func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.listener.Close()
	for c := range l.conns {
		c.Close()
	}
	l.conns = nil
}

// mend takes connections again, at the same address.
func (l *line) mend(t *testing.T) {
	t.Helper()
	listener, err := net.Listen("tcp", l.address)
	if err != nil {
		t.Fatal(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.listener, l.address, l.conns = listener, listener.Addr().String(), map[net.Conn]bool{}
	l.relays.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			l.relays.Go(func() { l.relay(client) })
		}
	})
}

// hang keeps connections open and takes new ones, but no byte passes until resume is called.
func (l *line) hang(t *testing.T) (resume func()) {
	l.flow.Lock()
	resume = sync.OnceFunc(l.flow.Unlock)
	t.Cleanup(resume)
	return resume
}

// relay passes bytes between client and the server until one of them closes its end, or cut does.
func (l *line) relay(client net.Conn) {
	server, err := net.Dial("tcp", l.server)
	if err != nil {
		client.Close()
		return
	}
	if l.keep(client, server) {
		var back sync.WaitGroup
		back.Go(func() { l.pass(client, server) })
		l.pass(server, client)
		back.Wait()
		l.drop(client, server)
	}
	client.Close()
	server.Close()
}

func (l *line) pass(to, from net.Conn) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		l.flow.RLock()
		if n > 0 {
			_, err = to.Write(buf[:n]) // the next Read repeats an error of this one
		}
		l.flow.RUnlock()
		if err != nil {
			from.Close()
			to.Close()
			return
		}
	}
}

func (l *line) keep(conns ...net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conns == nil {
		return false
	}
	for _, c := range conns {
		l.conns[c] = true
	}
	return true
}

func (l *line) drop(conns ...net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range conns {
		delete(l.conns, c)
	}
}
