package bridge

import (
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"time"
)

const (
	// ackEvery is how long acknowledgements wait for others to share a write with.
	ackEvery = 5 * time.Millisecond
	// writeTimeout is how long a peer may leave what is sent to it unread before it is cut off: at
	// least half of it.
	writeTimeout = 10 * time.Second
)

// conn is a network connection under an MQTT library, client or server. The library writes its packets
// through it as through any net.Conn; the bridge itself sends acknowledgements beside it.
type conn struct {
	net.Conn
	line   *line         // the session it belongs to, from when that is known
	closed chan struct{} // closed by Close

	deadline time.Time // for reads; for the goroutine that reads

	// Guarded by writing, which is held while writing to the socket.
	writing sync.Mutex
	writeBy time.Time // the deadline that the socket knows of
	spare   []byte    // a buffer for acks to continue in

	mu        sync.Mutex
	acks      []byte // acknowledgements to be written
	scheduled bool   // flush is going to be called, or is running
	timer     *time.Timer
	closing   sync.Once
}

func newConn(c net.Conn) *conn {
	g := &conn{Conn: c, closed: make(chan struct{})}
	g.timer = time.AfterFunc(time.Hour, g.flush)
	g.timer.Stop()
	return g
}

// SetDeadline is for reads: writes have their own.
func (c *conn) SetDeadline(t time.Time) error {
	c.deadline = t
	return c.SetReadDeadline(t)
}

// errClosedHere is what Read says of a connection that the bridge has closed itself.
var errClosedHere = errors.New("closed by the bridge")

// Read has an error of its own for a connection that was closed here, because the peer did not take what was
// written: paho ends without a word on net.ErrClosed, which it takes for its own doing.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if errors.Is(err, net.ErrClosed) {
		err = errClosedHere
	}
	return n, err
}

// Write sends the packet p, and with it the acknowledgements that wait to be sent.
func (c *conn) Write(p []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	if err := c.send(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// acknowledge has b, whole packets, sent within ackEvery. It never blocks: it is called by the goroutine
// that serves all connections. An error shows in the next read.
func (c *conn) acknowledge(b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.acks = append(c.acks, b...)
	if !c.scheduled {
		c.scheduled = true
		c.timer.Reset(untilTick(time.Now(), ackEvery))
	}
}

// flush writes the acknowledgements that wait to be sent.
func (c *conn) flush() {
	c.writing.Lock()
	defer c.writing.Unlock()
	err := c.send(nil)

	c.mu.Lock()
	defer c.mu.Unlock()
	c.scheduled = err == nil && len(c.acks) > 0
	if c.scheduled {
		c.timer.Reset(untilTick(time.Now(), ackEvery))
	}
}

// send writes the waiting acknowledgements and p. A peer that does not take them is disconnected. The
// caller holds c.writing.
func (c *conn) send(p []byte) error {
	c.mu.Lock()
	b := c.acks
	c.acks = c.spare[:0]
	c.mu.Unlock()

	c.spare = b
	if len(b) == 0 {
		b = p
	} else {
		b = append(b, p...)
	}
	if len(b) == 0 {
		return nil
	}
	var err error
	if now := time.Now(); c.writeBy.Sub(now) < writeTimeout/2 {
		c.writeBy = now.Add(writeTimeout)
		err = c.SetWriteDeadline(c.writeBy)
	}
	if err == nil {
		_, err = c.Conn.Write(b)
	}
	if err != nil {
		_ = c.Close()
	}
	return err
}

// closeWrite tells the peer that nothing more is sent. It can still read what was.
func (c *conn) closeWrite() {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		_ = w.CloseWrite()
	}
}

// Close closes the connection. What was not written by then is dropped, TLS's farewell too: it could block.
func (c *conn) Close() error {
	err := net.ErrClosed
	c.closing.Do(func() {
		close(c.closed)
		c.timer.Stop()
		socket := c.Conn
		if secured, ok := socket.(*tls.Conn); ok {
			socket = secured.NetConn()
		}
		err = socket.Close()
	})
	return err
}
