package httpguard

import (
	"container/list"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"sync"

	"github.com/telltale-iot/telltale/pkg/tlsfiles"
)

// MaxConnections is how many one port takes. It is as many as requests can be under way to the four stores of the API,
// 500 each; with headers half sent they take 32 KiB each and their buffers, 90 MB together.
const MaxConnections = 2000

// Serve has server answer on l, on the port of that name, with no more than MaxConnections open. One more takes the
// place of the one that has been without a request for longest, and is closed itself when all others have one. It does
// not wait: new connections would then wait behind those of a client that has taken all of them.
//
// Where server has a TLSConfig, clients connect with TLS. One that speaks HTTP without is told so.
func (g *Guard) Serve(port string, server *http.Server, l net.Listener) error {
	limited := &listener{Listener: l, over: g.refusals(port, reasonConnections)}
	server.ConnState = limited.track
	if server.TLSConfig == nil {
		return server.Serve(limited)
	}
	// Of HTTP/2, a connection has many requests: the bounds here and of the API are those of one at a time.
	server.Protocols = new(http.Protocols)
	server.Protocols.SetHTTP1(true)
	limited.plain = g.Plain(port)
	return server.ServeTLS(limited, "", "")
}

type listener struct {
	net.Listener
	over  *refusals // connections that are closed since there are too many
	plain *Plain    // tells clients to use TLS; nil without TLS

	mu   sync.Mutex
	open int
	idle list.List // of *conn: those without a request, the one that has been so for longest in front
}

// conn is one of a listener's.
type conn struct {
	net.Conn
	listener *listener

	// Guarded by listener.mu.
	closed bool
	idle   *list.Element // in listener.idle; nil while there is a request
}

func (l *listener) Accept() (net.Conn, error) {
	for {
		accepted, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c := &conn{Conn: accepted, listener: l}
		tooMany := l.add(c)
		if tooMany != nil {
			l.over.add("most", MaxConnections)
			_ = tooMany.Close()
		}
		switch {
		case tooMany == c:
		case l.plain != nil:
			return &opening{conn: c, tls: tlsfiles.Opening{Conn: c}, plain: l.plain}, nil
		default:
			return c, nil
		}
	}
}

// add counts c among the open ones. It returns which one has to be closed, if any.
func (l *listener) add(c *conn) (tooMany *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open++
	if l.open <= MaxConnections {
		return nil
	}
	if longest := l.idle.Front(); longest != nil {
		return longest.Value.(*conn)
	}
	return c
}

// track is called by net/http when the state of a connection changes. One is idle from its beginning, or the end of an answer,
// until the headers of a request have arrived.
func (l *listener) track(tracked net.Conn, state http.ConnState) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if secured, ok := tracked.(*tls.Conn); ok {
		tracked = secured.NetConn().(*opening).conn
	}
	c := tracked.(*conn)
	c.leaveIdle()
	if !c.closed && (state == http.StateNew || state == http.StateIdle) {
		c.idle = l.idle.PushBack(c)
	}
}

func (c *conn) leaveIdle() {
	if c.idle != nil {
		c.listener.idle.Remove(c.idle)
		c.idle = nil
	}
}

func (c *conn) Close() error {
	c.leave()
	return c.Conn.Close()
}

// CloseWrite lets net/http end an answer to a request that it does not read to its end, so that the client gets it.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// SetWriteBuffer bounds what the system keeps of an answer, as that of a connection of TCP does.
func (c *conn) SetWriteBuffer(bytes int) error {
	if buffered, ok := c.Conn.(interface{ SetWriteBuffer(bytes int) error }); ok {
		return buffered.SetWriteBuffer(bytes)
	}
	return errors.ErrUnsupported
}

// leave makes room for another connection.
func (c *conn) leave() {
	c.listener.mu.Lock()
	defer c.listener.mu.Unlock()
	if !c.closed {
		c.closed = true
		c.listener.open--
		c.leaveIdle()
	}
}
