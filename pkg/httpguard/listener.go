package httpguard

import (
	"net"
	"sync"
	"sync/atomic"
)

// MaxConnections is how many one port takes. It is as many as requests can be under way to the four stores of the API,
// 500 each; with headers half sent they take 32 KiB each and their buffers, 90 MB together.
const MaxConnections = 2000

// Listen is l with no more than MaxConnections open, on the port of that name. One more is closed at once: to have it
// wait would have all others wait as well, behind those of whoever took all of them.
func (g *Guard) Listen(port string, l net.Listener) net.Listener {
	return &listener{Listener: l, refused: g.refused.WithLabelValues(port, reasonConnections).Inc}
}

type listener struct {
	net.Listener
	open    atomic.Int64
	refused func()
}

func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.open.Add(1) <= MaxConnections {
			return &conn{Conn: c, leave: sync.OnceFunc(func() { l.open.Add(-1) })}, nil
		}
		l.open.Add(-1)
		l.refused()
		_ = c.Close()
	}
}

// conn is one of a listener's, until it is closed.
type conn struct {
	net.Conn
	leave func()
}

func (c *conn) Close() error {
	defer c.leave()
	return c.Conn.Close()
}
